"""The public face: a trained folder that names a dish or picks an entry of a menu."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from dishvl_lib.core import crops, images, questions, records
from dishvl_lib.core.types import AnyPath, PhotoSource, Record
from dishvl_lib.vlm import (
    choose,
    inputs,
    menu_presence,
    patch_product,
    qwen,
    saved_activations,
    side_by_side,
    trees,
)
from dishvl_lib.vlm.answers import LONGEST_MENU, Choice, Recognition
from dishvl_lib.vlm.decoding import MAX_NEW_TOKENS
from dishvl_lib.vlm.menu_presence import MenuPresence
from dishvl_lib.vlm.photo_answers import PhotoAnswers, as_list
from dishvl_lib.vlm.photo_questions import PhotoQuestions
from dishvl_lib.vlm.written_menus import check_menu

METADATA = qwen.TRAINED_RECORD
LEAST = {"min_pixels": 1, "max_pixels": 1, "temperature": 1e-6, "off_menu_threshold": 0}


class PreparedPhoto(NamedTuple):
    """A photo as the model reads it with its questions, and these as they were given."""

    query: choose.PhotoQuery
    questions: PhotoQuestions


class Recognizer(PhotoAnswers[PreparedPhoto]):
    """Names dishes and chooses from menus, with stage 04's `best/` or any Qwen2.5-VL folder."""

    def __init__(self, loaded: qwen.Qwen, metadata: dict):
        self.qwen = loaded
        self.metadata = metadata
        self.presence: MenuPresence | None = None
        if menu_presence.FIELD in metadata:
            self.presence = MenuPresence.from_record(metadata[menu_presence.FIELD])
        saved_activations.batch_windows(loaded.model)
        patch_product.bind(loaded.model)
        trees.bind_attention(loaded.model)

    @classmethod
    def load(
        cls,
        folder: AnyPath,
        *,
        device: str | None = None,
        dtype: str | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
    ) -> "Recognizer":
        """Open a model folder, with the pixel limits it was trained with unless others are given.

        `device`: 'cuda' when there is one, otherwise 'cpu'; `dtype`: bfloat16 on a GPU, float32 on
        a CPU. Raises `ModelError` when the folder is not a Qwen2.5-VL, is incomplete, or builds
        other inputs than it was trained on.
        """
        folder = str(folder)
        if not Path(folder).is_dir():
            folder = qwen.locate(folder)
        file = Path(folder) / METADATA
        metadata = checked_metadata(file) if file.exists() else {}
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = dtype or ("bfloat16" if device.startswith("cuda") else "float32")
        limits = {
            "min_pixels": min_pixels or metadata.get("min_pixels"),
            "max_pixels": max_pixels or metadata.get("max_pixels"),
        }
        loaded = qwen.load(folder, dtype=dtype, device=device, **limits)
        if not _builds_trained_inputs(loaded, metadata):
            raise qwen.ModelError(
                f"{file}: this folder was trained on other inputs (template, tokenizer, pixel "
                "limits or resampling) than are built now; use it with the DishVL version that "
                "trained it, and without other pixel limits"
            )
        return cls(loaded, metadata)

    def name(
        self,
        photos: PhotoSource | Sequence[PhotoSource],
        *,
        template: str = "naming-1",
        batch_size: int = 16,
    ) -> str | list[str]:
        """The dish's name for a photo, or a list of names for a list of photos.

        Raises `ImageError` for an unusable one.
        """
        question = questions.ask(template)
        sources = as_list(photos)
        answers = []
        for start in range(0, len(sources), batch_size):
            batch = sources[start : start + batch_size]
            answers += self.answer([(source, question) for source in batch])
        return answers[0] if isinstance(photos, PhotoSource) else answers

    @torch.inference_mode()
    def answer(self, queries: Sequence[tuple[PhotoSource, str]]) -> list[str]:
        """Greedy answers to (photo, question) pairs, in one batch."""
        samples = []
        for source, question in queries:
            samples.append(inputs.build(self.qwen, self.pixels(source), question))
        batch = inputs.collate(samples, self.qwen.tokenizer.pad_token_id, left=True)
        batch.pop("labels")
        model: Any = self.qwen.model  # transformers declares `generate` for other classes
        arguments: Record = {key: part.to(model.device) for key, part in batch.items()}
        arguments["pixel_values"] = arguments["pixel_values"].to(model.dtype)
        # Every setting by name: a folder's generation_config.json must not decide the answer.
        ids = model.generate(
            **arguments,
            max_new_tokens=MAX_NEW_TOKENS,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            repetition_penalty=1.0,
            eos_token_id=self.qwen.end_token_id,
            pad_token_id=self.qwen.tokenizer.pad_token_id,
        )
        prompt_length = batch["input_ids"].shape[1]
        answers = []
        for row in ids[:, prompt_length:].tolist():
            answers.append(self.qwen.decode(row, skip_special_tokens=True).strip())
        return answers

    def prepare(self, source: PhotoSource, questions: PhotoQuestions) -> PreparedPhoto:
        photo = self.pixels(source)
        query = choose.PhotoQuery(photo, questions.namings, questions.menu_questions)
        return PreparedPhoto(query, questions)

    def answer_prepared(self, prepared: Sequence[PreparedPhoto]) -> list[Recognition]:
        recognitions = self.answer_queries([photo.query for photo in prepared])
        answers = []
        for photo, recognition in zip(prepared, recognitions, strict=True):
            answers.append(photo.questions.spelt(recognition))
        return answers

    def answer_queries(self, queries: Sequence[choose.PhotoQuery]) -> list[Recognition]:
        """Answers about photos that share one forward pass, with every entry of each menu."""
        answers = choose.answer_together(self.qwen, queries)
        menus = [[entries for _, entries in query.menus] for query in queries]
        return self._recognitions(answers, menus, LONGEST_MENU)

    def answer_questions(
        self,
        queries: Sequence[tuple[PhotoSource, Sequence[str], Sequence[tuple[str, Sequence[str]]]]],
        top_k: int = 3,
    ) -> list[Recognition]:
        """Answers to (photo, naming questions, [(menu question, menu)]) each.

        All photos share one forward pass.
        """
        photos = side_by_side.decoded(self.pixels, [source for source, _, _ in queries])
        photo_queries = []
        written = []
        for photo, (_, namings, menus) in zip(photos, queries, strict=True):
            cleaned = [(question, check_menu(menu)) for question, menu in menus]
            photo_queries.append(choose.PhotoQuery(photo, namings, cleaned))
            written.append([menu for _, menu in menus])
        answers = choose.answer_together(self.qwen, photo_queries)
        return self._recognitions(answers, written, top_k)

    def pixels(self, source: PhotoSource) -> inputs.Photo:
        """A photo as the model reads it. Raises `ImageError`."""
        photo = images.load_rgb(source, max_image_pixels=images.MAX_IMAGE_PIXELS)
        return inputs.photo_inputs(self.qwen, photo)

    def _recognitions(
        self,
        answers: Sequence[choose.PhotoAnswer],
        menus: Sequence[Sequence[Sequence[str]]],
        top_k: int,
    ) -> list[Recognition]:
        """`menus`: of each photo, in the order of its scores."""
        recognitions = []
        for answer, of_photo in zip(answers, menus, strict=True):
            choices = []
            for menu, scores in zip(of_photo, answer.scores, strict=True):
                choices.append(self._choice(menu, scores, top_k))
            recognitions.append(Recognition(tuple(answer.names), tuple(choices)))
        return recognitions

    def _choice(self, menu: Sequence[str], scores: torch.Tensor, top_k: int) -> Choice:
        if not torch.isfinite(scores).all():
            raise qwen.ModelError(
                f"{self.qwen.folder}: the model's scores are not numbers; its weights are damaged"
            )
        temperature = self.metadata.get("temperature", 1.0)
        shares = torch.softmax(scores / temperature, dim=0)
        order = shares.argsort(descending=True).tolist()
        ranked = tuple((menu[place], float(shares[place])) for place in order[:top_k])
        best, best_share = ranked[0]
        if self.presence is not None:
            on_menu = self.presence.probability(
                menu_presence.mass_of(scores.double().cpu().numpy())
            )
            threshold = self.presence.threshold
            answer = best if on_menu >= threshold else None
            return Choice(answer, ranked, threshold, on_menu, self.presence.remark(len(menu)))
        threshold = 0.0
        # A menu's only entry has all of the probability, which says nothing.
        if len(menu) > 1:
            threshold = float(self.metadata.get("off_menu_threshold", 0.0))
        return Choice(best if best_share >= threshold else None, ranked, threshold)


def _builds_trained_inputs(loaded: qwen.Qwen, metadata: dict) -> bool:
    """Whether text and photos become what the model was trained on, as far as its folder says."""
    wanted = metadata.get("input_fingerprint")
    if not wanted:
        return True
    if metadata.get("input_fingerprint_version") == inputs.FINGERPRINT_VERSION:
        return wanted == inputs.fingerprint(loaded)
    return wanted == inputs.fingerprint_of_prompt(loaded)


def checked_metadata(file: Path) -> dict:
    """What dishvl.json holds. Raises `ModelError` naming the first value that cannot be one."""
    metadata = records.read_json(file)
    if not isinstance(metadata, dict):
        raise qwen.ModelError(f"{file} does not hold what stage 04 wrote; copy the folder again")
    for key, least in LEAST.items():
        value = metadata.get(key, 1)
        if not isinstance(value, (int, float)) or not least <= value < math.inf:
            raise qwen.ModelError(
                f"{file}: {key} is {value!r}, which cannot be; run stage 04 again or copy "
                "the folder again"
            )
    margin = metadata.get("crop_margin")  # of photos that a detector has cropped; None: unknown
    if margin is not None and not _is_margin(margin):
        raise qwen.ModelError(
            f"{file}: crop_margin is {margin!r}, which cannot be; run stage 04 again or copy "
            "the folder again"
        )
    if menu_presence.FIELD in metadata:
        try:
            MenuPresence.from_record(metadata[menu_presence.FIELD])
        except ValueError as error:
            raise qwen.ModelError(
                f"{file}: {error}; run stage 04 again or copy the folder again"
            ) from None
    return metadata


def _is_margin(value: object) -> bool:
    return isinstance(value, (int, float)) and crops.LEAST_MARGIN <= value <= crops.MOST_MARGIN


def model_fingerprint(folder: AnyPath) -> str:
    """Which model a folder holds, as far as its dishvl.json tells: its sha256; '' without one."""
    file = Path(folder) / METADATA
    return records.sha256_file(file) if file.is_file() else ""
