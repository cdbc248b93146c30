"""Plans how to train a large model on a GPU cluster before anyone burns a GPU-hour."""

__version__ = "0.2.0"
