"""Plans from combinations and from flags, and what is wrong with one."""
