"""From boxes on frames to crops on the disk, each frame decoded once."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from dishvl_lib.core import artefacts, crops, images, records
from dishvl_lib.core.progress import Progress
from dishvl_lib.core.types import Record, Records

FOLDER = "crops"
Refused = tuple[str, str, str]  # path of the frame, reason, detail
BAD_BOX = "bad box"
MOST_NAME_BYTES = 200  # of a frame's name in its crops', which may have 255


def make(
    frames: pd.DataFrame, boxes: pd.DataFrame, root: Path, folder: Path, margin: float
) -> tuple[pd.DataFrame, list[Refused]]:
    """(CROP_COLUMNS, boxes and frames left out): the crops of all boxes, written below
    `folder`/crops in the form `FRAME$x1_y1_x2_y2#N.jpg`; a crop that is there already is kept.

    `frames`, `boxes`: of FRAME_COLUMNS and BOX_COLUMNS; `root`: the frames' folder.
    """
    names = names_of(frames)
    boxes_of = {frame_id: rows for frame_id, rows in boxes.groupby("frame_id", sort=False)}
    made: Records = []
    refused: list[Refused] = []
    with Progress("frames cropped", len(frames), "frames") as progress:
        for frame in frames.itertuples():
            rows = boxes_of.get(frame.frame_id)
            if rows is not None:
                of_frame, left_out = _of_frame(frame, rows, names[frame.path], root, folder, margin)
                made += of_frame
                refused += left_out
            progress.advance()
    return pd.DataFrame(made, columns=list(artefacts.CROP_COLUMNS)), refused


def _of_frame(
    frame, rows: pd.DataFrame, name: str, root: Path, folder: Path, margin: float
) -> tuple[Records, list[Refused]]:
    refused: list[Refused] = []
    wanted: list[tuple[crops.Box, str]] = []
    for row in rows.itertuples():
        corners = (row.x1, row.y1, row.x2, row.y2)
        try:
            box = crops.pixel_box(corners, margin, (frame.width, frame.height))
        except crops.CropError as error:
            refused.append((frame.path, BAD_BOX, str(error)))
        else:
            wanted.append((box, row.label))
    places = _places(name, [box for box, _ in wanted])
    try:
        contents = list(_contents(root / frame.path, wanted, [folder / place for place in places]))
    except images.ImageError as error:
        return [], [*refused, (frame.path, error.reason, error.detail)]
    made = []
    for (box, label), place, content in zip(wanted, places, contents, strict=True):
        made.append(_row(frame, box, label, place, content))
    return made, refused


def _places(name: str, boxes: Sequence[crops.Box]) -> list[str]:
    places = []
    for number, box in enumerate(boxes, start=1):
        places.append(f"{FOLDER}/{crops.stem(name, box, number)}.jpg")
    return places


def _contents(
    photo: Path, wanted: Sequence[tuple[crops.Box, str]], files: Sequence[Path]
) -> Iterator[bytes]:
    """The bytes of each crop; the frame is decoded when the first is missing."""
    upright = None
    for (box, _), file in zip(wanted, files, strict=True):
        if file.is_file():
            yield file.read_bytes()
            continue
        if upright is None:
            upright = images.load_rgb(photo)
        content = crops.jpeg(upright.crop(box))
        with records.atomic_path(file) as temporary:
            temporary.write_bytes(content)
        yield content


def _row(frame, box: crops.Box, label: str, place: str, content: bytes) -> Record:
    return {
        "path": place,
        "frame_id": frame.frame_id,
        **dict(zip(artefacts.CORNERS, box, strict=True)),
        "label": label,
        "split": frame.split,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def names_of(frames: pd.DataFrame) -> dict[str, str]:
    """{path: what the frame's crops are called, with its folder}, for frame_id and path. Crops of
    one name are of one frame, so a name that two frames share has the frame's id behind it; so has
    one that is cut, for a crop's is longer than its frame's.
    """
    stems = frames.path.map(lambda path: PurePosixPath(path).stem)
    is_shared = stems.duplicated(keep=False)
    names = {}
    for frame, stem, shared in zip(frames.itertuples(), stems, is_shared, strict=True):
        short = stem.encode()[:MOST_NAME_BYTES].decode(errors="ignore")
        name = f"{short}-{frame.frame_id[:8]}" if shared or short != stem else stem
        names[frame.path] = str(PurePosixPath(frame.path).with_name(name))
    return names
