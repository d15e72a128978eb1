"""The one place where a photo and a question become the model's inputs.

For training, validation and use alike: a difference between them, or other pixel limits, is a known
cause of 95% in training and 0% in use.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
    Qwen2VLImageProcessorPil,
    smart_resize,
)

from dishvl_lib.core import images, questions, records
from dishvl_lib.vlm.qwen import QwenInputs

IGNORE = -100  # what torch's cross entropy leaves out
MAX_ASPECT_RATIO = 200  # transformers' smart_resize refuses longer strips


@dataclass
class Photo:
    """A photo as the vision tower reads it.

    `pixel_values` (patches, 1176) float32, `grid_thw` (3,) in patches.
    """

    pixel_values: torch.Tensor
    grid_thw: torch.Tensor
    merge_size: int = 2

    @property
    def num_tokens(self) -> int:
        """Places that the photo takes in the language model's sequence."""
        return int(self.grid_thw.prod()) // self.merge_size**2


@dataclass
class Sample:
    """One question about one photo: `input_ids` and `labels` (length,).

    Labels are IGNORE but for the answer and its end. `image_start`: where the photo's
    `photo.num_tokens` places begin.
    """

    input_ids: list[int]
    labels: list[int]
    photo: Photo
    image_start: int


def photo_inputs(qwen: QwenInputs, image: Image.Image, resized: bool = False) -> Photo:
    """Resize (bicubic, to multiples of 28, within the pixel limits), scale and cut into patches.

    The very numbers of transformers' `Qwen2VLImageProcessorPil`, with less copying: a byte can only
    become 256 values in each colour, which its own `rescale` and `normalize` are asked for.
    `resized`: the photo went through `resize` before; resizing twice could change its size again.
    Raises `ImageError` for an aspect ratio over 200.
    """
    processor = qwen.image_processor
    pixels = np.asarray(image if resized else resize(qwen, image))
    patches = _patches(pixels, processor.patch_size, processor.merge_size)
    values = np.empty(
        (len(patches), 3, processor.temporal_patch_size, processor.patch_size**2), np.float32
    )
    for colour, levels in enumerate(_levels(processor)):
        np.take(levels, patches[:, colour], out=values[:, colour, 0], mode="clip")
    values[:, :, 1:] = values[:, :, :1]  # one frame fills the temporal patch
    grid = torch.tensor(
        [1, pixels.shape[0] // processor.patch_size, pixels.shape[1] // processor.patch_size]
    )
    return Photo(torch.from_numpy(values.reshape(len(patches), -1)), grid, processor.merge_size)


def resize(qwen: QwenInputs, image: Image.Image) -> Image.Image:
    """The photo in RGB at the size, and by the filter, that `photo_inputs` gives it.

    This is what a cache of photos keeps.
    """
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    resampling = Image.Resampling(int(qwen.image_processor.resample))
    return rgb.resize(resized_size(qwen, *image.size), resampling)


def resized_size(qwen: QwenInputs, width: int, height: int) -> tuple[int, int]:
    """(width, height) in pixels of a photo of this size after resizing.

    Raises `ImageError` for an aspect ratio over 200.
    """
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise images.ImageError(
            "too narrow", f"{width}x{height}, an aspect ratio over {MAX_ASPECT_RATIO}"
        )
    processor = qwen.image_processor
    side = processor.patch_size * processor.merge_size
    limits = processor.size
    return smart_resize(height, width, side, limits["shortest_edge"], limits["longest_edge"])[::-1]


def _patches(pixels: np.ndarray, side: int, merge: int) -> np.ndarray:
    """(height, width, 3) uint8 -> (patches, 3, side * side).

    In the order in which the merger joins merge x merge patches.
    """
    rows = pixels.shape[0] // side
    columns = pixels.shape[1] // side
    blocks = pixels.reshape(rows // merge, merge, side, columns // merge, merge, side, 3)
    return blocks.transpose(0, 3, 1, 4, 6, 2, 5).reshape(rows * columns, 3, side * side)


def _levels(processor: Qwen2VLImageProcessorPil) -> np.ndarray:
    """(3, 256) float32: what the 256 values of a byte become in red, green and blue."""
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8), (3, 1, 256))
    scaled = processor.rescale(ramp, processor.rescale_factor)
    return processor.normalize(scaled, processor.image_mean, processor.image_std)[:, 0].astype(
        np.float32
    )


def prompt_text(question: str, num_image_tokens: int) -> str:
    """The chat template with one photo, up to where the answer begins.

    No line break between photo and question: that is what transformers and vLLM send.
    """
    image = f"<|vision_start|>{'<|image_pad|>' * num_image_tokens}<|vision_end|>"
    return (
        f"<|im_start|>system\n{questions.SYSTEM_PROMPT}<|im_end|>\n<|im_start|>user\n"
        f"{image}{question}<|im_end|>\n<|im_start|>assistant\n"
    )


def build(qwen: QwenInputs, photo: Photo, question: str, answer: str | None = None) -> Sample:
    """Prompt tokens, and with an answer its tokens and `<|im_end|>` as the only labels.

    Special tokens written inside a question are plain text: a dish name cannot end a turn.
    """
    prompt = _encode_prompt(qwen, question, photo.num_tokens)
    target = answer_tokens(qwen, answer) if answer is not None else []
    labels = [IGNORE] * len(prompt) + target
    return Sample(prompt + target, labels, photo, prompt.index(qwen.image_token_id))


def vision_block(sample: Sample) -> slice:
    """Where `<|vision_start|>`, the photo's places and `<|vision_end|>` stand.

    A row without a photo has none of them.
    """
    return slice(sample.image_start - 1, sample.image_start + sample.photo.num_tokens + 1)


def answer_tokens(qwen: QwenInputs, answer: str) -> list[int]:
    """The answer's tokens and the end token."""
    return [*_encode_text(qwen, answer), qwen.end_token_id]


def tokens_of_answers(qwen: QwenInputs, answers: Sequence[str]) -> list[list[int]]:
    """`answer_tokens` of each, in one call of the tokenizer."""
    if not answers:
        return []
    encoded = qwen.tokenizer(
        list(answers), add_special_tokens=False, split_special_tokens=True
    ).input_ids
    end = qwen.end_token_id
    return [[*tokens, end] for tokens in encoded]


def collate(
    samples: Sequence[Sample], pad_token_id: int, left: bool = False
) -> dict[str, torch.Tensor]:
    """A batch for the model's forward: right padded for training, left padded for generation.

    input_ids, attention_mask, labels, mm_token_type_ids (batch, length); pixel_values (patches,
    1176); image_grid_thw (batch, 3).
    """
    length = max(len(sample.input_ids) for sample in samples)
    ids = torch.full((len(samples), length), pad_token_id)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, IGNORE)
    types = torch.zeros_like(ids)
    for row, sample in enumerate(samples):
        first = length - len(sample.input_ids) if left else 0
        place = slice(first, first + len(sample.input_ids))
        ids[row, place] = torch.tensor(sample.input_ids)
        labels[row, place] = torch.tensor(sample.labels)
        mask[row, place] = 1
        image = first + sample.image_start
        types[row, image : image + sample.photo.num_tokens] = 1
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "labels": labels,
        "mm_token_type_ids": types.int(),
        "pixel_values": torch.cat([sample.photo.pixel_values for sample in samples]),
        "image_grid_thw": torch.stack([sample.photo.grid_thw for sample in samples]),
    }


# Of the hash below; dishvl.json holds it beside the hash.
FINGERPRINT_VERSION = 2


def fingerprint(qwen: QwenInputs) -> str:
    """One hash of all that decides the inputs: prompt, chat template, tokenizer, pixel limits,
    resampling filter, normalisation.
    """
    processor = qwen.image_processor
    parts = {
        "inputs": fingerprint_of_prompt(qwen),
        "chat_template": qwen.tokenizer.chat_template,
        "resample": int(processor.resample),
        "rescale_factor": round(float(processor.rescale_factor), 9),
        "patches": [processor.patch_size, processor.temporal_patch_size, processor.merge_size],
    }
    return records.fingerprint(parts)


def fingerprint_of_prompt(qwen: QwenInputs) -> str:
    """The hash that folders without FINGERPRINT_VERSION hold: without chat template and resampling
    filter.
    """
    probe = "图中的菜品是什么？（红烧鱼、素鸡(豆制品)）"
    processor = qwen.image_processor
    parts = {
        "prompt": prompt_text(probe, 1),
        "tokens": _encode_prompt(qwen, probe, 1),
        "vocabulary": len(qwen.tokenizer),
        "size": dict(processor.size),
        "mean": np.round(processor.image_mean, 6).tolist(),
        "std": np.round(processor.image_std, 6).tolist(),
    }
    return records.fingerprint(parts)


def _encode_prompt(qwen: QwenInputs, question: str, num_image_tokens: int) -> list[int]:
    before, after = prompt_text("\0", num_image_tokens).split("\0")
    encode = qwen.tokenizer.encode
    return (
        encode(before, add_special_tokens=False)
        + _encode_text(qwen, question)
        + encode(after, add_special_tokens=False)
    )


def _encode_text(qwen: QwenInputs, text: str) -> list[int]:
    return qwen.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
