"""Numbers, plans and ranges in words, for every room that speaks to a person."""
