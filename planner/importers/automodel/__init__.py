"""Recipes of NeMo AutoModel: the model that one names, and the plan that it states."""
