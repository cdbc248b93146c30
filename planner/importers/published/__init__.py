"""Published models by name: as on the Hugging Face Hub, in recipes, in other frameworks' files.

`models.json` holds what their config.json files say of sizes, and the number of parameters where
the Hub states it.
"""
