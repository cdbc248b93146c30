"""How sure an estimate is, from how far estimates like it were from measured runs."""
