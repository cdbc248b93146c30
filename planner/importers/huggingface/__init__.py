"""Models from the config.json files of the Hugging Face Hub, read without transformers."""
