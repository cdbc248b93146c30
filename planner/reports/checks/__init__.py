"""The outcome of `planner check` in the formats that people and pipelines read."""
