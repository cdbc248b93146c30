"""One reader per format that a benchmark, driver or scheduler prints."""
