"""Confusions by cluster: every wrong answer is counted once or left out by name, and the picture
says of how many.
"""

import io

import pandas as pd
import pytest
from display_toys import EVIL

from dishvl_lib.core import records
from dishvl_lib.display import figures
from dishvl_lib.display.cluster_matrix import ELSEWHERE, NO_DISH, OTHERS, SILENT, Clusters, matrix
from dishvl_lib.display.words import Words

NAMES = {f"d{number}": name for number, name in enumerate("abcdef")}
CLUSTERS = pd.DataFrame(
    {"dish_id": list(NAMES), "cluster": ["1", "1", "1", "2", "2", "3"], "size": [3, 3, 3, 2, 2, 1]}
)
COUNTS = [
    ("a", "b", 5),
    ("b", "c", 1),
    ("a", "d", 2),
    ("d", "a", 3),
    ("f", "not a dish", 4),
    ("d", "no answer", 1),
    ("a", "far away", 1),
    ("a", "a", 90),
]
TABLE = pd.DataFrame(COUNTS, columns=["truth", "answer", "n"])


def test_a_cluster_is_called_by_its_number_and_first_dishes():
    clusters = Clusters(CLUSTERS, NAMES)
    assert [clusters.label(cluster, Words("en")) for cluster in (1, 2, 3)] == [
        "1: a, b +1",
        "2: d, e",
        "3: f",
    ]
    assert [
        clusters.label(cluster, Words("zh")) for cluster in (OTHERS, NO_DISH, SILENT, ELSEWHERE)
    ] == ["其他", "不是菜名", "没有回答", "其他组"]
    assert [clusters.of(name) for name in ("c", "far away", "not a dish", "no answer")] == [
        1,
        OTHERS,
        NO_DISH,
        SILENT,
    ]
    assert Clusters(None, NAMES).of("a") == OTHERS


def test_every_wrong_answer_is_in_its_cell():
    counted = matrix(TABLE, Clusters(CLUSTERS, NAMES))
    cells = {
        (row, column): counted.counts[i, j]
        for i, row in enumerate(counted.rows)
        for j, column in enumerate(counted.columns)
        if counted.counts[i, j]
    }
    assert cells == {
        (1, 1): 6,
        (1, 2): 2,
        (2, 1): 3,
        (3, NO_DISH): 4,
        (2, SILENT): 1,
        (1, OTHERS): 1,
    }
    assert counted.columns[:3] == counted.rows
    assert counted.pairs[counted.rows.index(1), counted.columns.index(1)] == 2
    assert (counted.wrong, counted.within, counted.clusters) == (17, 6, 3)


def test_over_most_clusters_the_others_are_named_and_come_when_they_are_skipped_to():
    clusters = Clusters(CLUSTERS, NAMES)
    first = matrix(TABLE, clusters, most=1)
    second = matrix(TABLE, clusters, most=1, skip=1)
    assert (first.rows, first.columns, first.counts.tolist()) == (
        [1],
        [1, OTHERS, ELSEWHERE],
        [[6, 1, 2]],
    )
    assert (second.rows, second.columns, second.counts.tolist()) == (
        [2],
        [2, ELSEWHERE, SILENT],
        [[0, 3, 1]],
    )
    assert "1 of 3 clusters with confusions, 9 of 17 wrong answers" in first.title(Words("en"))
    assert "2-2 of 3 clusters" in second.title(Words("en"))


def test_dishes_without_a_cluster_are_a_row_of_their_own():
    counted = matrix(
        pd.DataFrame([("far away", "a", 2)], columns=["truth", "answer", "n"]),
        Clusters(CLUSTERS, NAMES),
    )
    assert counted.rows == [1, OTHERS]
    assert counted.counts.tolist() == [[0, 0], [2, 0]]
    assert counted.clusters == 1


def test_a_missing_column_is_named():
    with pytest.raises(records.RecordError, match="cluster"):
        Clusters(CLUSTERS.drop(columns="cluster"), NAMES)
    with pytest.raises(records.RecordError, match="answer"):
        figures.cluster_matrix(TABLE.drop(columns="answer"), CLUSTERS, NAMES)


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_picture_has_every_count_and_over_most_clusters_a_dot_for_each_of_all():
    whole = figures.cluster_matrix(TABLE.replace("a", EVIL), CLUSTERS, NAMES | {"d0": EVIL})
    assert len(whole.axes) == 1
    assert sorted(texts(whole)) == ["1", "1", "2", "3", "4", "6"]
    part = figures.cluster_matrix(TABLE, CLUSTERS, NAMES, most=1, language="zh")
    assert len(part.axes) == 2
    assert len(part.axes[1].collections[0].get_offsets()) == 3
    part.savefig(buffer := io.BytesIO(), format="png", dpi=40)
    assert buffer.getvalue()


def test_no_confusion_is_said_with_its_n():
    figure = figures.cluster_matrix(TABLE[TABLE["truth"] == TABLE["answer"]], CLUSTERS, NAMES)
    assert [text.get_text() for text in figure.texts] == ["no confusions among 90 questions"]
