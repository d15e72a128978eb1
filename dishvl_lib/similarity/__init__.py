"""Stage 02: PP-LCNet in PaddlePaddle, photo features, look-alike dishes."""
