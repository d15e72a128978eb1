"""Qwen2.5-VL folders with random weights in real shapes: what a machine without the weights can
load, train and serve.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from dishvl_lib.core import records
from dishvl_lib.demo import base_model
from dishvl_lib.vlm import qwen

# Layer widths and depths of the public configurations; `tiny` has the same code path at a
# thousandth of the size.
VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
}
SIZES = {
    "7b": {
        "text": {
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 152064,
        },
        "vision": {**VISION, "out_hidden_size": 3584},
        "tied": False,
        "parameters": 8_292_166_656,
    },
    "3b": {
        "text": {
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "vocab_size": 151936,
        },
        "vision": {**VISION, "out_hidden_size": 2048},
        "tied": True,
        "parameters": 3_754_622_976,
    },
    "tiny": {
        "text": {
            "hidden_size": 128,
            "intermediate_size": 384,
            "num_hidden_layers": 3,
            "num_attention_heads": 1,
            "num_key_value_heads": 1,
            "vocab_size": 2048,
        },
        "vision": {
            "depth": 3,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 2,
            "window_size": 112,
            "fullatt_block_indexes": [1],
            "out_hidden_size": 128,
        },
        "tied": True,
        "parameters": 0,
    },
}
SHARD_BYTES = 4_000_000_000
INITIAL_STD = 0.02
# How the public files name what the model's parameters are called now.
PUBLIC_NAMES = (("model.visual.", "visual."), ("model.language_model.", "model."))
# Files that make the real tokenizer, where somebody has them.
TOKENIZER_FILES = (
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "chat_template.json",
    "tokenizer.json",
)


def configuration(size: str, tokenizer_ids: dict[str, int]) -> Qwen2_5_VLConfig:
    """The configuration of a size. `tokenizer_ids`: the ids of image_pad, video_pad, vision_start,
    vision_end, im_end, endoftext.
    """
    shape = SIZES[size]
    ends = {
        "bos_token_id": tokenizer_ids["endoftext"],
        "eos_token_id": tokenizer_ids["im_end"],
        "pad_token_id": tokenizer_ids["endoftext"],
    }
    rope = {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [16, 24, 24]}
    return Qwen2_5_VLConfig(
        text_config={
            **shape["text"],
            **ends,
            "max_position_embeddings": 32768,
            "rope_parameters": rope,
            "tie_word_embeddings": shape["tied"],
        },
        vision_config=shape["vision"],
        image_token_id=tokenizer_ids["image_pad"],
        video_token_id=tokenizer_ids["video_pad"],
        vision_start_token_id=tokenizer_ids["vision_start"],
        vision_end_token_id=tokenizer_ids["vision_end"],
        tie_word_embeddings=shape["tied"],
    )


def write(
    folder: Path, size: str, names: list[str], tokenizer_folder: Path | None = None, seed: int = 0
) -> int:
    """Write a folder with random bfloat16 weights, a tensor at a time; returns the number of
    parameters.

    `tokenizer_folder`: the real tokenizer's files; without it one is made for `names`, as for the
    demo.
    """
    folder.mkdir(parents=True)
    loaded = _tokenizer_and_processor(folder, names, tokenizer_folder)
    ids = {
        name: loaded.tokenizer.convert_tokens_to_ids(f"<|{name}|>")
        for name in ("image_pad", "video_pad", "vision_start", "vision_end", "im_end", "endoftext")
    }
    config = configuration(size, ids)
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(config)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    expected = SIZES[size]["parameters"]
    if expected and parameters != expected:
        raise AssertionError(
            f"{size} has {parameters:,} parameters here, its public files have {expected:,}"
        )
    config.dtype = torch.bfloat16
    config.architectures = ["Qwen2_5_VLForConditionalGeneration"]
    config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    _write_shards(folder, _random_tensors(model, seed))
    return parameters


def _tokenizer_and_processor(
    folder: Path, names: list[str], tokenizer_folder: Path | None
) -> qwen.Qwen:
    loaded = base_model.new_model(
        names, hidden_size=64, layers=1, vision_layers=1, image_size=448, seed=0
    )
    qwen.save_inputs(loaded, folder)
    if tokenizer_folder is None:
        return loaded
    for file in folder.glob("*token*"):
        file.unlink()
    for name in TOKENIZER_FILES:
        if (tokenizer_folder / name).exists():
            shutil.copy(tokenizer_folder / name, folder / name)
    loaded.tokenizer = qwen.AutoTokenizer.from_pretrained(folder)
    return loaded


def _random_tensors(
    model: Qwen2_5_VLForConditionalGeneration, seed: int
) -> Iterator[tuple[str, torch.Tensor]]:
    """(public name, bfloat16 tensor) of every parameter: ones for norms, zeros for biases, normal
    numbers elsewhere.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        value = torch.empty(parameter.shape, dtype=torch.bfloat16)
        if name.endswith("bias"):
            value.zero_()
        elif parameter.dim() == 1:
            value.fill_(1.0)
        else:
            value.normal_(0.0, INITIAL_STD, generator=generator)
        yield _public_name(name), value


def _public_name(name: str) -> str:
    for here, public in PUBLIC_NAMES:
        if name.startswith(here):
            return public + name.removeprefix(here)
    return name


def _write_shards(folder: Path, tensors: Iterator[tuple[str, torch.Tensor]]) -> None:
    shards: list[list[str]] = []
    shard: dict[str, torch.Tensor] = {}
    size = total = 0
    for name, value in tensors:
        bytes_ = value.numel() * value.element_size()
        if shard and size + bytes_ > SHARD_BYTES:
            shards.append(_save_shard(folder, len(shards), shard))
            shard = {}
            size = 0
        shard[name] = value
        size += bytes_
        total += bytes_
    shards.append(_save_shard(folder, len(shards), shard))
    weight_map = {}
    for number, names in enumerate(shards):
        file = f"model-{number + 1:05d}-of-{len(shards):05d}.safetensors"
        (folder / f"part-{number}.safetensors").rename(folder / file)
        weight_map |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    records.write_text(folder / "model.safetensors.index.json", json.dumps(index, indent=1))


def _save_shard(folder: Path, number: int, shard: dict[str, torch.Tensor]) -> list[str]:
    save_file(shard, folder / f"part-{number}.safetensors", metadata={"format": "pt"})
    print(
        f"  shard {number + 1}: {sum(value.numel() for value in shard.values()):,} numbers",
        flush=True,
    )
    return list(shard)
