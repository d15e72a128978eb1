"""Which dish is taken for which: the confusion table, and the answers that are no dish's name."""

from collections.abc import Mapping

import pandas as pd

from dishvl_lib.core import confused_pairs
from dishvl_lib.core import names as naming
from dishvl_lib.core.types import DishNames
from dishvl_lib.evaluation import metrics

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
    of_predictor = predictions["predictor"] == predictor
    protocols = list(dict.fromkeys(predictions.loc[of_predictor, "protocol"]))
    if not protocols:
        raise ValueError(f"no predictions of {predictor}")
    return "naming" if "naming" in protocols else protocols[0]


def confusions(
    predictions: pd.DataFrame,
    names: DishNames,
    similar: pd.DataFrame | None = None,
    predictor: str = "tuned",
    protocol: str = "naming",
    diagonal: bool = False,
) -> pd.DataFrame:
    """Truth x answer with COLUMNS, most frequent first; the right answers only with `diagonal`.

    `names`: {dish_id: name}. `similar`: dish_id, similar_id, rank. `share` is of the truth's
    questions, `n_truth`. `look_alike_rank` (Int64): place of the answer in the truth's list of
    look-alikes, 1 = closest, empty when it is not in it. What an answer counts as is said by
    `confused_pairs.shown_answers`: those that name no dish are one (`not_dishes` lists them),
    missing ones another; both have an empty `answer_id`. `image_ids`: up to MAX_EXAMPLES photos of
    the cell. Questions of a site that were wrong before they were asked (`lost`) confuse nothing.
    Raises ValueError or `RecordError` as in `metrics.checked` and `metrics.of_predictor`.
    """
    checked = metrics.checked(predictions, ("answer", "dish_id", "image_id"))
    rows = confused_pairs.without_lost(metrics.of_predictor(checked, predictor, protocol))
    rows = rows.assign(shown=confused_pairs.shown_answers(rows, names))
    table = confused_pairs.count(rows, diagonal)
    table["image_ids"] = table["image_ids"].map(_examples)
    table["share"] = table["n"] / table["n_truth"]
    table["truth_id"] = _truth_ids(rows, table)
    table["answer_id"] = table["answer"].map(confused_pairs.ids_by_name(names)).fillna("")
    table["look_alike_rank"] = _ranks(table, confused_pairs.look_alike_ranks(similar, names))
    ordered = table.sort_values(
        ["n", "share", "truth", "answer"], ascending=[False, False, True, True], ignore_index=True
    )
    return ordered[list(COLUMNS)]


def table(
    predictions: pd.DataFrame,
    names: DishNames,
    similar: pd.DataFrame | None = None,
    predictor: str = "tuned",
) -> pd.DataFrame:
    """confusions.csv: the wrong pairs of every protocol that `predictor` answered, with a column
    `protocol`.
    """
    protocols = predictions.loc[predictions["predictor"] == predictor, "protocol"].unique()
    parts = [
        confusions(predictions, names, similar, predictor, protocol).assign(protocol=protocol)
        for protocol in protocols
    ]
    return pd.concat(parts, ignore_index=True).drop(columns="image_ids")


def not_dishes(
    predictions: pd.DataFrame,
    names: DishNames,
    predictor: str = "tuned",
    protocol: str = "naming",
) -> pd.DataFrame:
    """The raw answers behind NOT_A_DISH: truth, answer, n, equal_normalised (the truth but for
    punctuation), image_id.
    """
    checked = metrics.checked(predictions, ("answer", "image_id"))
    rows = metrics.of_predictor(checked, predictor, protocol)
    rows = rows.assign(shown=confused_pairs.shown_answers(rows, names))
    unknown = confused_pairs.unknown_answers(rows)
    same = [
        naming.normalise(row.truth) == naming.normalise(row.answer) for row in unknown.itertuples()
    ]
    unknown.insert(3, "equal_normalised", pd.Series(same, dtype=bool))
    return unknown


def _examples(image_ids: list[str]) -> list[str]:
    return list(dict.fromkeys(image_ids))[:MAX_EXAMPLES]


def _truth_ids(rows: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """The dish of each pair's first question: dishes may share a name."""
    first = rows.groupby(["truth", "shown"])["dish_id"].first().to_dict()
    return [first[pair] for pair in zip(table["truth"], table["answer"], strict=True)]


def _ranks(table: pd.DataFrame, ranks: Mapping[tuple[str, str], int]) -> pd.Series:
    pairs = zip(table["truth"], table["answer"], strict=True)
    places = [ranks.get(pair, pd.NA) for pair in pairs]
    return pd.Series(places, index=table.index, dtype="Int64")
