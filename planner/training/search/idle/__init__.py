"""Plans on fewer nodes than a job is given: idle nodes where no good plan needs all of them."""
