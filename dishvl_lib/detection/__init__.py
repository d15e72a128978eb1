"""Dishes on a photo of a whole tray: users' detectors as ONNX files, a small detector of our own,
labels that people drew, and how well boxes are found.

A detector answers with `boxes.Detections`, in pixels of the upright photo. onnxruntime is loaded by
`session.py` alone, torch by the net's own file and its training's, onnx by `export.py`; each only
when it is needed.
"""
