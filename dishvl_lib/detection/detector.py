"""Detectors: users' own in ONNX and ours, by one interface.

`Detector.load(path).detect(photo)` answers with boxes in pixels of the upright photo. How photos are
laid into the net and what its outputs mean is found from the file, in `layouts.py`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dishvl_lib.core import images, records, rules
from dishvl_lib.core.types import AnyPath, PhotoSource
from dishvl_lib.detection import boxes, layouts, other_files
from dishvl_lib.detection.boxes import Detections
from dishvl_lib.detection.errors import DetectorError
from dishvl_lib.detection.layouts import Found, Layout, Outputs
from dishvl_lib.detection.net_file import Net

__all__ = ["Detections", "Detector", "DetectorError"]

DEFAULT_THRESHOLD = 0.25
# Of boxes that are candidates for NMS: a net at a threshold near 0 answers with thousands.
MOST_CANDIDATES = 1000
NO_DISH = "no dish found"
LEAST_SIDE = 1.0  # pixels of a box on the photo
# Classes by which a detector of COCO's 80 everyday things is known.
EVERYDAY = {"person", "car", "dining table", "bowl"}


def short_of(best_score: float, threshold: float) -> str:
    """Why no dish is found: the best box against the threshold."""
    return f"the best box has a score of {best_score:.2f}, the threshold is {threshold:.2f}"


class Detector:
    """A net that finds dishes.

    `names`: its classes, () where the file does not say them; `threshold`: the least score of what
    is found; `crop_margin`: with which its boxes become crops, None for detectors that are not of
    our own; `is_ours`; `file` and its `sha256`; `layout`: a word of `layouts.LAYOUTS`.
    """

    def __init__(self, file: Path, layout: str = ""):
        """As `load`, which checks what it is given. Raises `DetectorError`."""
        self.file = file
        self.sha256 = records.sha256_file(file)
        self._net = Net(file)
        # A net of any size says only by an answer how large its outputs are.
        outputs = self._net.run(Image.new("RGB", self._net.size))
        self.layout = layout or self._found_layout(outputs)
        self._n_classes = self._count_classes(outputs)
        stated = self._net.metadata
        self.names = stated.names
        self.keep_labels: tuple[str, ...] = ()
        self.threshold = stated.threshold or DEFAULT_THRESHOLD
        self.crop_margin = stated.crop_margin
        self.is_ours = stated.is_ours

    @classmethod
    def load(
        cls,
        path: AnyPath,
        *,
        layout: str = "",
        names: Sequence[str] = (),
        keep_labels: Sequence[str] = (),
        threshold: float | None = None,
    ) -> "Detector":
        """The detector of an ONNX file, or of a folder with one.

        `layout`: a word of `layouts.LAYOUTS`, '' finds it; `names`: classes in the order of their
        numbers, instead of the file's; `keep_labels`: the classes that are dishes, all where none
        is named; `threshold`: the least score, None for the file's own or DEFAULT_THRESHOLD. Raises
        `DetectorError`.
        """
        file = other_files.onnx_file(Path(path))
        if layout and layout not in layouts.LAYOUTS:
            raise DetectorError(
                f"layout: {layout!r} is none{rules.nearest(layout, layouts.LAYOUTS)}"
            )
        detector = cls(file, layout)
        detector._name(names)
        detector._keep(keep_labels)
        if threshold is not None:
            detector.threshold = threshold
        return detector

    def detect(self, photo: PhotoSource) -> Detections:
        """What is found on a photo, at `threshold`. Raises `ImageError`."""
        return self.detect_image(images.load_rgb(photo))

    def detect_image(self, rgb: Image.Image) -> Detections:
        """What is found on an upright RGB photo, at `threshold`, best first."""
        return self._detections(rgb, self.threshold)

    def best_score(self, rgb: Image.Image) -> float:
        """The highest score on an upright RGB photo, whatever the threshold; 0 for none."""
        found = self._detections(rgb, 0.0)
        return float(found.scores[0]) if len(found) else 0.0

    def _detections(self, rgb: Image.Image, threshold: float) -> Detections:
        layout = self._layout()
        picture, placement = layout.lay(rgb, self._net.size)
        found = layout.read(self._net.run(picture), self._net.size)
        wanted = self._wanted(found, threshold)
        corners = placement.to_photo(found.corners[wanted])
        scores = found.scores[wanted]
        sides = corners[:, 2:] - corners[:, :2]
        on_photo = np.flatnonzero((sides >= LEAST_SIDE).all(axis=1))
        # For nets that need none as well: of two classes on one dish the better one stays.
        kept = on_photo[boxes.nms(corners[on_photo], scores[on_photo])]
        labels = [self._label(number) for number in found.classes[wanted][kept]]
        return Detections.ranked(corners[kept], scores[kept], labels)

    def _wanted(self, found: Found, threshold: float) -> np.ndarray:
        """The places of the best boxes that are finite, of a class that is kept, and above the
        threshold.
        """
        is_wanted = np.isfinite(found.corners).all(axis=1) & (found.scores >= threshold)
        if self.keep_labels:
            kept = [number for number in set(found.classes.tolist()) if self._is_kept(number)]
            is_wanted &= np.isin(found.classes, kept)
        places = np.flatnonzero(is_wanted)
        order = np.argsort(-found.scores[places], kind="stable")
        return places[order[:MOST_CANDIDATES]]

    def _is_kept(self, number: int) -> bool:
        return self._label(number) in self.keep_labels

    def _label(self, number: int) -> str:
        return self.names[number] if 0 <= number < len(self.names) else f"class_{number}"

    def _found_layout(self, outputs: Outputs) -> str:
        word = layouts.found_in(outputs, self._net.size)
        if word:
            return word
        raise DetectorError(f"{self.file} {_unknown_outputs(outputs)}")

    def _layout(self) -> Layout:
        return layouts.LAYOUTS[self.layout]

    def _count_classes(self, outputs: Outputs) -> int | None:
        """How many classes the outputs have, None where they do not say; they are read once.
        Raises `DetectorError`.
        """
        layout = self._layout()
        try:
            layout.read(outputs, self._net.size)
            return layout.classes(outputs)
        except (KeyError, IndexError, ValueError, StopIteration):
            raise DetectorError(
                f"{self.file} is not of layout {self.layout}, which is {layout.shape}: it answers "
                f"with {_shapes(outputs)}; take layout out, and it is found"
            ) from None

    def _name(self, names: Sequence[str]) -> None:
        """Take these names instead of the file's. Raises `DetectorError` where they are too many or
        too few.
        """
        self.names = tuple(names) or self.names
        if self._n_classes is None:
            return
        self.names = self.names or tuple(f"class_{n}" for n in range(self._n_classes))
        if len(self.names) != self._n_classes:
            source = "names has" if names else "it names"
            raise DetectorError(
                f"{self.file} answers for {self._n_classes} classes and {source} "
                f"{len(self.names)}; give names in the order of its classes, if it is a detector "
                "(and not one of poses or masks)"
            )

    def _keep(self, keep_labels: Sequence[str]) -> None:
        """Keep these classes alone. Raises `DetectorError`."""
        if not keep_labels and set(self.names) >= EVERYDAY:
            raise DetectorError(
                f"{self.file} knows {len(self.names)} everyday things ({rules.listed(self.names)}):"
                " name those that are dishes in keep_labels, such as [bowl]"
            )
        unknown = [label for label in keep_labels if self.names and label not in self.names]
        if unknown:
            near = rules.nearest(unknown[0], self.names)
            raise DetectorError(f"keep_labels: {unknown[0]!r} is no class of {self.file}{near}")
        self.keep_labels = tuple(keep_labels)


def _unknown_outputs(outputs: Outputs) -> str:
    """What a net with these outputs seems to be, and what to do."""
    n_axes = [output.ndim for output in outputs.values()]
    if n_axes == [2]:
        what = "as nets do that say what a whole photo shows"
    elif 4 in n_axes:
        what = "as nets do that segment"
    else:
        shapes = [f"{word} {layout.shape}" for word, layout in layouts.LAYOUTS.items()]
        what = f"which is no known layout: {'; '.join(shapes)}"
    return f"answers with {_shapes(outputs)}, {what}; export a detector, or name its layout"


def _shapes(outputs: Outputs) -> str:
    return ", ".join(f"{name} {tuple(output.shape)}" for name, output in outputs.items())
