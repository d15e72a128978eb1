"""What adding a dish did, and the gallery that a model's dishes are added to: for the command line
and for the service alike.
"""

from dataclasses import dataclass
from pathlib import Path

from dishvl_lib.core.types import AnyPath
from dishvl_lib.gallery import store
from dishvl_lib.gallery.gallery import Candidate, Gallery, GalleryError

HOW_TO_GET_ONE = (
    "Stage 05 makes it: dishvl run PROFILE --from 05 (with --redo 05 where it had finished without "
    "one)"
)


@dataclass(frozen=True)
class Added:
    """`candidate`: the dish as it was registered; `n_added` photos that are new, `n_photos` it has
    now.
    """

    candidate: Candidate
    n_added: int
    n_photos: int


def register(gallery: Gallery, candidate: Candidate, *, yes: bool) -> Added:
    """`Gallery.register`, and what it changed. Raises `DoubtError` where somebody should look first,
    unless `yes`.
    """
    before = _n_photos(gallery, candidate.name)
    registered = gallery.register(candidate, yes=yes)
    after = _n_photos(gallery, registered.name)
    return Added(registered, after - before, after)


def folder_of(model: AnyPath) -> Path:
    """The gallery that belongs to a model's folder, or is this folder itself.

    Raises `GalleryError` when there is none.
    """
    best = Path(model)
    if store.is_gallery(best):
        return best
    folder = Gallery.of_model(best)
    if folder is None:
        raise GalleryError(f"no gallery lies beside {best} or in it. {HOW_TO_GET_ONE}")
    return folder


def _n_photos(gallery: Gallery, name: str) -> int:
    return gallery.manifest.photos.get(name, 0)
