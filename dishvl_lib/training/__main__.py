"""`python -m dishvl_lib.training CONFIG.json`: a training process, or one of torchrun's several."""

import sys

from dishvl_lib.training import launch

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m dishvl_lib.training CONFIG.json")
    sys.exit(launch.main(sys.argv[1]))
