"""Drawn dishes, a local annotator and a tiny base model: the whole chain without photos, key or
GPU.
"""
