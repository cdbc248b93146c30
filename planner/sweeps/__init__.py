"""Studies: many searches that share what they have in common, and the points that nothing beats."""
