"""Stage 02: nets in PaddlePaddle, photo features, look-alike dishes."""

import warnings

# Paddle says these on every import and first training step; neither concerns this project.
warnings.filterwarnings("ignore", message="No ccache found")
warnings.filterwarnings(
    "ignore", message="When training, we now always track global mean and variance"
)
