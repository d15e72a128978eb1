"""Photos whose names look as if one had been made from another by augmenting, before the split.

They are listed and never joined: only their owner knows whether `a_flip.jpg` is `a.jpg` turned
round. Copies of Roboflow (NAME.rf.HASH) are joined as one frame and do not come here.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

import pandas as pd

from dishvl_lib.core import artefacts

COLUMNS = ("dish_id", "stem", "photos", "splits", "marks", "first", "second")
_WORDS = (
    "h?flip(?:ped)?|v?flip(?:ped)?|mirror(?:ed)?|rot(?:ate|ated|ation)?|"
    "aug(?:ment|mented|mentation)?|bright(?:ness)?|dark(?:en|ened)?|contrast|blur(?:red)?|"
    "noise|noisy|gauss(?:ian)?|shift(?:ed)?|scaled?|"
    "zoom(?:ed)?|crop(?:ped)?|sharp(?:en|ened)?|gr[ae]y|hue|satur(?:ation|ated)?|jitter|colou?r|"
    "shear(?:ed)?|transformed|cutout|mixup|翻转|水平翻转|垂直翻转|旋转|镜像|增强|亮度|变亮|变暗|模糊|噪声|裁剪|"
    "缩放|平移"
)
_FRAME = r"(?P<frame>.+?)"
# What stands behind a photo's own name in a copy of it: _flip, _rot90, -aug_3, (aug2).
_MARK = r"[ _.([-]+(?:WORDS)(?:[ _-]*\(?\d+\)?)*(?:deg)?[)\]]?"
_MARKED = re.compile(f"{_FRAME}(?:{_MARK.replace('WORDS', _WORDS)})+", re.IGNORECASE)
_WORD = re.compile(f"(?<![^ _.([-])(?:{_WORDS})", re.IGNORECASE)
# Augmentor and Keras put the source's name, or its number, before a mark of their own.
_TOOLS = {
    "Augmentor": rf".*_original_{_FRAME}\.\w{{3,4}}_[0-9a-f]{{8}}-[0-9a-f-]{{27}}",
    "Keras": r"(?P<frame>aug\w*?_\d+)_\d{2,5}",
}


def families(photos: pd.DataFrame) -> pd.DataFrame:
    """COLUMNS: of each dish's photos those whose names differ by marks of augmenting only, with the
    splits that they lie in; families in several splits first.

    photos: path, dish_id, group_id, split; those of outside sites do not count.
    """
    rows = []
    for (dish_id, stem), part in _families(photos[~artefacts.at_site(photos.split)]):
        splits = ", ".join(sorted(set(part.split)))
        marks = ", ".join(_single_marks(part.marks))
        rows.append((dish_id, stem, len(part), splits, marks, *sorted(part.path)[:2]))
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"splits": str})
    stays = ~table.splits.str.contains(",")
    order = table.assign(stays=stays).sort_values(["stays", "dish_id", "stem"], kind="stable")
    return order[list(COLUMNS)].reset_index(drop=True)


def note(table: pd.DataFrame) -> str:
    """One sentence on the families, and the parameter that joins them; '' when there are none.
    table: as `families` makes it.
    """
    if table.empty:
        return ""
    crossing = int(table.splits.str.contains(",").sum())
    first = table.iloc[0]
    # As it is written in a profile: there a backslash stands for itself between single quotes.
    joining = ", ".join(f"'{pattern}'" for pattern in patterns(table))
    return (
        f"{len(table)} photos seem to have copies made by augmenting, such as {first['first']} and "
        f"{first['second']} (augmented.csv), and {crossing} of them lie in another split than a "
        "copy: names alone join nothing. Where they are copies, take the originals only, or set "
        f"file_patterns: [{joining}], which keeps those of one photo together"
    )


def patterns(table: pd.DataFrame) -> list[str]:
    """The file_patterns that join these families."""
    marks = _single_marks(table.marks)
    of_tools = [f"^{_TOOLS[mark]}$" for mark in marks if mark in _TOOLS]
    words = "|".join(mark for mark in marks if mark not in _TOOLS)
    if not words:
        return of_tools
    return [*of_tools, rf"(?i)^{_FRAME}(?:{_MARK.replace('WORDS', words)})*$"]


def _single_marks(written: pd.Series) -> list[str]:
    """The marks that stand in cells, of which each holds several, each mark once."""
    marks = ", ".join(written).split(", ")
    return sorted(set(marks) - {""})


def _families(photos: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """((dish_id, stem), photos) of two photos or more, one of them marked, in several groups."""
    read = [_read(PurePosixPath(path).stem) for path in photos.path]
    names = pd.DataFrame(read, columns=["stem", "marks"], index=photos.index)
    named = photos.assign(stem=names.stem, marks=names.marks)
    for key, part in named.groupby(["dish_id", "stem"], sort=True):
        # Several groups are several photos.
        if part.marks.any() and part.group_id.nunique() > 1:
            yield key, part


def _read(stem: str) -> tuple[str, str]:
    """(the name of the photo that one was made from, its marks); the name itself without marks."""
    for tool, expression in _TOOLS.items():
        match = re.fullmatch(expression, stem, re.IGNORECASE)
        if match:
            return match["frame"], tool
    match = _MARKED.fullmatch(stem)
    if not match:
        return stem, ""
    frame = match["frame"]
    marks = stem.removeprefix(frame).casefold()
    return frame, ", ".join(dict.fromkeys(_WORD.findall(marks)))
