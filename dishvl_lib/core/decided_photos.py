"""What becomes of people's decisions about photos: who is left out, and who is of another dish than
its folder says.

Stage 01 reads decisions/photos.csv and applies it after the split and the names are made, so that
a photo that gets another dish keeps its image_id, its group and its split, and moves nobody else.
Stage 03 applies it again: a run may have its catalogue from another run.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from dishvl_lib.core import artefacts, decisions, given_tables
from dishvl_lib.core.right_dishes import RightDishes
from dishvl_lib.core.rules import listed
from dishvl_lib.core.types import AnyPath, RecordViews

# In a stage's folder: the decision about each photo that counts, as the stage has read it, and
# what became of it.
READ_FILE = "read_decisions.csv"
OUTCOME_FILE = "decided_photos.csv"
READ_COLUMNS = ("image_id", "path", "dish_id", "decision", "right_dish", "time")
LEAVE_OUT = (decisions.PHOTO_BAD, decisions.LABEL_WRONG)
MOVED = "moved"
LEFT_OUT = "left out"
STAYS = "stays"
GONE = "gone"
TWINS = "of its group keep their dish"
MOST_SHOWN = 5


class Outcome(NamedTuple):
    """What becomes of one photo: an effect, the dish that it is moved to, and why."""

    effect: str
    moved_to: str = ""
    detail: str = ""


def read(file: AnyPath | None) -> pd.DataFrame:
    """READ_COLUMNS, a row for each photo that somebody has decided about and not taken back; no
    rows for no file.

    Raises `RecordError` for a file that is no table or lacks image_id or decision.
    """
    columns = list(READ_COLUMNS)
    if not file or not _has_content(Path(file)):
        return pd.DataFrame(columns=columns, dtype=str)
    table = given_tables.read(file, decisions.PHOTO_COLUMNS_NEEDED)
    lacking = [name for name in READ_COLUMNS if name not in table.columns]
    table = table.assign(**dict.fromkeys(lacking, ""))
    rows_by_photo: dict[str, list[dict[str, str]]] = {}
    for row in table[columns].to_dict("records"):
        photo = row["image_id"].strip() or row["path"]
        rows = rows_by_photo.setdefault(photo, [])
        rows.append(row)
    counting = map(decisions.latest, rows_by_photo.values())
    kept = [row for row in counting if row["decision"].strip() != decisions.TAKEN_BACK]
    decided = pd.DataFrame(kept, columns=columns, dtype=str)
    image_id = decided.image_id.str.strip()
    decision = decided.decision.str.strip()
    return decided.assign(image_id=image_id, decision=decision)


def _has_content(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def about(decided: pd.DataFrame, photos: pd.DataFrame) -> pd.DataFrame:
    """`decided` with the image_id of the photo that each row means, '' where there is none.

    A spreadsheet may have made a number of an image_id (12345e67...): then the path says which
    photo is meant, unless another row is about that photo. photos: image_id, path.
    """
    known = set(photos.image_id)
    direct = set(decided.image_id) & known
    id_of_path = dict(zip(photos.path, photos.image_id, strict=True))
    meant = []
    for image_id, path in zip(decided.image_id, decided.path, strict=True):
        by_path = id_of_path.get(path, "")
        by_path = "" if by_path in direct else by_path
        meant.append(image_id if image_id in known else by_path)
    return decided.assign(image_id=meant)


def verdicts(decided: pd.DataFrame, photos: pd.DataFrame) -> pd.Series:
    """The decision about each photo, aligned with `photos` (image_id, path); NaN for none."""
    meant = about(decided, photos)
    meant = meant[meant.image_id != ""]
    decision_of_photo = dict(zip(meant.image_id, meant.decision, strict=True))
    return photos.image_id.map(decision_of_photo)


def of_another_dish(decided: pd.DataFrame, photos: pd.DataFrame) -> pd.Series:
    """bool, aligned with `photos`: somebody says that a photo's label is wrong and which is
    right.
    """
    return verdicts(decided, photos).eq(decisions.OTHER_DISH)


def settle(
    photos: pd.DataFrame,
    dishes: RecordViews,
    decided: pd.DataFrame,
    left_out: pd.DataFrame | None = None,
    former: Mapping[str, str] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(photos, what became of each decision: DECIDED_COLUMNS).

    photos: the catalogue (image_id, path, dish_id, group_id, split, sha256), which comes back whole
    with the right dish_id and MOVED_FROM; who must go says the effect `left out`. dishes: rows of
    dishes.jsonl. left_out: rejected.csv (REJECTED_COLUMNS), for the decisions by which photos are
    gone already. former: {dish_id before merging: after}.

    Of a photo that moves the copies with the same bytes move too, unless somebody decided about
    them; near-duplicates and crops of its frame do not, and are named in `detail`. A right dish
    that is not there leaves the photo out: its label is known to be wrong.
    """
    photos = _with_moved_from(photos)
    by_folder = photos.assign(dish_id=_dish_of_folder(photos))
    right = RightDishes(dishes, by_folder, former)
    meant = about(decided, by_folder)
    photo_by_id = by_folder.set_index("image_id", drop=False)
    absent = _Absent(left_out)
    paths = set(photos.path)
    rows = []
    for row, image_id in zip(decided.to_dict("records"), meant.image_id, strict=True):
        if image_id:
            photo = photo_by_id.loc[image_id]
            outcome = _outcome(row, photo, right)
            rows.append(_row(row, photo, outcome))
        elif row["path"] not in paths:
            # Otherwise a later row, whose image_id is whole, has decided about the photo.
            rows.append(absent.row(row))
    table = _with_twins(_table(rows), by_folder)
    moved = _moved(photos, table)
    by_path = table.sort_values("path", kind="stable", ignore_index=True)
    return moved, by_path


def gone(table: pd.DataFrame) -> set[str]:
    """The image_ids of a table of `settle` that are to be left out."""
    is_left_out = table.effect == LEFT_OUT
    return set(table.image_id[is_left_out])


def applied(photos: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """A catalogue of stage 01 with what stage 03 decided beyond it: photos moved, others gone."""
    moved = _moved(_with_moved_from(photos), table)
    is_gone = moved.image_id.isin(gone(table))
    return moved[~is_gone].reset_index(drop=True)


def unapplied(decided: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
    """The decisions of which an earlier stage's outcomes (DECIDED_COLUMNS) know nothing.

    What stage 01 has applied stands: it knew dishes before they were merged, a later stage does
    not.
    """
    columns = ["image_id", "decision", "right_dish"]
    known = set(outcomes[columns].itertuples(index=False, name=None))
    rows = decided[columns].itertuples(index=False, name=None)
    is_new = pd.Series([row not in known for row in rows], index=decided.index, dtype=bool)
    return decided[is_new].reset_index(drop=True)


def effective(earlier: pd.DataFrame, later: pd.DataFrame) -> pd.DataFrame:
    """The photos that were moved or left out, by stage 01 (`earlier`) or, where it knows better, by
    stage 03 (`later`).

    Decisions without an effect are not in it: a mark that changes nothing must not make the
    evaluation run again.
    """
    known = later[later.effect != GONE]
    is_known = earlier.image_id.isin(known.image_id)
    together = pd.concat([earlier[~is_known], known], ignore_index=True)
    has_effect = together.effect.isin((MOVED, LEFT_OUT))
    together = together[has_effect]
    return together.sort_values("path", kind="stable", ignore_index=True)


def none() -> pd.DataFrame:
    """DECIDED_COLUMNS without a row, for runs of earlier versions."""
    return _table([])


def _table(rows: Sequence[Mapping[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(artefacts.DECIDED_COLUMNS), dtype=str)


def waiting(file: Path, read_file: Path) -> int:
    """How many photos are decided otherwise in `file` than a stage has read (its copy
    `read_file`).
    """
    now = _by_photo(read(file))
    before = _by_photo(read(read_file))
    photos = now.keys() | before.keys()
    return sum(now.get(photo) != before.get(photo) for photo in photos)


def _by_photo(decided: pd.DataFrame) -> dict[str, tuple[str, str]]:
    photos = decided.image_id.where(decided.image_id != "", decided.path)
    said = zip(decided.decision, decided.right_dish, strict=True)
    return dict(zip(photos, said, strict=True))


def _with_moved_from(photos: pd.DataFrame) -> pd.DataFrame:
    """A copy with the column MOVED_FROM: '' where the catalogue has none."""
    if artefacts.MOVED_FROM in photos:
        return photos.copy()
    nowhere = pd.Series("", index=photos.index, dtype=object)
    return photos.assign(**{artefacts.MOVED_FROM: nowhere})


def _dish_of_folder(photos: pd.DataFrame) -> pd.Series:
    before = photos[artefacts.MOVED_FROM]
    return photos.dish_id.where(before == "", before)


def _outcome(row: Mapping[str, str], photo: pd.Series, right: RightDishes) -> Outcome:
    if row["decision"] in LEAVE_OUT:
        return Outcome(LEFT_OUT)
    if row["decision"] != decisions.OTHER_DISH:
        return Outcome(STAYS)
    dish_id, problem = right.meant(row["right_dish"], photo.dish_id, photo.split)
    if problem:
        return Outcome(LEFT_OUT, detail=problem)
    if dish_id == photo.dish_id:
        return Outcome(STAYS, detail="this is the dish of its folder")
    return Outcome(MOVED, dish_id)


def _row(row: Mapping[str, str], photo: pd.Series, outcome: Outcome) -> dict[str, str]:
    known = {name: photo[name] for name in ("image_id", "path", "dish_id", "split")}
    said = {name: row[name] for name in ("decision", "right_dish")}
    return {**known, **said, **outcome._asdict()}


class _Absent:
    """Decisions about photos that are not in the catalogue: the decision itself has left them out,
    or something else has.

    left_out: rejected.csv (REJECTED_COLUMNS), or None where it is not known.
    """

    def __init__(self, left_out: pd.DataFrame | None):
        self.by_id: dict[str, dict[str, str]] = {}
        rows = [] if left_out is None else left_out.to_dict("records")
        for row in rows:
            image_id = artefacts.image_id_of(row["path"])
            self.by_id[image_id] = row

    def row(self, row: Mapping[str, str]) -> dict[str, str]:
        path = row["path"]
        written_id = row["image_id"]
        decision = row["decision"]
        image_id = written_id if written_id in self.by_id else artefacts.image_id_of(path)
        file = self.by_id.get(image_id, {"path": path, "reason": "", "split": ""})
        reason = file["reason"]
        outcome = Outcome(GONE)
        if decision in LEAVE_OUT and reason == decision:
            outcome = Outcome(LEFT_OUT)
        elif reason:
            outcome = Outcome(GONE, detail=f"left out: {reason}")
        known = image_id if image_id in self.by_id else written_id
        said = {name: row[name] for name in ("dish_id", "decision", "right_dish")}
        where = {"image_id": known, "path": file["path"], "split": file.get("split", "")}
        return {**where, **said, **outcome._asdict()}


def _with_twins(table: pd.DataFrame, photos: pd.DataFrame) -> pd.DataFrame:
    """The table with rows for equal bytes that move along, and with the near-duplicates that do not
    named.
    """
    moved = table[table.effect == MOVED]
    if moved.empty:
        return table
    photo_by_id = photos.set_index("image_id")
    groups = photo_by_id.group_id.loc[moved.image_id]
    is_of_group = photos.group_id.isin(groups)
    is_decided = photos.image_id.isin(table.image_id)
    undecided = photos[is_of_group & ~is_decided]
    copies = []
    details = table.detail.to_dict()
    for place, row in moved.iterrows():
        photo = photo_by_id.loc[row.image_id]
        of_dish = undecided[undecided.dish_id == row.dish_id]
        is_copy = of_dish.sha256 == photo.sha256
        copies += [_copy_of(row, copy) for copy in of_dish[is_copy].itertuples()]
        is_same_group = of_dish.group_id == photo.group_id
        near = of_dish[~is_copy & is_same_group]
        n = len(near)
        if n:
            paths = near.path.tolist()
            details[place] = f"{n} {TWINS}: {listed(paths, MOST_SHOWN)}"
    detail = pd.Series(details, dtype=object)
    table = table.assign(detail=detail)
    rows = _table(copies).drop_duplicates("image_id")
    return pd.concat([table, rows], ignore_index=True)


def _copy_of(row: Any, copy: Any) -> dict[str, str]:
    detail = f"the same bytes as {row.path}"
    outcome = Outcome(MOVED, row.moved_to, detail)
    known = {"image_id": copy.image_id, "path": copy.path, "dish_id": copy.dish_id}
    said = {"decision": "", "right_dish": row.right_dish}
    return {**known, **said, "split": copy.split, **outcome._asdict()}


def _moved(photos: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The photos under the dishes of a table of outcomes; photos that it does not know stay as they
    are, and those that somebody gave back to their folder's dish go back.
    """
    by_folder = _dish_of_folder(photos)
    is_there = table.effect.isin((MOVED, STAYS))
    there = table[is_there]
    right = dict(zip(there.image_id, there.moved_to, strict=True))
    dish_ids = []
    before = []
    columns = (photos.image_id, photos.dish_id, by_folder)
    for image_id, dish_id, of_folder in zip(*columns, strict=True):
        now = dish_id
        if image_id in right:
            now = right[image_id] or of_folder
        dish_ids.append(now)
        before.append(of_folder if now != of_folder else "")
    return photos.assign(dish_id=dish_ids, **{artefacts.MOVED_FROM: before})
