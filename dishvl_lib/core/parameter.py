"""A parameter: its name, type, default, help, what it may be, and its role; and lists of mappings
of such fields.
"""

import json
import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

from dishvl_lib.core.rules import Rule, nearest, shortened, text_problem
from dishvl_lib.core.types import RecordView

TYPES: dict[str, type] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "list[str]": list,
    "list[dict]": list,
    "dict": dict,
}
MOST_ENTRIES = 10_000


class Role(Enum):
    """What a parameter decides."""

    CONTENT = "what is made: another value makes the stage again"
    RUNTIME_ONLY = "only how it is made: it may change before a resume"
    DISPLAY_ONLY = "only what is shown, or where things lie"
    EARLIER = "nothing here: it reaches this stage through the files of earlier ones"


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell, or one field of a mapping in a list of mappings."""

    name: str
    type: str
    default: Any
    help: str
    rule: Rule = Rule()
    role: Role = Role.CONTENT

    def accept(self, value: Any) -> tuple[Any, list[str]]:
        """(the value in its declared type, a sentence for each thing that is wrong with it)."""
        value, problem = _typed(self.type, value)
        if not problem and isinstance(value, str):
            problem = text_problem(value)
        if not problem and isinstance(self.rule, Mappings):
            return value, [f"{self.name}: {fault}" for fault in self.rule.problems(value)]
        problems = [problem] if problem else self.rule.problems(value)
        got = f", got {shortened(value)}" if self.rule.shows_value else ""
        return value, [f"{self.name} {fault}{got}" for fault in problems]

    def absences(self, value: Any) -> list[str]:
        """A sentence for each thing that the value names and that is not there."""
        joint = ": " if isinstance(self.rule, Mappings) else " "
        return [f"{self.name}{joint}{absence}" for absence in self.rule.absences(value)]

    def has_type(self, value: Any) -> bool:
        """Whether the value has the declared type, whatever the rule says of it."""
        return not _typed(self.type, value)[1]

    def line(self, value: Any) -> str:
        """The parameter with a value, as a line of a parameters cell."""
        return f"{self.name}: {self.type} = {literal(value)}  # {self.help}"


def literal(value: Any) -> str:
    """A Python literal of lists, mappings, text and numbers, with text in double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, dict):
        entries = [f"{literal(key)}: {literal(entry)}" for key, entry in value.items()]
        return "{" + ", ".join(entries) + "}"
    return repr(value)


def _typed(kind: str, value: Any) -> tuple[Any, str]:
    """The value in the declared type; an int is a float where a float is asked for."""
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 1e300 else value
    # To Python True is an int.
    is_bool_for_int = kind == "int" and isinstance(value, bool)
    if not isinstance(value, TYPES[kind]) or is_bool_for_int:
        return value, f"must be {kind}"
    if isinstance(value, float) and not math.isfinite(value):
        return value, "must be a finite number"
    if isinstance(value, list) and len(value) > MOST_ENTRIES:
        return value, f"must have at most {MOST_ENTRIES} entries"
    entry_type = {"list[str]": str, "list[dict]": dict}.get(kind, object)
    if isinstance(value, list) and not all(isinstance(entry, entry_type) for entry in value):
        return value, f"must be {kind}"
    return value, ""


@dataclass(frozen=True)
class Mappings(Rule):
    """A list of mappings with these fields; names are given once.

    settled: (a field, the fields that it settles where it is true and that are then not given).
    """

    entry: str  # what an entry is called
    fields: tuple[Parameter, ...]
    required: tuple[str, ...]
    settled: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def problems(self, value: Any) -> list[str]:
        problems = []
        for number, entry in enumerate(value, start=1):
            label = self._label(number, entry)
            problems += [f"{label}: {problem}" for problem in self.of_entry(entry)]
        names = [entry["name"] for entry in value if isinstance(entry.get("name"), str)]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            problems.append(
                f"two {self.entry}s are called {repeated[0]}; answers and tables go by name, so "
                "give each its own"
            )
        return problems

    def of_entry(self, entry: RecordView) -> list[str]:
        """All that is wrong with one mapping."""
        declared = {field.name: field for field in self.fields}
        problems = []
        for key, value in entry.items():
            if not isinstance(key, str) or key not in declared:
                problems.append(f"unknown field {shortened(key)}{nearest(str(key), declared)}")
            else:
                problems += declared[key].accept(value)[1]
        missing = [key for key in self.required if entry.get(key, "") == ""]
        problems += [f"{key} is missing" for key in missing]
        return problems + self._settled_twice(entry)

    def absences(self, value: Any) -> list[str]:
        absent = []
        for number, entry in enumerate(value, start=1):
            label = self._label(number, entry)
            for field in self.fields:
                absences = field.absences(entry.get(field.name, field.default))
                absent += [f"{label}: {sentence}" for sentence in absences]
        return absent

    def _settled_twice(self, entry: RecordView) -> list[str]:
        """What is given although another field that is true settles it."""
        problems = []
        for settling, fields in self.settled:
            given = [key for key in fields if key in entry]
            if entry.get(settling) is True and given:
                problems.append(
                    f"{settling}: true settles {' and '.join(given)}; take out one or the other"
                )
        return problems

    def _label(self, number: int, entry: RecordView) -> str:
        name = entry.get("name")
        usable = isinstance(name, str) and bool(name) and not text_problem(name)
        return f"{self.entry} {name if usable else f'number {number}'}"
