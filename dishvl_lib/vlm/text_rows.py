"""Questions without a photo, as trees that keep every process in step.

A batch without any photo would never call the vision tower, and under ZeRO-3 processes that gather
its weights would wait for ever for those that do not. So a tree of such questions carries one blank
photo of a single place in a branch of its own, which nothing looks at: the questions compute what
they compute without it, and it adds nothing to any gradient.
"""

from collections.abc import Sequence

import torch
from PIL import Image

from dishvl_lib.vlm import inputs, qwen, trees


def grow(loaded: qwen.Qwen, asked: Sequence[tuple[str, str]]) -> trees.Tree:
    """One tree of (question, answer) pairs: the system prompt is the trunk, the blank photo the
    last branch.
    """
    photo = inputs.photo_inputs(
        loaded, Image.new("RGB", (qwen.PATCH_PIXELS, qwen.PATCH_PIXELS)), resized=True
    )
    samples = [inputs.build(loaded, photo, question, answer) for question, answer in asked]
    block = inputs.vision_block(samples[0])
    ids = list(samples[0].input_ids[: block.start])
    end = block.start
    labels = [inputs.IGNORE] * end
    branch = [trees.TRUNK] * end
    places = list(range(end))
    parts = [(sample.input_ids[block.stop :], sample.labels[block.stop :]) for sample in samples]
    blank = samples[0].input_ids[block]
    for number, (own, own_labels) in enumerate(
        [*parts, (blank, [inputs.IGNORE] * len(blank))], start=1
    ):
        ids = ids + own
        labels = labels + own_labels
        branch = branch + [number] * len(own)
        places += range(end, end + len(own))
    return trees.Tree(
        ids, labels, branch, torch.tensor(places).expand(3, -1), photo, len(ids) - len(blank) + 1
    )
