"""Which modules of a layer a plan keeps, computes again or offloads."""
