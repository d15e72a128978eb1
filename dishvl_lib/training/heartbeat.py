"""What a training does at this moment, in a small file, for those who watch.

A step of a large model takes minutes.

    beat = Heartbeat(folder)
    beat("validating, menu questions", 40, 200)
    line(folder)        # 'validating, menu questions: 40 of 200, for 35 s'
"""

import json
import os
import time
from pathlib import Path

FILE = "progress.json"
EVERY_S = 1.0


class Heartbeat:
    """Called with what is done now, and how much of it.

    Writes at most once in EVERY_S, and always when it is new.
    """

    def __init__(self, folder: Path):
        self.file = Path(folder) / FILE
        self.doing = ""
        self.since = 0.0
        self.written = 0.0

    def __call__(self, doing: str, done: int = 0, of: int = 0) -> None:
        now = time.time()
        if doing == self.doing and now - self.written < EVERY_S:
            return
        if doing != self.doing:
            self.since = now
        self.doing = doing
        self.written = now
        beat = {"doing": doing, "done": done, "of": of, "since": self.since}
        part = self.file.with_name(f".{FILE}.part")
        try:
            part.write_text(json.dumps(beat), "utf-8")
            os.replace(part, self.file)
        except OSError:
            pass  # a disk that is full says so where something is lost


def line(folder: Path) -> str:
    """What the training of a folder does now, in words; '' when it has not said."""
    try:
        beat = json.loads((Path(folder) / FILE).read_text("utf-8"))
        doing = str(beat["doing"])
        done = int(beat["done"])
        of = int(beat["of"])
        since = float(beat["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    count = f": {done} of {of}" if of else ""
    seconds = max(0.0, time.time() - since)
    return f"{doing}{count}, for {seconds:.0f} s"
