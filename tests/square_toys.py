"""Toy trays: bright squares on dark photos, for trainings of seconds."""

import numpy as np
from PIL import Image

from dishvl_lib.detection.labels import LabelledFrame

SIDE = 64


def frames(folder, n, split="", seed=0, label="dish"):
    """n photos of one or two squares in `folder`, with their boxes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, n])
    made = []
    for number in range(n):
        path = f"{split or 'frame'}_{number:02d}.png"
        pixels = rng.integers(0, 40, (SIDE, SIDE, 3)).astype(np.uint8)
        boxes = []
        for left in (4, 36)[: 1 + number % 2]:
            top = int(rng.integers(4, 36))
            side = int(rng.integers(16, 24))
            pixels[top : top + side, left : left + side] = rng.integers(180, 255, 3)
            boxes.append([left, top, left + side, top + side])
        Image.fromarray(pixels).save(folder / path)
        labels = (label,) * len(boxes)
        made.append(LabelledFrame(path, SIDE, SIDE, np.array(boxes, np.float32), labels, split))
    return made


def coco(frames_of_toy):
    """The same frames as a COCO file has them."""
    images = []
    annotations = []
    for image_id, frame in enumerate(frames_of_toy):
        image = {"id": image_id, "file_name": frame.path, "width": SIDE, "height": SIDE}
        images.append(image)
        for left, top, right, bottom in frame.boxes.tolist():
            box = [left, top, right - left, bottom - top]
            place = len(annotations)
            annotations.append(
                {"id": place, "image_id": image_id, "category_id": 7, "bbox": box, "iscrowd": 0}
            )
    categories = [{"id": 7, "name": "dish"}]
    return {"images": images, "annotations": annotations, "categories": categories}
