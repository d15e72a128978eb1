"""`python -m dishvl_lib.training CONFIG.json`: one training process (or one of several under torchrun)."""

import sys
from pathlib import Path

from dishvl_lib.training import config, launch

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m dishvl_lib.training CONFIG.json")
    try:
        folder = Path(config.read(sys.argv[1]).output_folder)
        with launch.only_one(folder):
            from dishvl_lib.training import run  # under the lock, for torch takes seconds to import

            status = run.main(sys.argv[1])
    except launch.CONFIGURATION_ERRORS as error:
        status = launch.refuse(error)
    sys.exit(status)
