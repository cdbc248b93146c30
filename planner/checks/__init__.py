"""Whether a launch may go ahead: decisions as values, for pipelines."""
