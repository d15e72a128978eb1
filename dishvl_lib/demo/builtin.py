"""What `builtin` in the params stands for: drawn photos, a local annotator, a tiny base model; made
on first use.
"""

from collections.abc import Sequence
from pathlib import Path

from dishvl_lib.core import caches, paths, records
from dishvl_lib.core.types import Record, Records
from dishvl_lib.demo import detector_start as start
from dishvl_lib.demo import dishes
from dishvl_lib.demo import trays as drawn
from dishvl_lib.demo.annotator import BuiltinAnnotator

BUILTIN = "builtin"
PHOTOS_VERSION = 2
PHOTOS_PER_DISH = 88
TRAYS = 320
TRAYS_SEED = 0


def photos(image_root: str, sites: Sequence[Record]) -> tuple[Path, Records]:
    """(folder of the dish photos, sites with real folders); `builtin` draws the demo's photos once
    into the cache.
    """
    root = drawn_folder() / "photos" if image_root == BUILTIN else paths.resolve(image_root)
    return root, outside_sites(sites)


def outside_sites(sites: Sequence[Record]) -> Records:
    """The sites with real folders; the demo's photos are drawn where one of them is `builtin`."""
    return [_site(site) for site in sites]


def drawn_folder() -> Path:
    """The drawn set, complete; drawn now if it is not there yet."""
    key = records.fingerprint([PHOTOS_VERSION, PHOTOS_PER_DISH, sorted(dishes.DISHES)])[:12]
    folder = paths.cache("demo_photos") / key

    def draw(empty: Path) -> None:
        print(
            f"drawing {len(dishes.DISHES)} dishes x {PHOTOS_PER_DISH} photos into {folder} "
            "(half a minute on two cores, once)",
            flush=True,
        )
        dishes.draw_demo_photos(empty, photos_per_dish=PHOTOS_PER_DISH)

    return caches.folder(folder, draw, "the demo's photos")


def trays(trays_root: str, tray_labels: str) -> tuple[Path, Path | None]:
    """(folder of the photos of trays, their labels, None without any); `builtin` draws the demo's
    once into the cache, with labels of its own.
    """
    if trays_root != BUILTIN:
        return paths.resolve(trays_root), paths.resolve(tray_labels) if tray_labels else None
    folder = drawn_trays(TRAYS, TRAYS_SEED)
    return folder / drawn.FRAMES, paths.resolve(
        tray_labels
    ) if tray_labels else folder / drawn.LABELS


def detector_start(value: str) -> Path | None:
    """The weights that the training of a detector begins from; None to begin from nothing."""
    if value != BUILTIN:
        return None
    start.check()
    return start.FILE


def drawn_trays(n: int, seed: int) -> Path:
    """The folder of n drawn trays of the demo's dishes, complete; drawn now if they are not there
    yet.
    """
    key = records.fingerprint([drawn.VERSION, n, seed, sorted(dishes.DISHES)])[:12]
    folder = paths.cache("demo_trays") / key

    def draw(empty: Path) -> None:
        print(f"drawing {n} trays into {folder} (about a minute, once)", flush=True)
        drawn.draw_demo_trays(empty / "set", n=n, seed=seed)

    return caches.folder(folder, draw, "the demo's trays") / "set"


def annotators(
    settings: Sequence[Record], image_root: str
) -> tuple[Records, BuiltinAnnotator | None]:
    """The annotator list with real addresses, and the local server when one was started (stop it
    when done). The local one knows the demo's own photos only, and is not asked about others.
    """
    if not any(setting.get("base_url") == BUILTIN for setting in settings):
        return list(settings), None
    if image_root != BUILTIN:
        print("the demo's annotator knows only photos that it drew: it is not asked about yours")
        return [setting for setting in settings if setting.get("base_url") != BUILTIN], None
    server = BuiltinAnnotator(drawn_folder()).start()
    with_addresses = []
    for setting in settings:
        if setting.get("base_url") == BUILTIN:
            setting = {**setting, "base_url": server.base_url}
        with_addresses.append(setting)
    return with_addresses, server


def base_model(value: str, names: Sequence[str], max_pixels: int) -> str:
    """The base model's folder; `builtin` builds a tiny one that knows `names`, once per set of
    names and photo size.
    """
    from dishvl_lib.demo import base_model as tiny
    from dishvl_lib.vlm import qwen

    if value != BUILTIN:
        return qwen.locate(value)
    side = round(max_pixels**0.5)
    print(tiny.describe(image_size=side), flush=True)
    n_names = len(set(names))
    # What the language part has not learnt here costs menus: with half the training of an earlier
    # version they fell from 0.990 to 0.978 (seed 1, n=407).
    steps = min(6000, 100 + 26 * n_names)
    folder = tiny.build(names, paths.cache("demo_base_model"), image_size=side, steps=steps)
    return str(folder)


def _site(site: Record) -> Record:
    if site.get("image_root") != BUILTIN:
        return {**site, "image_root": str(paths.resolve(site["image_root"]))}
    folder = drawn_folder()
    return {
        **site,
        "image_root": str(folder / "site_b"),
        "menu_csv": str(folder / "site_b_truth.csv"),
    }
