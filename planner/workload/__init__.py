"""A model as operators with local shapes, parameters and what each stage holds."""
