"""The model that answers, with the gallery beside it as it is now."""

import logging
import threading
from pathlib import Path
from typing import Any

from dishvl_lib.gallery import adding, store
from dishvl_lib.gallery.gallery import Gallery, GalleryError
from dishvl_lib.hybrid import Hybrid
from dishvl_lib.vlm.photo_answers import PhotoAnswers
from dishvl_lib.vlm.recognizer import Recognizer

log = logging.getLogger("dishvl.serving")
Stamp = tuple[Path, int, int, int]  # gallery's folder; inode, size and time of its gallery.json


class ServedModel:
    """A `Recognizer`, and the gallery that lies beside its folder, where there is one.

    A gallery that answers is never changed: what has changed on the disk, by the service or by
    `dishvl dish`, is opened beside it and takes its place.
    """

    def __init__(self, recognizer: Recognizer, use_gallery: bool = True):
        """Raises `GalleryError` for a gallery that cannot be used with this model."""
        self.recognizer = recognizer
        self.use_gallery = use_gallery
        self._opening = threading.Lock()
        self._stamp = self._stamp_now()
        self._hybrid = self._opened(None)

    @property
    def gallery(self) -> Gallery | None:
        """The gallery that answers now."""
        hybrid = self._hybrid
        return hybrid.gallery if hybrid else None

    def answers(self) -> PhotoAnswers[Any]:
        """What answers now: the model with its gallery, or alone. While a changed gallery is being
        opened, the one before.
        """
        is_changed = self._stamp_now() != self._stamp
        if is_changed and self._opening.acquire(blocking=False):
            try:
                self._take()
            finally:
                self._opening.release()
        return self._hybrid or self.recognizer

    def refresh(self) -> None:
        """Take the gallery as it lies on the disk; it answers when this returns."""
        with self._opening:
            self._take()

    def _take(self) -> None:
        """A gallery that cannot be used leaves the old one in its place, which the log says."""
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return
        try:
            self._hybrid = self._opened(self.gallery)
        except GalleryError as error:
            log.error("the gallery was changed and cannot be used; the old one stays: %s", error)
        self._stamp = stamp

    def changeable(self) -> Gallery:
        """The gallery opened beside the one that answers, to be changed.

        Raises `GalleryError` when there is none.
        """
        if not self.use_gallery:
            raise GalleryError("the service was started without its gallery (--no-gallery)")
        folder = adding.folder_of(self.recognizer.qwen.folder)
        gallery = self.gallery
        if gallery is None or gallery.folder != folder:
            return Gallery.load(folder)
        return gallery.loaded_again()

    def _opened(self, before: Gallery | None) -> Hybrid | None:
        """The model with its gallery, whose net stays open where it was."""
        folder = self._folder()
        if folder is None:
            return None
        same = before is not None and before.folder == folder
        gallery = before.loaded_again() if same and before else Gallery.load(folder)
        gallery.open_net()
        return Hybrid(self.recognizer, gallery)

    def _folder(self) -> Path | None:
        return Gallery.of_model(self.recognizer.qwen.folder) if self.use_gallery else None

    def _stamp_now(self) -> Stamp | None:
        folder = self._folder()
        if folder is None:
            return None
        try:
            state = (folder / store.MANIFEST).stat()
        except FileNotFoundError:
            return None
        return folder, state.st_ino, state.st_size, state.st_mtime_ns
