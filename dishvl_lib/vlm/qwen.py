"""Loading and saving a complete Qwen2.5-VL folder: weights, tokenizer, image processor.

torchvision is not needed: the image processor is transformers' PIL one. The model class stays
transformers' own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoTokenizer,
    PreTrainedTokenizerBase,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.utils import logging

from dishvl_lib.core import base_run, kernel, paths, records
from dishvl_lib.vlm import earlier_transformers, hub

DTYPES = ("float32", "bfloat16")
SPECIAL = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|image_pad|>", "<|vision_end|>")
PROBE = "图中的菜品是什么？红烧鱼 (GX4)"
TRAINED_RECORD = "dishvl.json"  # what stage 04 writes beside the weights
PATCH_PIXELS = 28  # one visual token is 28 x 28 pixels: patch_size 14, spatial_merge_size 2


class ModelError(RuntimeError):
    """A model folder that cannot be used; the message says which file and what to do."""


@dataclass
class QwenInputs:
    """What turns text and photos into a model's inputs: tokenizer and image processor."""

    tokenizer: PreTrainedTokenizerBase
    image_processor: Qwen2VLImageProcessorPil
    folder: str

    @property
    def image_token_id(self) -> int:
        return self._id_of("<|image_pad|>")

    @property
    def end_token_id(self) -> int:
        return self._id_of("<|im_end|>")

    def decode(self, ids: list[int], *, skip_special_tokens: bool = False) -> str:
        """The text of one sequence of tokens."""
        text = self.tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)
        assert isinstance(text, str), "one sequence is one text"
        return text

    def _id_of(self, token: str) -> int:
        token_id = self.tokenizer.convert_tokens_to_ids(token)
        assert isinstance(token_id, int), f"{token!r} is one token"
        return token_id


@dataclass
class Qwen(QwenInputs):
    """The same with the loaded model."""

    model: Qwen2_5_VLForConditionalGeneration


def locate(base_model: str) -> str:
    """A folder or a Hugging Face id for `base_model`; `modelscope:<id>` is downloaded, `run:NAME` is
    that run's best/. Raises `ModelError` for a folder that is not there, a training that has not
    finished, and for a hub that cannot be reached.
    """
    run_name = base_run.name_of(base_model)
    if run_name:
        return _of_run(run_name)
    if base_model.startswith("modelscope:"):
        return _from_modelscope(base_model.removeprefix("modelscope:"))
    folder = paths.resolve(base_model)
    if folder.is_dir():
        return str(folder)
    if base_model.startswith((".", "/", "~", "outputs/")) or base_model.count("/") != 1:
        raise ModelError(
            f"no model folder {folder}; give a folder, a Hugging Face id (owner/name) or "
            "modelscope:owner/name"
        )
    try:
        hub.prepare(base_model)
    except hub.HubError as error:
        raise ModelError(str(error)) from None
    return base_model


def identity(folder: str) -> str:
    """What tells one base model from another.

    Configuration, weight files (names and bytes) and dishvl.json of a folder, or a hub id as it is.
    """
    place = Path(folder)
    if not (place / "config.json").exists():
        return folder
    weights = sorted((file.name, file.stat().st_size) for file in place.glob("*.safetensors"))
    parts: list[Any] = [records.sha256_file(place / "config.json"), weights]
    # A model that was trained here is as large as the next one: its own record tells them apart.
    trained = place / TRAINED_RECORD
    if trained.is_file():
        parts.append(records.sha256_file(trained))
    return records.fingerprint(parts)


def load_inputs(
    folder: str, min_pixels: int | None = None, max_pixels: int | None = None
) -> QwenInputs:
    """Tokenizer and image processor of a model folder. Raises `ModelError`.

    `min_pixels`, `max_pixels`: area limits of a photo after resizing, in pixels; None keeps the
    folder's own.
    """
    _check_family(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        processor = Qwen2VLImageProcessorPil.from_pretrained(folder)
    except Exception as error:  # the tokenizers library raises as it likes
        local = (
            "tokenizer or image processor files are missing or damaged"
            if Path(folder).is_dir()
            else "it could not be fetched from Hugging Face"
        )
        raise ModelError(
            f"{folder}: {local} ({type(error).__name__}: {_one_line(error)})"
        ) from None
    _check_tokenizer(folder, tokenizer)
    limits = {
        "shortest_edge": min_pixels or processor.size["shortest_edge"],
        "longest_edge": max_pixels or processor.size["longest_edge"],
    }
    if not PATCH_PIXELS**2 <= limits["shortest_edge"] <= limits["longest_edge"]:
        raise ModelError(
            f"need {PATCH_PIXELS**2} <= min_pixels <= max_pixels, got "
            f"{limits['shortest_edge']} and {limits['longest_edge']}"
        )
    processor.size = limits
    return QwenInputs(tokenizer, processor, str(folder))


def load(
    folder: str,
    *,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    dtype: str = "float32",
    device: str = "cpu",
) -> Qwen:
    """The whole model in `dtype` (float32, bfloat16) on `device`, in eval mode.

    Raises `ModelError`.
    """
    if dtype not in DTYPES:
        raise ModelError(f"dtype is {dtype!r}; give one of {', '.join(DTYPES)}")
    loaded = load_inputs(folder, min_pixels, max_pixels)
    _check_weights(folder)
    model = _load_model(folder, dtype)
    try:
        nn.Module.to(model, device)  # transformers' own hides its arguments from a type checker
    except (AssertionError, RuntimeError) as error:  # torch built without CUDA asserts
        raise ModelError(
            f"{folder}: the model cannot be put on device {device!r} ({_one_line(error)})"
        ) from None
    model.eval()
    return Qwen(loaded.tokenizer, loaded.image_processor, loaded.folder, model)


def save(qwen: Qwen, folder: Path) -> None:
    """A complete Hugging Face folder that `load` and transformers open as it is."""
    with _no_dead_bars():
        qwen.model.save_pretrained(folder)
    save_inputs(qwen, folder)
    earlier_transformers.add_fields(Path(folder))
    # safetensors writes files for their owner alone; a server under another user must read them.
    for file in Path(folder).glob("*.safetensors"):
        file.chmod((Path(folder) / "config.json").stat().st_mode)


def save_inputs(qwen: QwenInputs, folder: Path) -> None:
    """Tokenizer (with chat template) and image processor with its pixel limits."""
    qwen.tokenizer.save_pretrained(folder)
    qwen.image_processor.save_pretrained(folder)


@contextmanager
def _no_dead_bars() -> Iterator[None]:
    """In a batch run's notebook transformers' bars are widgets that nobody sees move, and that stay
    in it for good; there it draws none.
    """
    is_batch = kernel.in_notebook() and not kernel.in_jupyter()
    if not (is_batch and logging.is_progress_bar_enabled()):
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


def _load_model(folder: str, dtype: str) -> Qwen2_5_VLForConditionalGeneration:
    """The model with every tensor of the folder in its place. Raises `ModelError`."""
    try:
        with _no_dead_bars():
            loaded: Any = Qwen2_5_VLForConditionalGeneration.from_pretrained(
                folder, dtype=getattr(torch, dtype), output_loading_info=True
            )
    except (
        OSError,
        ValueError,
        RuntimeError,
        TypeError,
        KeyError,
        AttributeError,
        SafetensorError,
    ) as error:  # transformers checks little of what it reads
        raise ModelError(
            f"{folder}: the weights cannot be loaded ({_one_line(error)}); copy or download "
            "the folder again"
        ) from None
    model, report = loaded
    lacking = [
        *report.get("missing_keys", ()),
        *report.get("unexpected_keys", ()),
        *map(str, report.get("mismatched_keys", ())),
    ]
    if lacking:
        raise ModelError(
            f"{folder}: {len(lacking)} tensors do not fit the configuration, the first is "
            f"{lacking[0]}"
        )
    return model


def _check_family(folder: str) -> None:
    file = Path(folder) / "config.json"
    if not Path(folder).is_dir():
        return  # a Hugging Face id: transformers reports what is wrong with it
    if not file.exists():
        raise ModelError(f"{file} is missing: {_what_it_is(Path(folder))}")
    config = records.read_json(file)
    family = config.get("model_type") if isinstance(config, dict) else None
    if family != Qwen2_5_VLConfig.model_type:
        raise ModelError(
            f"{file}: model_type is {family!r}, DishVL needs {Qwen2_5_VLConfig.model_type!r} "
            "(Qwen2.5-VL)"
        )


def _what_it_is(folder: Path) -> str:
    """What a folder without config.json is, and what to give instead."""
    adapter = folder / "adapter_config.json"
    if adapter.exists():
        base = records.read_json(adapter).get("base_model_name_or_path") or "its base model"
        return (
            f"{folder} is a LoRA adapter for {base}, which is no model by itself; merge it (peft's "
            "merge_and_unload, or the export of the tool that trained it) and give the merged folder"
        )
    below = sorted(file.parent for file in folder.glob("*/config.json"))
    if below:
        return f"{folder} is not a model folder itself; give {below[-1]}, which lies in it"
    return f"{folder} is not a Hugging Face model folder"


def _check_weights(folder: str) -> None:
    """Only safetensors are opened: any other file of weights may run what its writer wanted."""
    place = Path(folder)
    if not place.is_dir() or any(place.glob("*.safetensors")):
        return
    others = []
    for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt"):
        others += [file.name for file in place.glob(pattern)]
    others.sort()
    there = (
        f"it has {others[0]}, which could run any code when it is opened and is not read"
        if others
        else "it has no weights"
    )
    raise ModelError(
        f"{folder}: no *.safetensors here ({there}); copy or download the folder again, with "
        "its weights as safetensors"
    )


def _check_tokenizer(folder: str, tokenizer: PreTrainedTokenizerBase) -> None:
    # Without its vocabulary's file transformers makes a tokenizer that knows no text, and says
    # nothing.
    if tokenizer.decode(tokenizer.encode(PROBE, add_special_tokens=False)) != PROBE:
        raise ModelError(
            f"{folder}: the tokenizer does not give back what it is given: tokenizer.json is "
            "missing or damaged; copy or download the folder again"
        )
    lost = [
        token for token in SPECIAL if len(tokenizer.encode(token, add_special_tokens=False)) != 1
    ]
    if lost:
        raise ModelError(
            f"{folder}: the tokenizer does not know {', '.join(lost)}; it is not Qwen2.5-VL's"
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _of_run(run_name: str) -> str:
    try:
        return str(base_run.best(run_name))
    except base_run.StageError as error:
        raise ModelError(f"base_model run:{run_name}: {error}") from None


def _from_modelscope(model_id: str) -> str:
    try:
        from modelscope import snapshot_download
    except ImportError:
        raise ModelError(
            f"base_model modelscope:{model_id} needs the package modelscope (pip install "
            "modelscope)"
        ) from None
    return snapshot_download(model_id)
