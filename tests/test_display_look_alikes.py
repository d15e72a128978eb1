"""The picture of the look-alike graph: who is drawn, who is joined to whom, what is said."""

import itertools

import numpy as np
import pandas as pd
import pytest
from display_toys import EVIL, NAMES, catalog
from test_display_figures import photos_in, png, texts_of, without_font  # noqa: F401

from dishvl_lib.core import records
from dishvl_lib.display import figures

NO_PHOTOS = pd.DataFrame(columns=["image_id", "path", "dish_id"])


def similar(*pairs, mutual=True):
    """Both directions of (dish, other, score), the second 0.02 lower."""
    rows = [
        row
        for first, second, score in pairs
        for row in (
            (first, second, 1, score + 0.01, mutual),
            (second, first, 1, score - 0.01, mutual),
        )
    ]
    return pd.DataFrame(rows, columns=["dish_id", "similar_id", "rank", "score", "mutual"])


def clusters(*groups):
    return pd.DataFrame(
        [(dish, number, len(group)) for number, group in enumerate(groups) for dish in group],
        columns=["dish_id", "cluster", "size"],
    )


def graph(links, groups, **options):
    return figures.look_alike_graph(links, groups, NO_PHOTOS, {}, "", **options)


def lines(figure):
    return [artist for artist in figure.artists if hasattr(artist, "get_linewidth")]


def boxes(figure):
    """(left, bottom, right, top) of each photo, in inches."""
    size = np.array(figure.get_size_inches())
    return [
        np.concatenate([axes.get_position().min * size, axes.get_position().max * size])
        for axes in figure.axes
    ]


def test_two_dishes_are_joined_by_a_line_with_their_score(tmp_path):
    links = similar(("d1", "d2", 0.95))
    figure = figures.look_alike_graph(
        links, clusters(["d1", "d2"]), catalog(tmp_path), NAMES, tmp_path
    )
    assert len(photos_in(figure)) == 2
    assert len(lines(figure)) == 1
    assert {
        "0.950",
        "红烧鱼",
        "红烧鱼块",
        "group 0: 2 of 2 dishes",
        "groups of look-alikes: 1 of 1;  2 of 2 dishes",
    } <= set(texts_of(figure))
    (left, right) = boxes(figure)
    line = lines(figure)[0]
    ends = np.array(line.get_xydata()) * figure.get_size_inches()
    np.testing.assert_allclose(
        ends, [(left[:2] + left[2:]) / 2, (right[:2] + right[2:]) / 2], atol=1e-6
    )
    png(figure)


def test_tables_may_be_read_from_csv_files_as_strings(tmp_path):
    links = pd.concat([similar(("d1", "d2", 0.95)), similar(("d1", "d3", 0.9), mutual=False)])
    groups = clusters(["d1", "d2", "d3"])
    texts = [
        texts_of(
            figures.look_alike_graph(
                similar_rows.astype(str),
                cluster_rows.astype(str),
                catalog(tmp_path),
                NAMES,
                tmp_path,
            )
        )
        for similar_rows, cluster_rows in [(links, groups)] * 2
    ]
    assert "0.950" in texts[0]
    assert "0.900" not in texts[0]


def test_only_look_alikes_of_each_other_are_joined_and_closer_ones_by_thicker_lines():
    links = pd.concat(
        [
            similar(("a", "b", 0.9), ("b", "c", 0.5), ("c", "d", 0.7)),
            similar(("a", "d", 0.99), mutual=False),
        ]
    )
    figure = graph(links, clusters("abcd"))
    assert {text for text in texts_of(figure) if text.startswith("0.")} == {
        "0.900",
        "0.500",
        "0.700",
    }
    assert [line.get_linewidth() for line in lines(figure)] == pytest.approx([0.8, 2.9, 5.0])


def test_the_largest_groups_come_first_and_among_equals_the_closest():
    links = similar(("a", "b", 0.6), ("c", "d", 0.9), ("e", "f", 0.7), ("f", "g", 0.2))
    figure = graph(links, clusters("ab", "cd", "efg", "h"), top=2)
    titles = [text for text in texts_of(figure) if text.startswith("group ")]
    assert titles == ["group 2: 3 of 3 dishes", "group 1: 2 of 2 dishes"]
    assert texts_of(figure)[0] == "groups of look-alikes: 2 of 3;  5 of 7 dishes"


def test_of_a_large_group_the_best_connected_are_drawn_and_all_of_them_are_joined():
    clique = [(first, second, 0.5) for first, second in itertools.combinations("abcd", 2)]
    chain = [("d", "e", 0.9), ("e", "f", 0.9), ("f", "g", 0.9), ("g", "h", 0.9), ("h", "i", 0.9)]
    apart = [("w", "x", 0.99), ("x", "y", 0.99), ("w", "y", 0.99)]
    figure = graph(similar(*clique, *chain, *apart), clusters("abcdefghiwxy"))
    assert "group 0: 8 of 12 dishes" in texts_of(figure)
    assert set("abcdefgh") == {text for text in texts_of(figure) if len(text) == 1}
    assert len(lines(figure)) == 6 + 4


@pytest.mark.parametrize("count", range(2, 9))
def test_photos_never_overlap_and_stay_on_the_sheet(count):
    dishes = "abcdefgh"[:count]
    figure = graph(
        similar(*[(first, second, 0.5) for first, second in itertools.combinations(dishes, 2)]),
        clusters(dishes, dishes.upper(), dishes.title()[:2]),
    )
    width, height = figure.get_size_inches()
    assert len(boxes(figure)) == 2 * count + 2
    for box in boxes(figure):
        assert box[0] > 0
        assert box[1] > 0
        assert box[2] < width
        assert box[3] < height
    for first, second in itertools.combinations(boxes(figure), 2):
        assert (
            first[2] <= second[0]
            or second[2] <= first[0]
            or first[3] <= second[1]
            or second[3] <= first[1]
        )
    scores = [
        tuple(text.get_position()) for text in figure.texts if text.get_text().startswith("0.5")
    ]
    assert len(set(scores)) == len(scores) == count * (count - 1) // 2


@pytest.mark.parametrize("groups", [clusters(), clusters("a", "b")])
def test_no_group_is_a_sentence_and_no_picture(groups):
    figure = graph(similar(("a", "b", 0.5)), groups)
    assert repr(figure) == "no groups of look-alikes"
    assert figure._repr_png_() is None


def test_hostile_and_long_names_are_drawn_and_a_missing_photo_is_said():
    names = {"a": NAMES["d4"], "b": EVIL, "c": "红烧" * 20}
    figure = figures.look_alike_graph(
        similar(("a", "b", 0.5), ("b", "c", 0.4)), clusters("abc"), NO_PHOTOS, names, ""
    )
    assert NAMES["d4"] in texts_of(figure)
    assert "红烧红烧红烧红烧\n红烧红烧红烧红…" in texts_of(figure)
    assert texts_of(figure).count("no photo") == 3
    png(figure)


def test_without_a_chinese_font_the_graph_is_numbered(tmp_path, capsys, without_font):  # noqa: F811
    figure = figures.look_alike_graph(
        similar(("d1", "d2", 0.9)),
        clusters(["d1", "d2"]),
        catalog(tmp_path),
        NAMES,
        tmp_path,
        language="zh",
    )
    assert {"#1", "#2", "groups of look-alikes: 1 of 1;  2 of 2 dishes"} <= set(texts_of(figure))
    assert "#1 红烧鱼" in capsys.readouterr().out


def test_columns_are_checked():
    with pytest.raises(records.RecordError, match="mutual"):
        graph(similar().drop(columns="mutual"), clusters())
    with pytest.raises(records.RecordError, match="cluster"):
        graph(similar(), clusters().drop(columns="cluster"))
