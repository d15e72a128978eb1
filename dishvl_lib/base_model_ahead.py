"""The demo's base model, made while stage 02 runs: training a small PP-LCNet keeps one core busy.

    with base_model_ahead.begun(dishes_jsonl, max_pixels): ...       # what `dishvl run` does
    python -m dishvl_lib.base_model_ahead DISHES_JSONL MAX_PIXELS

Stage 03 finds it in the cache, or waits for the rest of it. Nothing depends on it: where it fails
or is stopped, stage 03 makes the base model itself, as it does for a notebook that runs alone.
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

MODULE = "dishvl_lib.base_model_ahead"
STOP_S = 10.0  # for the process to end when it is told to


@contextlib.contextmanager
def begun(dishes: Path, max_pixels: int) -> Iterator[None]:
    """Within this block a process of its own, with one thread, makes the base model that stage 03
    will ask for; it ends with the block.

    `dishes`: stage 01's dishes.jsonl, which has the names; `max_pixels`: area of a photo.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE, str(dishes), str(max_pixels)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,  # held open: its end tells the process that this one has gone
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # Ctrl-C reaches it through `_stop` alone
    )
    threading.Thread(target=_show, args=(process,), daemon=True).start()
    try:
        yield
    finally:
        _stop(process)


def _show(process: subprocess.Popen[str]) -> None:
    """Its lines among those of the stage: a terminal's bar would run through them."""
    assert process.stdout is not None, "it was started with a pipe"
    for line in process.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def main() -> None:
    # Loaded in the process that needs them.
    from dishvl_lib.core import artefacts, records
    from dishvl_lib.demo import builtin

    threading.Thread(target=_end_with_parent, daemon=True).start()
    file, max_pixels = sys.argv[1:]
    names = artefacts.names_by_dish(records.read_jsonl(Path(file)))
    builtin.base_model(builtin.BUILTIN, list(names.values()), int(max_pixels))


if __name__ == "__main__":
    main()
