"""Trainings in processes of their own that need not import torch and transformers each.

They are forked from a process that has: what the command line does with a configuration, without
the eight seconds in which it imports. The fifteen of a test file would spend two minutes on them.
"""

import multiprocessing
import os
import sys
from pathlib import Path

TIMEOUT_S = 280


def train(config_file: Path) -> tuple[int, str]:
    """(exit status, printed text) of `python -m dishvl_lib.training CONFIG`, with one thread."""
    output = Path(config_file).with_suffix(".printed")
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["dishvl_lib.training.run"])
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # read when the server imports torch
    try:
        given = (str(config_file), str(output), dict(os.environ))
        process = server.Process(target=_main, args=given)
        process.start()
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
    process.join(TIMEOUT_S)
    if process.is_alive():
        process.kill()
        printed = output.read_text("utf-8")
        raise TimeoutError(f"the training took more than {TIMEOUT_S} s:\n{printed}")
    return process.exitcode, output.read_text("utf-8")


def _main(config_file: str, output: str, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    printed = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    from dishvl_lib.training import launch

    sys.exit(launch.main(config_file))
