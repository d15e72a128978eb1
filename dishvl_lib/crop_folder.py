"""The folder that `dishvl crop` fills.

crops/...       the crops, in folders as the frames are
crops.csv       a row a crop: path, frame, box on the upright photo, score
left_out.csv    a row a frame without crops: path, reason, detail; written last
made_by.json    by which detector, margin and threshold, and of which frames
frames.jsonl    a row a frame that is done, by which a killed command goes on
"""

import json
from pathlib import Path
from types import TracebackType
from typing import Self

import pandas as pd

from dishvl_lib.core import artefacts, file_names, records
from dishvl_lib.core.types import AnyPath, Record, Records

MADE_BY = "made_by.json"
DONE = "frames.jsonl"
LEFT_OUT = "left_out.csv"
COLUMNS = ("path", "frame", *artefacts.CORNERS, "score")


class CropFolderError(ValueError):
    """A folder that crops cannot go into; the message says what to do."""


class CropFolder:
    """`done`: {frame: row} of the frames that are done; a row holds `frame`, `crops` (`path`, `box`,
    `score` each), and `reason` and `detail` where there are none.

    Rows are added within `with folder:`.
    """

    def __init__(self, folder: AnyPath):
        self.folder = Path(folder)
        self.done: dict[str, Record] = {}

    def begin(self, made_by: Record) -> None:
        """Make the folder, or see that it was begun with the same, and read what is done. Raises
        `CropFolderError`.
        """
        file = self.folder / MADE_BY
        if file.is_file():
            self._check(made_by, records.read_json(file))
            self._read()
            return
        if self.folder.exists() and any(self.folder.iterdir()):
            raise CropFolderError(
                f"{self.folder} is not empty; name a folder that is not there yet"
            )
        records.write_json(file, made_by)

    @property
    def is_finished(self) -> bool:
        return (self.folder / LEFT_OUT).is_file()

    def __enter__(self) -> Self:
        self._journal = open(self.folder / DONE, "ab")
        self._journal.write(b"\n")  # behind a line that a kill may have torn
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._journal.close()

    def add(self, row: Record) -> None:
        """A frame that is done, written down at once."""
        self.done[row["frame"]] = row
        line = json.dumps(row)
        self._journal.write(line.encode("ascii") + b"\n")
        self._journal.flush()

    def write_tables(self) -> None:
        """crops.csv and left_out.csv: the folder is finished."""
        made: Records = []
        left_out: Records = []
        for _, row in sorted(self.done.items()):
            made += _crop_rows(row)
            if "reason" in row:
                path = file_names.printable(row["frame"])
                left_out.append({"path": path, "reason": row["reason"], "detail": row["detail"]})
        table = pd.DataFrame(made, columns=list(COLUMNS))
        records.write_table(self.folder / artefacts.CROPS_LIST, table)
        without = pd.DataFrame(left_out, columns=list(artefacts.LEFT_OUT_COLUMNS))
        records.write_table(self.folder / LEFT_OUT, without)

    def _check(self, made_by: Record, before: Record) -> None:
        others = [key for key in made_by if before.get(key) != made_by[key]]
        if others:
            raise CropFolderError(
                f"{self.folder} was begun with another {', '.join(others)}; name another folder, "
                "or give what it was begun with"
            )

    def _read(self) -> None:
        file = self.folder / DONE
        lines = file.read_bytes().split(b"\n") if file.is_file() else []
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:  # empty, or torn by a kill
                continue
            self.done[row["frame"]] = row


def _crop_rows(row: Record) -> Records:
    rows = []
    for crop in row["crops"]:
        corners = dict(zip(artefacts.CORNERS, crop["box"], strict=True))
        rows.append(
            {"path": crop["path"], "frame": row["frame"], **corners, "score": crop["score"]}
        )
    return rows
