"""The public face: dishes that are added and removed without training, and what they say of a
photo.

gallery = Gallery.load("outputs/canteen/04_training/gallery")
gallery.add("凉拌鸡胗", ["1.jpg", "2.jpg"])     # raises DoubtError where somebody should look first
gallery.remove("凉拌鸡胗")
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from dishvl_lib.core import names
from dishvl_lib.core.types import AnyPath, PhotoSource
from dishvl_lib.gallery import doubts, net, photos, store
from dishvl_lib.gallery.doubts import Doubt, DoubtError
from dishvl_lib.gallery.fusion import Fusion
from dishvl_lib.gallery.photos import GivenPhoto, LeftOut
from dishvl_lib.gallery.similarities import DishSimilarities
from dishvl_lib.gallery.store import GalleryError, Manifest, Photos
from dishvl_lib.similarity.embedder import Embedder

FOLDER = "gallery"
MENU = "menu"
NAMING = "naming"
SHORTLIST = 20  # dishes that the model picks a name from
MOST_FILES = 32  # of photos; more are put together at the next change
IN_MEMORY = Path("a gallery in memory")


@dataclass(frozen=True)
class Dish:
    """A dish of the gallery. `trained`: whether the model was trained on it; `added_at`: ISO time,
    '' for one that came from the run.
    """

    name: str
    n_photos: int
    trained: bool
    added_at: str = ""


@dataclass(frozen=True)
class Candidate:
    """A dish before it is added. `name`: as it will be called; `given`, `left_out`: its photos;
    `closest`: dishes and cosines; `doubts`: why somebody should look first.
    """

    name: str
    given: tuple[GivenPhoto, ...]
    left_out: tuple[LeftOut, ...]
    closest: tuple[tuple[str, float], ...]
    doubts: tuple[Doubt, ...]


class Gallery:
    """Registered photos of dishes. One that `load` opened lies in a folder and can be changed."""

    def __init__(self, manifest: Manifest, registered: Photos, folder: Path | None = None):
        self.folder = folder
        self._embedder: Embedder | None = None
        self._take(manifest, registered)

    @classmethod
    def load(cls, folder: AnyPath) -> "Gallery":
        """Open a gallery's folder. Raises `GalleryError` for one that is absent or damaged."""
        folder = Path(folder)
        return cls(*store.read(folder), folder)

    def loaded_again(self) -> "Gallery":
        """The gallery as it lies on the disk now, beside this one, which stays as it is; the net
        stays open where it is the same. Raises `GalleryError`.
        """
        again = Gallery.load(self._own_folder())
        if again.manifest.net == self.manifest.net:
            again._embedder = self._net()
        return again

    @staticmethod
    def of_model(model: AnyPath) -> Path | None:
        """The gallery's folder that belongs to a model's: `gallery` beside it, otherwise in it;
        None without one.
        """
        model = Path(model).absolute()
        for folder in (model.parent / FOLDER, model / FOLDER):
            if store.is_gallery(folder):
                return folder
        return None

    @property
    def dishes(self) -> list[Dish]:
        """In the order in which they came."""
        listed = []
        for name, n_photos in self.manifest.photos.items():
            added_at = self.manifest.added_at.get(name, "")
            listed.append(Dish(name, n_photos, self.is_trained(name), added_at))
        return listed

    def fusion(self, kind: str = MENU) -> Fusion:
        """How the model and this gallery answer together, on menus or in naming; the model alone
        where nothing was fitted.
        """
        fitted = (self.manifest.fusion or {}).get(kind)
        return Fusion(**fitted) if fitted else Fusion()

    @property
    def threshold(self) -> float:
        """The probability below which no entry of a menu is the answer; 0 where none was fitted."""
        return self.fusion().threshold

    def __len__(self) -> int:
        return len(self.similarities.names)

    def __iter__(self) -> Iterator[Dish]:
        return iter(self.dishes)

    def is_trained(self, name: str) -> bool:
        """Whether the model was trained on a dish of this name."""
        return names.normalise(name) in self._trained

    def is_new(self, name: str) -> bool:
        """Whether a dish of this name is registered that the model was never trained on."""
        return self._place(name) is not None and not self.is_trained(name)

    def picture(self, name: str) -> bytes | None:
        """A small JPEG of a dish, None without one."""
        places = np.flatnonzero(self.photos.pictured == name)
        return bytes(self.photos.picture[places[0]]) if len(places) else None

    def features(self, sources: Sequence[PhotoSource]) -> np.ndarray:
        """(n, D) float32 of unit length. Raises `ImageError` for a photo that cannot be read, and
        `GalleryError` when the net's weights are absent or others now.
        """
        return self._net().features([photos.content_of(source) for source in sources])

    def pixels(self, source: PhotoSource) -> np.ndarray:
        """A photo as the net reads it: uint8 (S, S, 3). Raises as `features`."""
        return self._net().pixels(photos.content_of(source))

    def features_of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """`features` of photos (n, S, S, 3) that `pixels` has read."""
        return self._net().features_of_pixels(pixels)

    def shortlist(self, feature: np.ndarray, most: int = SHORTLIST) -> list[str]:
        """The names of the dishes that a photo's feature (D,) is most similar to, best first."""
        return [name for name, _ in self.ranked(feature)[:most]]

    def ranked(
        self, feature: np.ndarray, entries: Sequence[str] | None = None
    ) -> list[tuple[str, float]]:
        """(dish, similarity), best first: all dishes, or those of a menu as it spells them."""
        similarity = self.similarities.of(feature)
        if entries is None:
            spelt = {str(name): place for place, name in enumerate(self.similarities.names)}
        else:
            places = {entry: self._place(entry) for entry in entries}
            spelt = {entry: place for entry, place in places.items() if place is not None}
        ranked = [(name, float(similarity[place])) for name, place in spelt.items()]
        return sorted(ranked, key=lambda pair: -pair[1])

    def combined(
        self, feature: np.ndarray, entries: Sequence[str], logs: np.ndarray, kind: str = MENU
    ) -> np.ndarray:
        """(entries,) log-probabilities by the model and the gallery together.

        logs (entries,): the model's, after a menu question or, for the names of a shortlist, after
        a naming question (`kind`).
        """
        return self.fusion(kind).log_probabilities(logs, *self.on_menu(feature, entries))

    def on_menu(self, feature: np.ndarray, entries: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(similarity (entries,), NaN of what is not registered; which entries the model was never
        trained on, of those that are).
        """
        of_dishes = self.similarities.of(feature)
        similarity = np.full(len(entries), np.nan)
        is_new = np.zeros(len(entries), bool)
        for number, entry in enumerate(entries):
            place = self._place(entry)
            if place is not None:
                similarity[number] = of_dishes[place]
                is_new[number] = not self.is_trained(entry)
        return similarity, is_new

    def look(self, name: str, sources: Sequence[PhotoSource]) -> Candidate:
        """What adding a dish would do; nothing is changed.

        Raises `GalleryError` for a name that cannot stand on a menu, and when no photo can be read.
        """
        cleaned = names.clean(name)
        fault = names.fault_of(cleaned)
        if fault:
            raise GalleryError(f"{name!r} cannot be a dish's name: {fault.reason}")
        if not sources:
            raise GalleryError(f"{cleaned}: give at least one photo")
        given, left_out = photos.read(sources, self._net())
        if not given:
            raise GalleryError(f"{cleaned}: none of the photos can be read: {left_out[0]}")
        return self._candidate(cleaned, given, left_out)

    def add(self, name: str, sources: Sequence[PhotoSource], *, yes: bool = False) -> Candidate:
        """Register a dish's photos; of a dish that is there they are added to it.

        Raises `DoubtError`, with the reasons, where somebody should look first, unless `yes`; else
        as `look`. Nothing is trained.
        """
        return self.register(self.look(name, sources), yes=yes)

    def register(self, candidate: Candidate, *, yes: bool = False) -> Candidate:
        """The second half of `add`, for a dish that was looked at."""
        folder = self._own_folder()
        with store.changing(folder):
            if self._refresh(folder):  # another process was quicker: look again
                candidate = self._candidate(candidate.name, candidate.given, candidate.left_out)
            if candidate.doubts and not yes:
                raise DoubtError(candidate.name, candidate.doubts)
            added = self._new_rows(candidate)
            if len(added):
                self._append(folder, candidate.name, added)
        return candidate

    def remove(self, name: str) -> int:
        """Take a dish off; returns how many photos were registered. Raises `GalleryError` when
        there is no such dish.
        """
        folder = self._own_folder()
        with store.changing(folder):
            self._refresh(folder)
            place = self._place(name)
            if place is None:
                raise GalleryError(f"{folder} has no dish called {name}{self._like(name)}")
            dish = str(self.similarities.names[place])
            n_photos = self.manifest.photos[dish]
            segments = []
            for segment in self.manifest.segments:
                left = {key: count for key, count in segment.photos.items() if key != dish}
                if left:
                    segments.append(segment.model_copy(update={"photos": left}))
            added_at = {key: at for key, at in self.manifest.added_at.items() if key != dish}
            self._write(folder, segments=segments, added_at=added_at)
        return n_photos

    def with_fusion(self, fusions: Mapping[str, Fusion]) -> "Gallery":
        """The same in memory, with fitted numbers for menus and naming."""
        fitted = {kind: fusion.as_record() for kind, fusion in fusions.items()}
        manifest = self.manifest.model_copy(update={"fusion": fitted})
        return Gallery(manifest, self.photos)

    def with_photos(self, added: Photos) -> "Gallery":
        """A gallery in memory with more photos; this one stays as it is."""
        registered = store.together([self.photos, added])
        counts = dict(zip(*np.unique(registered.name, return_counts=True), strict=True))
        photos_of = {str(name): int(count) for name, count in counts.items()}
        segment = store.Segment(file="", photos=photos_of)
        return Gallery(self.manifest.model_copy(update={"segments": [segment]}), registered)

    def _take(self, manifest: Manifest, registered: Photos) -> None:
        self.manifest = manifest
        self.photos = registered
        self.similarities = DishSimilarities(registered.name, registered.feature)
        self._trained = {names.normalise(name) for name in manifest.trained}
        self._places = {}
        for place, name in enumerate(self.similarities.names):
            self._places[names.normalise(str(name))] = place

    def _place(self, name: str) -> int | None:
        return self._places.get(names.normalise(name))

    def open_net(self) -> None:
        """Open the net now instead of with the first photo. Raises `GalleryError` as `features`."""
        self._net()

    def _net(self) -> Embedder:
        if self._embedder is None:
            self._embedder = net.opened(self.folder or IN_MEMORY, self.manifest.net)
        return self._embedder

    def _own_folder(self) -> Path:
        if self.folder is None:
            raise GalleryError("this gallery is in memory only; open one with Gallery.load(folder)")
        return self.folder

    def _refresh(self, folder: Path) -> bool:
        """Take what another process has changed since; whether there was anything."""
        if store.read_manifest(folder).revision == self.manifest.revision:
            return False
        self._take(*store.read(folder))
        return True

    def _candidate(
        self, name: str, given: Sequence[GivenPhoto], left_out: Sequence[LeftOut]
    ) -> Candidate:
        place = self._place(name)
        dish = name if place is None else str(self.similarities.names[place])
        closest = doubts.closest_dishes(given, dish, self.similarities)
        reasons = [
            *doubts.about_name(name, [str(known) for known in self.similarities.names]),
            *doubts.about_twins(given, dish, self.photos, self.manifest.net.net),
            *doubts.about_looks(closest, self.similarities),
        ]
        return Candidate(dish, tuple(given), tuple(left_out), tuple(closest), tuple(reasons))

    def _new_rows(self, candidate: Candidate) -> Photos:
        """The given photos as rows, without those that are registered under this dish already."""
        known = set(self.photos.sha256[self.photos.name == candidate.name])
        given = [photo for photo in candidate.given if photo.sha256 not in known]
        if not given:
            return store.no_photos(self.manifest.net.feature_size)
        pictured = [] if self.picture(candidate.name) else [candidate.name]
        return Photos(
            name=np.array([candidate.name] * len(given)),
            feature=np.stack([photo.feature for photo in given]),
            sha256=np.array([photo.sha256 for photo in given]),
            phash=np.array([photo.phash for photo in given]),
            phash_mirrored=np.array([photo.phash_mirrored for photo in given]),
            pictured=np.array(pictured, dtype=str),
            picture=np.array([given[0].picture][: len(pictured)], dtype="S"),
        )

    def _append(self, folder: Path, name: str, added: Photos) -> None:
        segments = [*self.manifest.segments, store.write_photos(folder, added)]
        if len(segments) > MOST_FILES:
            registered = store.together([self.photos, added])
            segments = [store.write_photos(folder, registered)]
        added_at = dict(self.manifest.added_at)
        if name not in self.manifest.photos:
            added_at[name] = datetime.now().astimezone().isoformat(timespec="seconds")
        self._write(folder, segments=segments, added_at=added_at)

    def _write(self, folder: Path, **changed: object) -> None:
        revision = self.manifest.revision + 1
        manifest = self.manifest.model_copy(update={**changed, "revision": revision})
        store.write_manifest(folder, manifest)
        self._take(*store.read(folder))

    def _like(self, name: str) -> str:
        """A hint at the dish that was meant."""
        meant = [
            str(known)
            for known in self.similarities.names
            if names.canonical(str(known)) == names.canonical(name)
        ]
        return f"; did you mean {meant[0]}?" if meant else "; dishvl dish list shows them"
