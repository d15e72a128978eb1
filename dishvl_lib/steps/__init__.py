"""What the notebooks do in a cell that takes more than one call: each stage's rooms put together.

A function here takes the stage, whose parameters go along as one object, and what earlier cells
made. This room may import every other; none imports it but the notebooks.
"""
