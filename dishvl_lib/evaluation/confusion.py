"""Which dish is taken for which: the confusion table, and the answers that are no dish's name."""

from collections.abc import Mapping

import pandas as pd

from dishvl_lib.core import names as naming
from dishvl_lib.core import records
from dishvl_lib.evaluation import metrics

NOT_A_DISH = "not a dish"
NO_ANSWER = "no answer"
COLUMNS = (
    "truth",
    "answer",
    "n",
    "n_truth",
    "share",
    "look_alike_rank",
    "truth_id",
    "answer_id",
    "image_ids",
)
MAX_EXAMPLES = 6


def first_protocol(predictions: pd.DataFrame, predictor: str = "tuned") -> str:
    """What is looked at first: naming, or where nobody was asked for a name the predictor's first
    protocol. Raises ValueError for no rows.
    """
    asked = list(dict.fromkeys(predictions.loc[predictions["predictor"] == predictor, "protocol"]))
    if not asked:
        raise ValueError(f"no predictions of {predictor}")
    return "naming" if "naming" in asked else asked[0]


def confusions(
    predictions: pd.DataFrame,
    names: Mapping[str, str],
    similar: pd.DataFrame | None = None,
    predictor: str = "tuned",
    protocol: str = "naming",
    diagonal: bool = False,
) -> pd.DataFrame:
    """Truth x answer with COLUMNS, most frequent first; the right answers only with `diagonal`.

    `names`: {dish_id: name}. `similar`: dish_id, similar_id, rank. `share` is of the truth's
    questions, `n_truth`. `look_alike_rank` (Int64): place of the answer in the truth's list of
    look-alikes, 1 = closest, empty when it is not in it. Answers that are neither a dish's name nor
    an entry of any menu are counted as NOT_A_DISH (`not_dishes` lists them), missing ones as
    NO_ANSWER, unless that is right (a menu without the dish); both have an empty `answer_id`.
    `image_ids`: up to MAX_EXAMPLES photos of the cell. Questions of a site that were wrong before
    they were asked (`lost`) confuse nothing. Raises ValueError or `RecordError` as in
    `metrics.checked` and `metrics.of_predictor`.
    """
    rows = metrics.of_predictor(
        metrics.checked(predictions, ("answer", "dish_id", "image_id")), predictor, protocol
    )
    rows = rows[rows["lost"].fillna("").eq("")] if "lost" in rows else rows
    rows = rows.assign(cell=_cells(rows, names))
    table = rows.groupby(["truth", "cell"], sort=True).agg(
        n=("id", "size"), truth_id=("dish_id", "first"), image_ids=("image_id", _examples)
    )
    table = table.reset_index().rename(columns={"cell": "answer"})
    table["n_truth"] = table.groupby("truth")["n"].transform("sum")
    table["share"] = table["n"] / table["n_truth"]
    table["answer_id"] = table["answer"].map(_first_ids(names)).fillna("")
    table["look_alike_rank"] = _ranks(table, names, similar)
    table = table if diagonal else table[table["truth"] != table["answer"]]
    return table.sort_values(
        ["n", "share", "truth", "answer"], ascending=[False, False, True, True]
    )[list(COLUMNS)].reset_index(drop=True)


def table(
    predictions: pd.DataFrame,
    names: Mapping[str, str],
    similar: pd.DataFrame | None = None,
    predictor: str = "tuned",
) -> pd.DataFrame:
    """confusions.csv: the wrong pairs of every protocol that `predictor` answered, with a column
    `protocol`.
    """
    asked = predictions.loc[predictions["predictor"] == predictor, "protocol"].unique()
    parts = [
        confusions(predictions, names, similar, predictor, protocol).assign(protocol=protocol)
        for protocol in asked
    ]
    return pd.concat(parts, ignore_index=True).drop(columns="image_ids")


def not_dishes(
    predictions: pd.DataFrame,
    names: Mapping[str, str],
    predictor: str = "tuned",
    protocol: str = "naming",
) -> pd.DataFrame:
    """The raw answers behind NOT_A_DISH: truth, answer, n, equal_normalised (the truth but for
    punctuation), image_id.
    """
    rows = metrics.of_predictor(
        metrics.checked(predictions, ("answer", "image_id")), predictor, protocol
    )
    rows = rows[[cell == NOT_A_DISH for cell in _cells(rows, names)]]
    table = (
        rows.groupby(["truth", "answer"], sort=True)
        .agg(n=("id", "size"), image_id=("image_id", "first"))
        .reset_index()
    )
    same = [
        naming.normalise(row.truth) == naming.normalise(row.answer) for row in table.itertuples()
    ]
    table.insert(3, "equal_normalised", pd.Series(same, dtype=bool))
    return table.sort_values(["n", "truth", "answer"], ascending=[False, True, True]).reset_index(
        drop=True
    )


def _cells(rows: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    known = set(names.values()) | set(rows["truth"])
    if "menu" in rows:
        known |= {entry for menu in rows["menu"] if metrics.has_menu(menu) for entry in menu}
    said = zip(rows["answer"], rows["truth"], rows["correct"], strict=True)
    return [
        truth
        if right
        else NO_ANSWER
        if pd.isna(answer)
        else answer
        if answer in known
        else NOT_A_DISH
        for answer, truth, right in said
    ]


def _examples(image_ids: pd.Series) -> list[str]:
    return list(dict.fromkeys(image_ids))[:MAX_EXAMPLES]


def _first_ids(names: Mapping[str, str]) -> dict[str, str]:
    first: dict[str, str] = {}
    for dish_id, name in names.items():
        first.setdefault(name, dish_id)
    return first


def _ranks(
    table: pd.DataFrame, names: Mapping[str, str], similar: pd.DataFrame | None
) -> pd.Series:
    """Best rank over the dishes that share a name."""
    if similar is None or similar.empty:
        return pd.Series(pd.NA, index=table.index, dtype="Int64")
    records.require_columns(similar, ("dish_id", "similar_id", "rank"), "the similar dishes")
    best: dict[tuple, int] = {}
    for dish_id, similar_id, rank in similar[["dish_id", "similar_id", "rank"]].itertuples(
        index=False
    ):
        pair = names.get(dish_id), names.get(similar_id)
        best[pair] = min(int(rank), best.get(pair, int(rank)))
    return pd.Series(
        [best.get(pair, pd.NA) for pair in zip(table["truth"], table["answer"], strict=True)],
        index=table.index,
        dtype="Int64",
    )
