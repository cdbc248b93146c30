"""The walk over combinations, best bound first."""
