"""The search for the best plans of a training job."""
