"""Confusions by cluster of look-alikes: what a cluster is called, and the matrix cluster x cluster,
small however many dishes there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dishvl_lib.core import records
from dishvl_lib.display.pairs import NO_ANSWER, NOT_A_DISH, ids_by_name, side_by_side
from dishvl_lib.display.words import Words, shorten

# Columns after the clusters: dishes that are in none, such as a site's own names; clusters that are
# not shown; answers that are no dish's name; no answer.
OTHERS = 0
ELSEWHERE = -1
NO_DISH = -2
SILENT = -3
LAST = {OTHERS: "others", ELSEWHERE: "other clusters", NO_DISH: NOT_A_DISH, SILENT: NO_ANSWER}
_NO_NAMES = {NOT_A_DISH: NO_DISH, NO_ANSWER: SILENT}


class Families:
    """The clusters of look-alikes by the names of their dishes.

    clusters: dish_id, cluster, size as in clusters.csv, or None: then every dish is among the
    OTHERS. names: {dish_id: name}. Raises `RecordError` for a missing column.
    """

    def __init__(self, clusters: pd.DataFrame | None, names: Mapping[str, str]):
        rows = (
            pd.DataFrame(columns=["dish_id", "cluster", "size"]) if clusters is None else clusters
        )
        records.require_columns(rows, ("dish_id", "cluster", "size"), "the clusters")
        numbers = dict(zip(rows["dish_id"], rows["cluster"].astype(int), strict=True))
        self.number = {
            name: numbers[dish_id]
            for name, dish_id in ids_by_name(names).items()
            if dish_id in numbers
        }
        self.dishes: dict[int, list[str]] = {}
        for name, number in sorted(self.number.items()):
            self.dishes.setdefault(number, []).append(name)

    def of(self, answer: str) -> int:
        """The cluster of a dish's name, or one of LAST."""
        return _NO_NAMES[answer] if answer in _NO_NAMES else self.number.get(answer, OTHERS)

    def label(self, cluster: int, words: Words, columns: int = 34) -> str:
        """`3: 红烧鱼, 红烧鱼块 +4`: the number, the first dishes, how many more; or the word for one of
        LAST.
        """
        if cluster in LAST:
            return words(LAST[cluster])
        dishes = self.dishes[cluster]
        more = f" +{len(dishes) - 2}" if len(dishes) > 2 else ""
        return f"{cluster}: {shorten(', '.join(dishes[:2]), columns - len(more) - 4)}{more}"


@dataclass(frozen=True)
class Matrix:
    """Wrong answers by cluster of the truth (rows) and of the answer (columns, the rows first, then
    LAST where there are any).

    counts: (rows, columns) answers; pairs: (rows, columns) pairs of dishes behind them. wrong: all
    wrong answers, within: those of them within a cluster. clusters: how many clusters have any,
    LAST not counted; skipped: how many of them come before.
    """

    rows: list[int]
    columns: list[int]
    counts: np.ndarray
    pairs: np.ndarray
    wrong: int
    within: int
    clusters: int
    skipped: int = 0

    def title(self, words: Words) -> str:
        """What is shown of what: clusters, wrong answers."""
        here = sum(row > 0 for row in self.rows)
        which = f"{self.skipped + 1}-{self.skipped + here}" if self.skipped else here
        shown = f"{which} {words('of')} {self.clusters} {words('clusters with confusions')}"
        return (
            f"{words('confusions by cluster')}: {shown}, {int(self.counts.sum())} "
            f"{words('of')} {self.wrong} {words('wrong answers')}"
        )


def matrix(table: pd.DataFrame, families: Families, most: int = 30, skip: int = 0) -> Matrix:
    """The `most` clusters with most wrong answers, given or received, after the first `skip`, those
    taken for each other side by side.

    `table`: truth, answer, n; right answers among them do not count. Answers of dishes of a cluster
    that is not shown are left out, and the title says how many are in; answers into one are the
    column ELSEWHERE.
    """
    wrong = by_cluster(table, families)
    busy = _busy(wrong)
    kept = busy[skip : skip + most]
    within = int(wrong.loc[(wrong["row"] == wrong["column"]) & (wrong["row"] > 0), "n"].sum())
    wrong.loc[(wrong["column"] > 0) & ~wrong["column"].isin(kept), "column"] = ELSEWHERE
    rows = [kept[place] for place in side_by_side(_spread(wrong, kept, kept, "sum"))] + (
        [OTHERS] if OTHERS in set(wrong["row"]) else []
    )
    shown = set(wrong.loc[wrong["row"].isin(rows), "column"])
    columns = rows + [last for last in LAST if last not in rows and last in shown]
    counts, pairs = (_spread(wrong, rows, columns, how) for how in ("sum", "size"))
    return Matrix(rows, columns, counts, pairs, int(wrong["n"].sum()), within, len(busy), skip)


def by_cluster(table: pd.DataFrame, families: Families) -> pd.DataFrame:
    """The wrong pairs of `table` with the cluster of the truth as `row` and of the answer as
    `column`.
    """
    wrong = table[table["truth"] != table["answer"]]
    return wrong.assign(
        row=wrong["truth"].map(families.of).astype(int),
        column=wrong["answer"].map(families.of).astype(int),
    )


def _busy(wrong: pd.DataFrame) -> list[int]:
    """Clusters, those with most wrong answers first, LAST left out."""
    busy = wrong.groupby("row")["n"].sum().add(wrong.groupby("column")["n"].sum(), fill_value=0)
    return busy[busy.index > 0].sort_values(ascending=False, kind="stable").index.tolist()


def _spread(wrong: pd.DataFrame, rows: list[int], columns: list[int], how: str) -> np.ndarray:
    spread = wrong.pivot_table(index="row", columns="column", values="n", aggfunc=how, fill_value=0)
    return spread.reindex(index=rows, columns=columns, fill_value=0).to_numpy(int)
