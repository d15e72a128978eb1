"""Outside sites, whose folders have poor names: a predictor names the dishes itself, and those
names frame the menus it chooses from.

    site:NAME             the names are the predictor's own
    site:NAME:own_menu    the site's menu (menu_csv); a predictor picks each dish's entry, unless
    the file says it

What is judged without true names is whether other photos of a dish get the name that its registered
photos got.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dishvl_lib.core import given_tables, menu_entries, names, paths, questions, records
from dishvl_lib.core.types import AnyPath, Record, Records, RecordView, RecordViews

NO_NAME = "no usable name was given to this dish"


@dataclass(frozen=True)
class Site:
    """A protocol of one site. `register`: rows from which its dishes are named; `queries`: rows
    that are judged.

    menu: the site's own, [] where the predictor's names make it. truths: {dish_id: name} where
    menu_csv says it; then nothing is registered.
    """

    protocol: str
    register: Records
    queries: Records
    menu: list[str] = field(default_factory=list)
    truths: Mapping[str, str] = field(default_factory=dict)
    menu_size: int = 20
    seed: int = 0

    def to_name(self) -> Records:
        """The questions by which the predictor names the dishes: what is it, or which entry of the
        site's whole menu.
        """
        if not self.menu:
            return [{**row, "protocol": self.protocol} for row in self.register]
        rows = []
        for row in self.register:
            named = {**row, "id": f"{row['id']}{self._ending}"}
            rows.append(_menu_row(named, self.menu, "", self.protocol, self._rng(row)))
        return rows

    def to_settle(self, answers: Mapping[str, str | None]) -> Records:
        """Where a dish's photos give several names equally often: the questions which of these it
        is, one for each photo that names it.

        `answers`: {id of a row of `to_name`: answer}.
        """
        tied = {dish: names for dish, names in self._frequent(answers).items() if len(names) > 1}
        rows = []
        for row in self.register:
            entries = tied.get(row["dish_id"])
            if entries:
                settling = {**row, "id": f"{row['id']}{self._ending}-tie"}
                menu = self._rng(settling).permutation(entries).tolist()
                rows.append(_menu_row(settling, menu, "", self.protocol, self._rng(settling)))
        return rows

    def named(
        self, answers: Mapping[str, str | None], settled: Iterable[RecordView] = ()
    ) -> dict[str, str]:
        """{dish_id: name}: the answer to most of a dish's photos; '' without a usable one.

        `answers`: {id of a row of `to_name`: answer}; `settled`: the predictions for `to_settle`.
        Of equally frequent names the one whose scores there add up to most (where a predictor gives
        none, the one that it answers most often), then the first.
        """
        sums: dict[str, Counter] = {}
        for prediction in settled:
            of_dish = sums.setdefault(prediction["dish_id"], Counter())
            scores = dict(prediction["scores"]) or {prediction["answer"]: 1.0}
            of_dish.update(scores)
        given = {row["dish_id"]: "" for row in self.queries}
        for dish, frequent in self._frequent(answers).items():
            scores = sums.get(dish, Counter())
            given[dish] = max(frequent, key=lambda name: scores[name])
        return given

    def _frequent(self, answers: Mapping[str, str | None]) -> dict[str, list[str]]:
        """{dish_id: the usable names that most of its photos got}, in the order of the photos."""
        votes: dict[str, Counter] = {}
        for row in self.to_name():
            name = names.clean(answers.get(row["id"]) or "")
            if not names.problem_with(name):
                votes.setdefault(row["dish_id"], Counter())[name] += 1
        frequent = {}
        for dish, count in votes.items():
            most = max(count.values())
            frequent[dish] = [name for name, n_photos in count.items() if n_photos == most]
        return frequent

    @property
    def _ending(self) -> str:
        """Of the ids of questions whose menu is the site's."""
        return "-own_menu" if self.menu else ""

    def to_judge(self, named: Mapping[str, str]) -> Records:
        """Menu questions about the other photos; `truth` is the dish's name. `lost` says why a
        question is wrong whatever is answered.

        A name given to two dishes is wrong for both; it stands on the menu once.
        """
        given = self.truths or named
        counts = Counter(name for name in given.values() if name)
        entries = self.menu or sorted(counts)
        rows = []
        for row in self.queries:
            name = given.get(row["dish_id"], "")
            menu = self._menu(row, name, entries)
            asked_row = {**row, "id": f"{row['id']}{self._ending}"}
            question = _menu_row(asked_row, menu, name, self.protocol, self._rng(row))
            lost = "" if self.truths else _lost(name, counts)
            rows.append({**question, "framed": not self.truths, "lost": lost})
        return rows

    def _menu(self, row: RecordView, name: str, entries: Sequence[str]) -> list[str]:
        """`menu_size` entries in random order, the dish's name among them and the others drawn
        blindly.
        """
        rng = self._rng(row)
        others = [entry for entry in entries if entry != name]
        answer = [name] if name else []
        order = rng.permutation(len(others))[: self.menu_size - len(answer)]
        menu = answer + [others[place] for place in order]
        return [menu[place] for place in rng.permutation(len(menu))]

    def _rng(self, row: RecordView) -> np.random.Generator:
        """Of each question its own, so that a sample of the questions has the same menus."""
        return np.random.default_rng(
            int(
                hashlib.sha256(f"{self.seed}|{self.protocol}|{row['id']}".encode()).hexdigest()[
                    :16
                ],
                16,
            )
        )


def of_run(sites: RecordViews, question_files: Sequence[Path], **options: Any) -> list[Site]:
    """The protocols of every site {name, menu_csv} of which stage 03 wrote a file of questions,
    site_NAME.jsonl. `options`: as `protocols` takes them.

    Raises ValueError for register_per_dish below 1.
    """
    if (given := options.get("register_per_dish", 1)) < 1:
        raise ValueError(f"register_per_dish is {given}; give at least 1")
    files = {file.stem.removeprefix("site_"): file for file in question_files}
    there = [site for site in sites if site["name"] in files]
    protocols_of_sites = []
    for site in there:
        rows = records.read_jsonl(files[site["name"]])
        protocols_of_sites += protocols(site["name"], rows, _menu_file(site), **options)
    return protocols_of_sites


def protocols(
    name: str,
    rows: Sequence[Record],
    menu_csv: AnyPath = "",
    *,
    register_per_dish: int = 2,
    menu_size: int = 20,
    seed: int = 0,
) -> list[Site]:
    """The one or two protocols of a site. `rows`: site_NAME.jsonl, with `role`; `menu_csv`: its own
    menu, '' without one.

    The first `register_per_dish` rows of a dish name it, the others are judged. Raises
    `RecordError` for a menu that cannot be used.
    """
    register, queries = _shared_out(rows, register_per_dish)
    sites = [Site(f"site:{name}", register, queries, menu_size=menu_size, seed=seed)]
    if menu_csv:
        menu, by_folder = read_menu(menu_csv)
        meant = names.matching(by_folder, _folders(rows))
        truths = {
            f"{name}/{meant.get(folder, folder)}": entry for folder, entry in by_folder.items()
        }
        known = [row for row in queries if not truths or row["dish_id"] in truths]
        if truths and not known:
            raise records.RecordError(
                f"{menu_csv}: none of its folders ({', '.join(list(by_folder)[:3])}) is one "
                f"of site {name}"
            )
        sites.append(
            Site(
                f"site:{name}:own_menu",
                [] if truths else register,
                known,
                menu,
                truths,
                menu_size=menu_size,
                seed=seed,
            )
        )
    return sites


def unmatched_menu_rows(sites: RecordViews, question_files: Sequence[Path]) -> list[str]:
    """A sentence for each site whose menu_csv has rows about folders that no question is about."""
    sentences = []
    for site in sites:
        rows = [file for file in question_files if file.stem == f"site_{site['name']}"]
        menu_csv = _menu_file(site)
        table = given_tables.read(menu_csv, ["name"]) if menu_csv and rows else pd.DataFrame()
        if "folder" not in table:
            continue
        there = _folders(records.read_jsonl(rows[0]))
        if clause := given_tables.unmatched(table, "folder", there):
            sentences.append(f"menu_csv {menu_csv}: {clause}")
    return sentences


def read_menu(path: AnyPath) -> tuple[list[str], dict[str, str]]:
    """(entries, {folder: entry}) of a menu_csv with a column `name` and, where the dishes are
    known, `folder`.

    Raises `RecordError` naming the line of an entry that cannot stand on a menu (empty, too long,
    with a separator).
    """
    table = given_tables.read(path, ["name"])
    entries = menu_entries.dish_names(list(table["name"]))
    for line, entry in zip(table.index, entries, strict=True):
        fault = names.fault_of(entry)
        if fault:
            raise records.RecordError(
                f"{path}, line {line}: the menu entry {entry[:20]!r} cannot be used: "
                f"{fault.reason}; change it there"
            )
    if not entries:
        raise records.RecordError(
            f"{path} holds no menu entry; give one name a line under the heading name, or "
            "take menu_csv out of sites"
        )
    folders = dict(zip(table["folder"], entries, strict=True)) if "folder" in table else {}
    return list(dict.fromkeys(entries)), folders


def _folders(rows: Iterable[RecordView]) -> set[str]:
    """The folders of a site, whose dishes are SITE/FOLDER."""
    return {row["dish_id"].partition("/")[2] for row in rows}


def _menu_file(site: RecordView) -> AnyPath:
    return paths.resolve(site["menu_csv"]) if site.get("menu_csv") else ""


def _shared_out(rows: Sequence[Record], register_per_dish: int) -> tuple[Records, Records]:
    """(register, queries): stage 03 put each dish's photos in a random order of different
    groups.
    """
    seen: Counter = Counter()
    register: Records = []
    queries: Records = []
    for row in rows:
        dish = row["dish_id"]
        seen[dish] += 1
        part = register if seen[dish] <= register_per_dish else queries
        part.append(row)
    return register, queries


def _lost(name: str, counts: Counter) -> str:
    if not name:
        return NO_NAME
    n_dishes = counts[name]
    return f"{n_dishes} dishes were given the name {name}" if n_dishes > 1 else ""


def _menu_row(
    row: RecordView, menu: Sequence[str], truth: str, protocol: str, rng: np.random.Generator
) -> Record:
    wordings = questions.templates("menu")
    template = wordings[rng.integers(len(wordings))].id
    turns = [
        {"from": "human", "value": questions.human_turn(template, menu) if menu else ""},
        {"from": "gpt", "value": truth},
    ]
    return {
        **row,
        "conversations": turns,
        "kind": "menu",
        "menu": list(menu),
        "template": template,
        "protocol": protocol,
    }
