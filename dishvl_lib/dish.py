"""`dishvl dish add | remove | list`: which dishes the gallery beside a model knows."""

import sys
from collections.abc import Sequence
from pathlib import Path

from dishvl_lib.core import photo_files, records
from dishvl_lib.display import cards
from dishvl_lib.gallery import adding, store
from dishvl_lib.gallery.gallery import Candidate, Gallery, GalleryError
from dishvl_lib.predict import newest_best

SHEET = "before_adding.html"
YES = ("y", "yes", "j", "ja", "是", "好")


def add(name: str, photos: Sequence[str], model: str | None = None, *, yes: bool = False) -> int:
    """Register a dish; 1 when a photo could not be used (the others are registered all the same).

    What should be looked at first is printed, with the page that shows it, and asked about in a
    terminal. Raises `DoubtError` where nobody can be asked or somebody says no, and `GalleryError`.
    """
    gallery = Gallery.load(folder_of(model))
    candidate = gallery.look(name, given_files(photos))
    for left_out in candidate.left_out:
        print(f"dishvl: {left_out}", file=sys.stderr)
    _print_closest(candidate)
    if candidate.doubts:
        _print_doubts(gallery, candidate)
        yes = yes or _agreed()
    added = adding.register(gallery, candidate, yes=yes)
    name = added.candidate.name
    print(f"{name}: {added.n_added} photos added, {added.n_photos} registered in all")
    return int(bool(candidate.left_out))


def remove(name: str, model: str | None = None) -> None:
    """Take a dish off. Raises `GalleryError` when there is none of this name."""
    gallery = Gallery.load(folder_of(model))
    n_photos = gallery.remove(name)
    print(f"{name}: removed with its {n_photos} photos; {len(gallery)} dishes are left")


def show(model: str | None = None) -> None:
    """Print a line per dish: name, photos, where it came from."""
    folder = folder_of(model)
    manifest = store.read_manifest(folder)
    trained = set(manifest.trained)
    for name, n_photos in manifest.photos.items():
        added_at = manifest.added_at.get(name, "")
        origin = f"added {added_at}" if added_at else "from the run"
        known = "" if name in trained else ", not trained on"
        print(f"{name}\t{n_photos} photos\t{origin}{known}")
    print(f"{len(manifest.photos)} dishes in {folder}")


def folder_of(model: str | None) -> Path:
    """The gallery that belongs to a model's folder (default: the newest run's best/).

    Raises `GalleryError` when there is none.
    """
    return adding.folder_of(model or newest_best())


def given_files(photos: Sequence[str]) -> list[Path]:
    """The photos of a command line: files as they are given, and the photos in folders, by name.

    Raises `GalleryError` for a folder without photos.
    """
    files: list[Path] = []
    for given in map(Path, photos):
        if not given.is_dir():
            files.append(given)
            continue
        inside = [file for file in sorted(given.iterdir()) if photo_files.is_photo(file)]
        if not inside:
            raise GalleryError(f"{given} holds no photo")
        files += inside
    return files


def _print_closest(candidate: Candidate) -> None:
    closest = ", ".join(f"{name} {cosine:.2f}" for name, cosine in candidate.closest)
    if closest:
        print(f"most similar dishes (cosine): {closest}")


def _print_doubts(gallery: Gallery, candidate: Candidate) -> None:
    for doubt in candidate.doubts:
        print(f"look first: {doubt}")
    rows = []
    for doubt in candidate.doubts:
        given = candidate.given if doubt.photo is None else [candidate.given[doubt.photo]]
        pictures = [photo.picture for photo in given]
        rows.append(
            cards.DoubtRow(doubt.sentence, pictures, doubt.dish, gallery.picture(doubt.dish))
        )
    page = (gallery.folder or Path()) / SHEET
    records.write_text(page, cards.doubts_page(candidate.name, rows))
    print(f"pictures: {page}")


def _agreed() -> bool:
    """Whether somebody at a terminal wants it added; False where nobody can be asked."""
    if not sys.stdin.isatty():
        return False
    return input("add it all the same? [y/N] ").strip().lower() in YES
