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


def grow(loaded: qwen.QwenInputs, questions: Sequence[tuple[str, str]]) -> trees.Tree:
    """One tree of (question, answer) pairs: the system prompt is the trunk.

    The blank photo is the last branch.
    """
    blank = Image.new("RGB", (qwen.PATCH_PIXELS, qwen.PATCH_PIXELS))
    photo = inputs.photo_inputs(loaded, blank, resized=True)
    samples = [inputs.build(loaded, photo, question, answer) for question, answer in questions]
    block = inputs.vision_block(samples[0])
    photo_ids = samples[0].input_ids[block]
    branches = []
    for sample in samples:
        branches.append((sample.input_ids[block.stop :], sample.labels[block.stop :]))
    branches.append((photo_ids, [inputs.IGNORE] * len(photo_ids)))
    end = block.start
    ids = list(samples[0].input_ids[:end])
    labels = [inputs.IGNORE] * end
    branch = [trees.TRUNK] * end
    positions = list(range(end))
    for number, (branch_ids, branch_labels) in enumerate(branches, start=1):
        ids += branch_ids
        labels += branch_labels
        branch += [number] * len(branch_ids)
        positions += range(end, end + len(branch_ids))
    image_start = len(ids) - len(photo_ids) + 1
    return trees.Tree(
        ids, labels, branch, torch.tensor(positions).expand(3, -1), photo, image_start
    )
