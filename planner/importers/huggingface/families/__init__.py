"""What each class of transformers builds, from the keys of its config to a model file's.

Read in the modelling files of transformers 5.24.
"""
