"""The public face: a trained folder that names a dish or picks an entry of a menu."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from dishvl_lib.core import images, names, questions, records
from dishvl_lib.vlm import choose, inputs, lean, qwen
from dishvl_lib.vlm.decoding import MAX_NEW_TOKENS

METADATA = "dishvl.json"
LEAST = {"min_pixels": 1, "max_pixels": 1, "temperature": 1e-6, "off_menu_threshold": 0}
Source = str | Path | bytes | Image.Image


@dataclass(frozen=True)
class Choice:
    """The menu's entries with probabilities, best first; `answer` is the best one, or None when the
    dish is not on the menu.

    That is said when the best probability is below `threshold`, which stage 04 fitted (0: never).
    """

    answer: str | None
    entries: tuple[tuple[str, float], ...]
    threshold: float = 0.0

    def __str__(self) -> str:
        shown = "  ".join(f"{entry} {probability:.1%}" for entry, probability in self.entries)
        return (
            shown
            if self.answer
            else f"not on the menu (best entry below {self.threshold:.1%}): {shown}"
        )


@dataclass(frozen=True)
class Recognition:
    """What one pass says about a photo: an answer per naming question and a choice per menu, in
    their order.
    """

    names: tuple[str, ...]
    choices: tuple[Choice, ...] = ()

    @property
    def name(self) -> str | None:
        """The dish's name; None when it was not asked for."""
        return self.names[0] if self.names else None

    def __str__(self) -> str:
        return " | ".join([*self.names, *map(str, self.choices)])


class Recognizer:
    """Names dishes and chooses from menus with a folder that stage 04 wrote (`best/`), or any
    Qwen2.5-VL folder.
    """

    def __init__(self, loaded: qwen.Qwen, metadata: dict):
        self.qwen = loaded
        self.metadata = metadata
        lean.batch_windows(loaded.model)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        device: str | None = None,
        dtype: str | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
    ) -> "Recognizer":
        """Open a model folder. The pixel limits are those it was trained with (dishvl.json) unless
        given.

        `device`: 'cuda' when there is one, otherwise 'cpu'; `dtype`: bfloat16 on a GPU, float32 on
        a CPU. Raises `ModelError` when the folder is not a Qwen2.5-VL, is incomplete, or builds
        other inputs than it was trained on.
        """
        folder = str(folder) if Path(folder).is_dir() else qwen.locate(str(folder))
        file = Path(folder) / METADATA
        metadata = checked_metadata(file) if file.exists() else {}
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = dtype or ("bfloat16" if device.startswith("cuda") else "float32")
        limits = {
            "min_pixels": min_pixels or metadata.get("min_pixels"),
            "max_pixels": max_pixels or metadata.get("max_pixels"),
        }
        loaded = qwen.load(folder, dtype=dtype, device=device, **limits)
        wanted = metadata.get("input_fingerprint")
        if wanted and wanted != inputs.fingerprint(loaded):
            raise qwen.ModelError(
                f"{file}: this folder was trained on other inputs (template, tokenizer or "
                "pixel limits) than are built now; use it with the DishVL version that "
                "trained it, and without other pixel limits"
            )
        return cls(loaded, metadata)

    def name(
        self, photos: Source | Sequence[Source], *, template: str = "naming-1", batch_size: int = 16
    ) -> str | list[str]:
        """The dish's name for a photo, or a list of names for a list of photos. Raises `ImageError`
        for an unusable one.
        """
        single = isinstance(photos, (str, Path, bytes, Image.Image))
        sources = [photos] if single else list(photos)
        answers = []
        for start in range(0, len(sources), batch_size):
            answers += self.answer(
                [
                    (source, questions.ask(template))
                    for source in sources[start : start + batch_size]
                ]
            )
        return answers[0] if single else answers

    @torch.inference_mode()
    def answer(self, asked: Sequence[tuple[Source, str]]) -> list[str]:
        """Greedy answers to (photo, question) pairs, in one batch."""
        samples = [
            inputs.build(self.qwen, self._photo(source), question) for source, question in asked
        ]
        batch = inputs.collate(samples, self.qwen.tokenizer.pad_token_id, left=True)
        batch.pop("labels")
        model = self.qwen.model
        batch = {key: value.to(model.device) for key, value in batch.items()}
        batch["pixel_values"] = batch["pixel_values"].to(model.dtype)
        ids = model.generate(
            **batch,
            max_new_tokens=MAX_NEW_TOKENS,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            repetition_penalty=1.0,
            eos_token_id=self.qwen.end_token_id,
            pad_token_id=self.qwen.tokenizer.pad_token_id,
        )
        return [
            self.qwen.tokenizer.decode(row, skip_special_tokens=True).strip()
            for row in ids[:, batch["input_ids"].shape[1] :]
        ]

    def choose(
        self,
        photo: Source | Sequence[Source],
        menu: Sequence[str],
        *,
        top_k: int = 3,
        template: str = "menu-1",
        batch_size: int = 8,
    ) -> Choice | list[Choice]:
        """The most probable entry of `menu` and the `top_k` best with their probabilities among the
        menu; a list for a list of photos.

        Never answers what is not on the menu, and None when the best entry is not probable enough
        (see `Choice`). The model reads cleaned entries, the answer is spelt as given. Raises
        ValueError for an empty menu, equal entries, or an entry that cannot stand on one;
        `ImageError` for a photo that cannot be read.
        """
        made = self.recognise(
            photo, [menu], naming="", top_k=top_k, template=template, batch_size=batch_size
        )
        return [one.choices[0] for one in made] if isinstance(made, list) else made.choices[0]

    def choose_many(
        self,
        photo: Source,
        menus: Sequence[Sequence[str]],
        *,
        top_k: int = 3,
        template: str = "menu-1",
    ) -> list[Choice]:
        """One choice per menu for the same photo, in one forward pass: the photo is computed once."""
        return list(self.recognise(photo, menus, naming="", top_k=top_k, template=template).choices)

    def recognise(
        self,
        photos: Source | Sequence[Source],
        menus: Sequence[Sequence[str]] = (),
        *,
        naming: str = "naming-1",
        template: str = "menu-1",
        top_k: int = 3,
        batch_size: int = 8,
    ) -> Recognition | list[Recognition]:
        """Name and choices from the same menus of each photo, every photo computed once; a list for
        a list of photos.

        `naming`: the template of the naming question, '' to ask none. Errors as in `choose`.
        """
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}; give at least 1")
        single = isinstance(photos, (str, Path, bytes, Image.Image))
        named = [questions.ask(naming)] if naming else []
        asked = [(questions.ask(template, check_menu(menu)), list(menu)) for menu in menus]
        sources = [photos] if single else list(photos)
        made = [
            one
            for start in range(0, len(sources), batch_size)
            for one in self.tell(
                [(source, named, asked) for source in sources[start : start + batch_size]], top_k
            )
        ]
        return made[0] if single else made

    def tell(
        self,
        asked: Sequence[tuple[Source, Sequence[str], Sequence[tuple[str, Sequence[str]]]]],
        top_k: int = 3,
    ) -> list[Recognition]:
        """Answers to (photo, naming questions, [(menu question, menu)]) each, in one forward pass
        for all of them.
        """
        parts = [
            choose.Asked(
                self._photo(source),
                namings,
                [(question, check_menu(menu)) for question, menu in menus],
            )
            for source, namings, menus in asked
        ]
        return [
            Recognition(
                tuple(told.names),
                tuple(
                    self._choice(menu, scores, top_k)
                    for (_, menu), scores in zip(menus, told.scores, strict=True)
                ),
            )
            for (_, _, menus), told in zip(asked, choose.together(self.qwen, parts), strict=True)
        ]

    def _choice(self, menu: Sequence[str], scores: torch.Tensor, top_k: int) -> Choice:
        if not torch.isfinite(scores).all():
            raise qwen.ModelError(
                f"{self.qwen.folder}: the model's scores are not numbers; its weights are damaged"
            )
        shares = torch.softmax(scores / self.metadata.get("temperature", 1.0), dim=0)
        order = shares.argsort(descending=True).tolist()
        ranked = tuple((menu[place], float(shares[place])) for place in order[:top_k])
        threshold = float(self.metadata.get("off_menu_threshold", 0.0)) if len(menu) > 1 else 0.0
        return Choice(ranked[0][0] if ranked[0][1] >= threshold else None, ranked, threshold)

    def _photo(self, source: Source) -> inputs.Photo:
        return inputs.photo_inputs(self.qwen, images.load_rgb(source))


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
    return metadata


def check_menu(menu: Sequence[str]) -> list[str]:
    """The menu as a list of cleaned entries. Raises ValueError: empty, an entry twice, or one that
    cannot be an entry.
    """
    if isinstance(menu, str) or not isinstance(menu, Collection):
        raise ValueError(f"menu must be a list of names, not {type(menu).__name__}")
    for place, entry in enumerate(menu, start=1):
        if not isinstance(entry, str):
            raise ValueError(f"menu entry {place} is {entry!r}; give its name as text")
    entries = [names.clean(entry) for entry in menu]
    if not entries:
        raise ValueError("the menu is empty; give at least one entry")
    for place, entry in enumerate(entries, start=1):
        fault = names.fault_of(entry)
        if fault:
            raise ValueError(
                f"menu entry {place} ({entry[:20]!r}): {fault.reason}; change it on the menu"
            )
        if entry in entries[: place - 1]:
            raise ValueError(f"menu entry {place} ({entry}) is there twice; remove one")
    return entries
