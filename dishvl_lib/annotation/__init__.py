"""Stage 01: catalogue, split, dish cards and names."""
