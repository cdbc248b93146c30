"""Which combinations there are, and which rule leaves out which."""
