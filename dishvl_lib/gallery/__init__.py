"""A gallery beside the model: features and names of registered photos, to which dishes are added
and from which they are removed without training.
"""
