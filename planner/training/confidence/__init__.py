"""How sure an estimate is, judged by the errors of similar estimates on measured runs."""
