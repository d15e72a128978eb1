"""Stage 05 on whole trays: the test frames of stage 00, by the detector's boxes and by people's."""

import zlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from dishvl_lib import Hybrid
from dishvl_lib.core import artefacts, given_tables, images, names, paths
from dishvl_lib.core.progress import Progress
from dishvl_lib.core.rules import listed
from dishvl_lib.core.stages import Stage
from dishvl_lib.core.types import Record, Records
from dishvl_lib.detection import matching
from dishvl_lib.detection.boxes import Detections
from dishvl_lib.evaluation import trays
from dishvl_lib.gallery.gallery import FOLDER, Gallery, GalleryError
from dishvl_lib.steps import gallery, tray_frames
from dishvl_lib.steps.tray_frames import TRUTH
from dishvl_lib.trays import FoundDishes, recognised
from dishvl_lib.vlm.recognizer import Recognizer

FILE = "trays.parquet"
TABLE = "whole trays"
Said = tuple[str, bool]  # the dish's name, and whether a person was asked to look at it
# What names the dishes in some boxes of an upright photo, by a menu; one a box, in its order.
Namer = Callable[[Image.Image, Detections, Sequence[str]], list[Said]]


class Judged(NamedTuple):
    """Rows of evaluation.trays, and their measures {predictor: {protocol: measures}}."""

    rows: pd.DataFrame
    measured: dict[str, Record]

    @property
    def shown(self) -> dict[str, pd.DataFrame]:
        """{title: table} for people; {} where the run has no trays."""
        return {TABLE: trays.table(self.measured)} if self.measured else {}


class JudgedTray(NamedTuple):
    """A frame whose every dish is known: its photo, people's boxes and names, the detector's
    boxes, and the menu that is chosen from.
    """

    frame_id: str
    photo: Path
    truth: Detections
    names: tuple[str, ...]
    found: Detections
    menu: list[str]


def judge(
    stage: Stage, of: gallery.Known, similar: pd.DataFrame, opened: Callable[[], Recognizer]
) -> Judged:
    """The test frames, each with a menu of its dishes, their look-alikes and others.

    `of`: names that may stand on a menu, and vectors; `opened`: opens the tuned model.
    """
    if not stage.params["trays_root"] or (stage.done and not stage.path(FILE).exists()):
        return Judged(pd.DataFrame(columns=list(trays.COLUMNS)), {})
    rows = stage.make(FILE, _judged, stage, of, similar, opened)
    if rows.empty:
        return Judged(rows, {})
    return Judged(rows, trays.measures(rows, _prices(stage, set(of.names.values()))))


def _prices(stage: Stage, dishes: Collection[str]) -> dict[str, float]:
    """{name: price} of prices_csv for the run's dishes; {} without one. Notes dishes without a
    price.
    """
    file = stage.named_file("prices_csv")
    if file is None:
        return {}
    listed_prices = given_tables.prices(file)
    price_of = {}
    for written, name in names.matching(listed_prices, dishes).items():
        price_of[name] = listed_prices[written]
    without = sorted(set(dishes) - set(price_of))
    if without and not stage.done:
        stage.note(
            f"prices_csv {file} has no price of {len(without)} dishes ({listed(without)}): trays on "
            "which one lies or is answered count in no sum"
        )
    return price_of


def _judged(
    stage: Stage, of: gallery.Known, similar: pd.DataFrame, opened: Callable[[], Recognizer]
) -> pd.DataFrame:
    test_trays = _test_trays(stage, of, similar)
    rows: Records = []
    if test_trays:
        folder = stage.input("04_training", "best").parent / FOLDER
        margin = stage.marker("01_annotation")["crop_margin"]
        named_by, without = namers(opened(), folder, margin)
        if without:
            stage.note(f"trays were judged by the model alone: {without}")
        for predictor, namer in named_by.items():
            rows += answers(predictor, namer, test_trays)
    return pd.DataFrame(rows, columns=list(trays.COLUMNS))


def namers(
    recognizer: Recognizer, gallery_folder: Path, margin: float
) -> tuple[dict[str, Namer], str]:
    """(by predictor: the tuned model, with the gallery beside it, and the gallery's net alone; why
    there is no gallery, '' where there is one).
    """
    named_by: dict[str, Namer] = {"tuned": _by_model(recognizer, margin)}
    try:
        beside = Gallery.load(gallery_folder)
        named_by["hybrid"] = _by_model(Hybrid(recognizer, beside), margin)
        named_by[beside.manifest.net.net] = _by_net(beside, margin)
    except GalleryError as error:
        return named_by, str(error)
    return named_by, ""


def _by_model(recognizer, margin: float) -> Namer:
    def named(upright: Image.Image, found: Detections, menu: Sequence[str]) -> list[Said]:
        said = {}
        dishes = recognised(recognizer, upright, found, menu, crop_margin=margin)
        for place, dish in dishes.items():
            said[place] = (dish.answer, bool(dish.review))
        return _in_order(said, found)

    return named


def _by_net(beside: Gallery, margin: float) -> Namer:
    """The most similar registered photo's dish of those on the menu: what was there before."""

    def named(upright: Image.Image, found: Detections, menu: Sequence[str]) -> list[Said]:
        dishes = FoundDishes.on(upright, found, margin)
        said = {}
        if dishes.pictures:
            pixels = np.stack([beside.pixels(picture) for picture in dishes.pictures])
            features = beside.features_of_pixels(pixels)
            for place, feature in zip(dishes.places, features, strict=True):
                best, _ = beside.ranked(feature, menu)[0]
                said[place] = (best, False)
        return _in_order(said, found)

    return named


def _in_order(said: Mapping[int, Said], found: Detections) -> list[Said]:
    """What is said of each box; of one that no crop can be made of, nothing."""
    return [said.get(place, ("", False)) for place in range(len(found))]


def answers(predictor: str, namer: Namer, test_trays: Sequence[JudgedTray]) -> Records:
    """Rows of evaluation.trays: what a predictor says of each dish, by both kinds of boxes."""
    rows: Records = []
    with Progress(f"trays by {predictor}", len(test_trays), "trays") as progress:
        for tray in test_trays:
            upright = images.load_rgb(tray.photo)
            for protocol, found in ((trays.TRAY, tray.found), (trays.TRUE_BOXES, tray.truth)):
                said = namer(upright, found, tray.menu)
                for marked in _marked(tray, found, said):
                    values = (tray.frame_id, predictor, protocol, *marked, len(tray.menu))
                    rows.append(dict(zip(trays.COLUMNS, values, strict=True)))
            progress.advance()
    return rows


def _marked(
    tray: JudgedTray, found: Detections, said: Sequence[Said]
) -> list[tuple[str, str, bool]]:
    """(truth, answer, flagged) of each dish on the tray, and of each box where none lies."""
    pairs = matching.matched(tray.truth, found)
    rows = []
    for place, name in enumerate(tray.names):
        answer, flagged = said[pairs[place]] if place in pairs else ("", False)
        rows.append((name, answer, flagged))
    for place, (answer, flagged) in enumerate(said):
        if place not in pairs.values():
            rows.append(("", answer, flagged))
    return rows or [("", "", False)]


def _test_trays(stage: Stage, of: gallery.Known, similar: pd.DataFrame) -> list[JudgedTray]:
    """The test frames on which every dish is one that can be asked about. A frame that stage 01 has
    given a photo to another split of, or left out, is judged no more: it is noted.
    """
    frames = stage.table(paths.TRAYS, artefacts.FRAMES)
    boxes = stage.table(paths.TRAYS, artefacts.BOXES)
    root = Path(stage.marker(paths.TRAYS)["frames_root"])
    name_of = _name_by_label(of)
    outside = _frames_outside(stage.table(paths.TRAYS, artefacts.CROPS), of.photos)
    closest = closest_look_alikes(similar, of.names)
    dishes_of_run = sorted(set(of.names.values()))
    test = frames[(frames.split == "test") & (frames.n_boxes >= 0)]
    kept = []
    left_out: Counter[str] = Counter()
    for frame in test.itertuples():
        on_frame = boxes[boxes.frame_id == frame.frame_id]
        truth = on_frame[on_frame.source == TRUTH]
        dishes = tuple(name_of.get(label, "") for label in truth.label)
        reason = _why_not_judged(root, frame.path, dishes, frame.frame_id in outside)
        if reason:
            left_out[reason] += 1
            continue
        rng = np.random.default_rng([stage.params["seed"], zlib.crc32(frame.frame_id.encode())])
        menu = drawn_menu(dishes, closest, dishes_of_run, stage.params["tray_menu_size"], rng)
        found = tray_frames.detected(on_frame)
        kept.append(
            JudgedTray(
                frame.frame_id,
                root / frame.path,
                tray_frames.as_drawn(tray_frames.corners_of(truth)),
                dishes,
                found,
                menu,
            )
        )
    _note_left_out(stage, len(test), left_out)
    return kept


def _why_not_judged(root: Path, path: str, dishes: Sequence[str], is_outside: bool) -> str:
    """Why a test tray cannot be judged; '' where it can. `dishes`: names, '' for one without."""
    if not (root / path).is_file():
        return f"its photo has gone from {root}"
    if "" in dishes:
        return "a dish on it cannot stand on a menu"
    return "stage 01 has a crop of it in another split" if is_outside else ""


def _note_left_out(stage: Stage, n_test: int, left_out: Mapping[str, int]) -> None:
    if n_test == 0:
        stage.note("no tray is judged: no frame with labels was kept for testing")
    for reason, n in left_out.items():
        stage.note(f"{n} of {n_test} test trays are not judged: {reason}")


def _name_by_label(of: gallery.Known) -> dict[str, str]:
    """{label of stage 00: the name under which its dish stands on menus}."""
    pairs = of.photos[["folder", "dish_id"]].drop_duplicates("folder")
    named = {}
    for folder, dish_id in zip(pairs.folder, pairs.dish_id, strict=True):
        named[folder] = of.names.get(dish_id, "")
    return named


def _frames_outside(made: pd.DataFrame, photos: pd.DataFrame) -> set[str]:
    """The frames of which a crop tests nothing now: stage 01 has it in another split."""
    other_splits = photos.path[photos.split != "test"]
    return set(made.frame_id[made.path.isin(other_splits)])


def closest_look_alikes(similar: pd.DataFrame, name_of: Mapping[str, str]) -> dict[str, str]:
    """{name: the name of the dish that looks most like it}; of rows of similar_dishes.csv."""
    found: dict[str, str] = {}
    for row in similar.sort_values("rank", kind="stable").itertuples():
        if row.dish_id in name_of and row.similar_id in name_of:
            found.setdefault(name_of[row.dish_id], name_of[row.similar_id])
    return found


def drawn_menu(
    dishes: Sequence[str],
    closest: Mapping[str, str],
    dishes_of_run: Sequence[str],
    size: int,
    rng: np.random.Generator,
) -> list[str]:
    """A menu of `size` entries: the tray's dishes, the closest look-alike of each, and others by
    chance, in an order by chance.
    """
    look_alikes = [closest[name] for name in dishes if name in closest]
    others = rng.permutation(dishes_of_run).tolist()
    wanted = list(dict.fromkeys([*dishes, *look_alikes, *others]))
    most = max(size, len(set(dishes)))
    return rng.permutation(wanted[:most]).tolist()
