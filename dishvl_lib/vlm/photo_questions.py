"""What is asked about a photo: for a name, and for an entry of each of some menus."""

from collections.abc import Sequence
from dataclasses import replace

from dishvl_lib.core import questions
from dishvl_lib.vlm.answers import Choice, Recognition
from dishvl_lib.vlm.written_menus import as_read


class PhotoQuestions:
    """The questions about a photo, checked once for all photos that they are asked about.

    `menus`: as they are written; `read`: as the model reads them; `menu_questions`: (question,
    entries as read) of each menu; `namings`: the naming question, or none; `top_k`: entries of each
    choice.
    """

    def __init__(
        self,
        menus: Sequence[Sequence[str]] = (),
        *,
        naming: str = "",
        template: str = "menu-1",
        top_k: int = 3,
    ):
        """`naming`, `template`: of the naming question ('': none) and of the menus'. Raises
        ValueError for a menu that cannot be one, and a `top_k` below 1.
        """
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}; give at least 1")
        self.menus = menus
        self.top_k = top_k
        self.read = [as_read(menu) for menu in menus]
        self.namings = [questions.ask(naming)] if naming else []
        self.menu_questions = []
        for entries in self.read:
            self.menu_questions.append((questions.ask(template, entries), entries))

    def spelt(self, recognition: Recognition) -> Recognition:
        """The `top_k` best of each choice, with the entries as each menu is written."""
        choices = []
        for choice, entries, menu in zip(recognition.choices, self.read, self.menus, strict=True):
            choices.append(self._spelt(choice, entries, menu))
        return replace(recognition, choices=tuple(choices))

    def _spelt(self, choice: Choice, entries: Sequence[str], menu: Sequence[str]) -> Choice:
        spelling = dict(zip(entries, menu, strict=True))
        answer = None if choice.answer is None else spelling[choice.answer]
        best = choice.entries[: self.top_k]
        ranked = tuple((spelling[entry], share) for entry, share in best)
        return replace(choice, answer=answer, entries=ranked)
