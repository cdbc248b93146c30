"""A running job after nodes were lost or became slow: what it can go on with, and how well."""
