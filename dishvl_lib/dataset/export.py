"""The questions as files that other trainers read: Qwen's own fine-tuning script, LLaMA-Factory and
ms-swift.

Under the folder, for a run and each of its splits:

- `qwen/RUN_SPLIT.json` (a list) and `.jsonl`: the stage's rows as they are; `dataset_entry.py`:
  their entries for the script's list of data sets. Photo paths stay relative, the entry's
  `data_path` is `image_root`.
- `llama_factory/RUN_SPLIT.json` and `dataset_info.json`: give this folder as `dataset_dir`. Photo
  paths are absolute, so `media_dir` does not matter; when the photos move, export again.
- `ms_swift/RUN_SPLIT.jsonl`: give the file as `--dataset`. Photo paths are absolute, so
  ROOT_IMAGE_DIR does not matter.

The last two keep every character after `<image>`, and inference sends no line break there; so
theirs is taken away. They read rows as a table whose columns must keep one type, so only `id`, the
conversation and `images` (empty without a photo) are written: the id leads back to the stage's
rows. What else each format cannot carry is CANNOT_CARRY. The rules were read in Qwen's
`data_qwen.py` and `data_processor.py`, LLaMA-Factory 0.9.5 and ms-swift 4.6.0.
"""

import difflib
import json
import os
import pprint
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from dishvl_lib.core import artefacts, params, questions, records
from dishvl_lib.core.types import AnyPath, Record
from dishvl_lib.dataset.conversations import DatasetError

Row = Record
DataSets = Mapping[str, Sequence[Row]]  # by their names
File = tuple[Path, int]  # and the questions in it
COLUMNS = ("format", "file", "rows", "cannot_carry")
# What the trainers' readers replace, or their tokenizer takes for a command, wherever it stands.
MARKS = re.compile(
    r"</?(?:image|video|audio|img|bbox|ref-object|cot-process|start-image|tool_call)>|<\|[^|<>]*\|>"
)
_ALL = (
    "question trees: a photo is read again for each of its questions",
    "the end of the answer: the line break after <|im_end|> is supervised too",
    "outer white space and marks such as <|im_end|> as plain text in a question",
)
_BY_ID = "menu and its order, template, kind, dish and photo ids as data: join them by id"
_AS_THEY_LIE = "photos as they are to be seen: no turn by EXIF, no white behind transparency"
CANNOT_CARRY = {
    params.QWEN: (
        *_ALL,
        "menu, template, kind and ids are in the rows, but the script does not read them",
        "the prompt of inference: data_qwen.py keeps the line break after the photo "
        "(data_processor.py drops it)",
        f"{_AS_THEY_LIE} (data_qwen.py)",
        "pixel limits: give the script --min_pixels and --max_pixels",
        "splits: the script has no validation set, it trains on what --dataset_use names",
        "text-only rows safely under ZeRO-3: a batch without photos gets no stand-in for one",
        "errors: a row that fails is replaced by the next one",
    ),
    params.LLAMA_FACTORY: (
        *_ALL,
        _BY_ID,
        _AS_THEY_LIE,
        "pixel limits: set image_min_pixels and image_max_pixels, whose own rounding comes first",
        "splits: name the validation set in eval_dataset",
        "questions over cutoff_len (2048 unless set) whole: they are cut",
    ),
    params.MS_SWIFT: (
        *_ALL,
        _BY_ID,
        _AS_THEY_LIE,
        "pixel limits: set the environment variables MIN_PIXELS and MAX_PIXELS",
        "splits: give the validation file as --val_dataset",
        "errors: a row that fails is left out or replaced",
    ),
}


def write(
    folder: AnyPath,
    rows_by_split: DataSets,
    formats: Iterable[str],
    image_root: AnyPath,
    run_name: str,
) -> pd.DataFrame:
    """Writes the files of each of `formats` (keys of CANNOT_CARRY) and returns a table of them:
    COLUMNS, a file a row.

    rows_by_split: {split: the stage's rows}; file: relative to `folder`; rows: questions in the
    file, or in the files that an index lists. Raises ValueError for an unknown format,
    `DatasetError` for a row that a trainer would read otherwise than it is meant. Every file is
    written whole or not at all, and nothing before all rows are checked.
    """
    formats = list(dict.fromkeys(formats))
    root = os.path.abspath(image_root)
    _check_formats(formats)
    for split, rows in rows_by_split.items():
        _check_rows(split, rows)
    named = _named(run_name, rows_by_split)
    folder = Path(os.path.abspath(folder))
    exports = []
    for name in formats:
        cannot_carry = "; ".join(CANNOT_CARRY[name])
        write_files = _WRITERS[name]
        for file, count in write_files(folder / name, named, root):
            exports.append((name, f"{name}/{file.name}", count, cannot_carry))
    return pd.DataFrame(exports, columns=list(COLUMNS))


def _write_qwen(folder: Path, named: DataSets, root: str) -> list[File]:
    files = []
    entries = {}
    for name, rows in named.items():
        n = len(rows)
        as_list = _write_list(folder / f"{name}.json", rows)
        as_lines = folder / f"{name}.jsonl"
        records.write_jsonl(as_lines, rows)
        files += [(as_list, n), (as_lines, n)]
        entries[name] = {"annotation_path": str(as_lines), "data_path": root}
    written = pprint.pformat(entries, width=160, sort_dicts=False)
    text = (
        "# Paste below data_dict in qwenvl/data/__init__.py; then --dataset_use takes these "
        f"names.\nDISHVL = {written}\n"
    )
    entry = folder / "dataset_entry.py"
    records.write_text(entry, f"{text}data_dict.update(DISHVL)\n")
    return [*files, (entry, _count(named))]


def _write_llama_factory(folder: Path, named: DataSets, root: str) -> list[File]:
    files = []
    for name, rows in named.items():
        conversations = (_sharegpt(row, root) for row in rows)
        written = _write_list(folder / f"{name}.json", conversations)
        files.append((written, len(rows)))
    described = {
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "images": "images"},
        "tags": {
            "role_tag": "from",
            "content_tag": "value",
            "user_tag": "human",
            "assistant_tag": "gpt",
        },
    }
    index = folder / "dataset_info.json"
    entries = {name: {"file_name": f"{name}.json", **described} for name in named}
    records.write_json(index, entries)
    return [*files, (index, _count(named))]


def _write_ms_swift(folder: Path, named: DataSets, root: str) -> list[File]:
    files = []
    for name, rows in named.items():
        file = folder / f"{name}.jsonl"
        records.write_jsonl(file, (_messages(row, root) for row in rows))
        files.append((file, len(rows)))
    return files


_WRITERS: dict[str, Callable[[Path, DataSets, str], list[File]]] = {
    params.QWEN: _write_qwen,
    params.LLAMA_FACTORY: _write_llama_factory,
    params.MS_SWIFT: _write_ms_swift,
}


def _sharegpt(row: Row, root: str) -> Record:
    question, answer, photos = _parts(row, root)
    return {
        "id": row["id"],
        "conversations": artefacts.conversation(question, answer),
        "images": photos,
    }


def _messages(row: Row, root: str) -> Record:
    question, answer, photos = _parts(row, root)
    return {
        "id": row["id"],
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ],
        "images": photos,
    }


def _parts(row: Row, root: str) -> tuple[str, str, list[str]]:
    """(question with its image mark and no line break after it, answer, absolute photo paths)."""
    question = artefacts.human_turn_of(row)
    answer = artefacts.answer_of(row)
    if not row.get("image"):
        return question, answer, []
    marked = questions.IMAGE_MARK + questions.question_of(question)
    photo = os.path.join(root, row["image"])
    return marked, answer, [photo]


def _write_list(path: Path, rows: Iterable[Row]) -> Path:
    """A JSON list, a row a line, never held in memory as a whole."""
    with (
        records.atomic_path(path) as temporary,
        open(temporary, "w", encoding="utf-8", newline="\n") as file,
    ):
        start = "[\n"
        for row in rows:
            file.write(start + json.dumps(row, ensure_ascii=False, allow_nan=False))
            start = ",\n"
        file.write("[]\n" if start == "[\n" else "\n]\n")
    return path


def _named(run_name: str, rows_by_split: DataSets) -> dict[str, Sequence[Row]]:
    """{data set: rows}. Names without the characters that trainers read in them (`,` separates, `%`
    and `#` sample).
    """
    named = {}
    for split, rows in rows_by_split.items():
        name = re.sub(r"[^\w.-]+", "_", f"{run_name}_{split}")
        named[name] = rows
    if len(named) < len(rows_by_split):
        raise DatasetError(
            f"two of the splits {', '.join(rows_by_split)} would share an export file; "
            "rename one of the sites"
        )
    return named


def _count(named: DataSets) -> int:
    return sum(map(len, named.values()))


def _check_formats(formats: Sequence[str]) -> None:
    for name in formats:
        if name not in CANNOT_CARRY:
            close = difflib.get_close_matches(name, CANNOT_CARRY, n=1, cutoff=0.4)
            hint = f"did you mean {close[0]!r}?" if close else "choose among"
            known = ", ".join(CANNOT_CARRY)
            raise ValueError(f"export format {name!r} is unknown; {hint} ({known})")


def _check_rows(split: str, rows: Sequence[Row]) -> None:
    bad = [f"{row['id']}: {why}" for row in rows if (why := _problem(row))]
    if bad:
        counts = f"{len(bad)} of {len(rows)} questions"
        raise DatasetError(f"{split}: {counts} cannot be exported; the first is {bad[0]}")


def _problem(row: Row) -> str:
    question = artefacts.human_turn_of(row)
    has_photo = bool(row.get("image"))
    if has_photo != question.startswith(questions.IMAGE_MARK):
        return (
            f"it must begin with {questions.IMAGE_MARK} when it has a photo and only then; "
            "make the stage's files again"
        )
    answer = artefacts.answer_of(row)
    mark = MARKS.search(questions.question_of(question)) or MARKS.search(answer)
    if not mark:
        return ""
    return (
        f"it holds {mark[0]!r}, which trainers read as a photo or a command; change the "
        "dish's name or card"
    )
