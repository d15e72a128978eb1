"""From a photo to the network's input: resize the short side, centre crop, mean and deviation."""

import dataclasses
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from dishvl_lib.core import images, params
from dishvl_lib.core.types import AnyPath

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SHORT_SIDE_PER_CROP = 256 / 224


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """Sizes in pixels; `mean` and `std` of RGB values scaled to 0..1."""

    short_side: int
    crop: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    @classmethod
    def for_size(cls, image_size: int) -> "Preprocess":
        """PaddleClas' customary evaluation: short side 256 for a crop of 224, others alike."""
        return cls(round(image_size * SHORT_SIDE_PER_CROP), image_size)

    @classmethod
    def from_paddleclas(cls, path: AnyPath) -> "Preprocess":
        """Read from the evaluation part of a PaddleClas YAML.

        Raises ValueError when it has no usable transforms.
        """
        steps = {
            name: options or {}
            for name, options in _steps(yaml.safe_load(Path(path).read_text("utf-8")))
        }
        resize = steps.get("ResizeImage", {})
        normalise = steps.get("NormalizeImage", {})
        size = resize.get("size")
        crop = steps.get("CropImage", {}).get(
            "size", size if isinstance(size, int) else (size or [None])[0]
        )
        crop = crop[0] if isinstance(crop, list) else crop
        short_side = resize.get("resize_short") or crop
        if not short_side or not crop:
            raise ValueError(f"{path}: found no ResizeImage or CropImage that says the sizes")
        return cls(
            short_side,
            crop,
            tuple(normalise.get("mean", IMAGENET_MEAN)),
            tuple(normalise.get("std", IMAGENET_STD)),
        )

    @classmethod
    def customary(cls, net: str, image_size: int) -> "Preprocess":
        """What the weights of a net expect; `image_size` counts for those that are made at any
        size.
        """
        return EFFICIENTNET_LITE0 if net == params.EFFICIENTNET_LITE0 else cls.for_size(image_size)

    def pixels(self, source: AnyPath | bytes | Image.Image) -> np.ndarray:
        """A path, bytes or PIL image -> uint8 (crop, crop, 3). Raises `images.ImageError`."""
        photo = images.load_rgb(source, draft_size=(self.short_side, self.short_side))
        return centre_crop(shrink(photo, self.short_side), self.crop)

    def normalise(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (N, H, W, 3) -> float32 (N, 3, H, W)."""
        std = np.asarray(self.std, np.float32)[:, None, None]
        scale = 1 / (255 * std)
        shift = np.asarray(self.mean, np.float32)[:, None, None] / std
        batch = np.empty((len(pixels), 3, *pixels.shape[1:3]), np.float32)
        for photo, target in zip(
            pixels, batch, strict=True
        ):  # one at a time: it fits the processor's cache
            target[...] = photo.transpose(2, 0, 1)
            target *= scale
            target -= shift
        return batch


# (x - 127) / 128 of values up to 255.
EFFICIENTNET_LITE0 = Preprocess(256, 224, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


def shrink(photo: Image.Image, short_side: int) -> Image.Image:
    """The photo scaled so that its shorter side is `short_side` pixels; the other is rounded."""
    width, height = photo.size
    scale = short_side / min(width, height)
    size = (max(short_side, round(width * scale)), max(short_side, round(height * scale)))
    return photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def centre_crop(photo: Image.Image, size: int) -> np.ndarray:
    """uint8 (size, size, 3) from the middle."""
    left = (photo.width - size) // 2
    top = (photo.height - size) // 2
    return np.asarray(photo.crop((left, top, left + size, top + size)))


def _steps(node: object) -> list[tuple[str, dict]]:
    """(transform, options) of a PaddleClas config.

    Of RecPreProcess, PreProcess, or DataLoader.Eval / .Gallery.
    """
    if isinstance(node, list):
        return [
            (name, options)
            for step in node
            if isinstance(step, dict)
            for name, options in step.items()
        ]
    for key in (
        "RecPreProcess",
        "PreProcess",
        "Infer",
        "DataLoader",
        "Eval",
        "Gallery",
        "Query",
        "dataset",
    ):
        if isinstance(node, dict) and key in node:
            steps = _steps(node[key])
            if steps:
                return steps
    transforms = (
        node.get("transform_ops", node.get("transforms")) if isinstance(node, dict) else None
    )
    return _steps(transforms) if transforms else []
