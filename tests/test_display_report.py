"""The report is one page that asks the network for nothing and executes nothing that came from
data.
"""

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from display_toys import EVIL, NAMES, SIMILAR, catalog, predictions
from PIL import Image

from dishvl_lib.core import confused_pairs
from dishvl_lib.display import cluster_matrix, figures, pages, report_pairs
from dishvl_lib.display.report import report


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text between."""

    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.words = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def named(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]


TABLE = pd.DataFrame(
    {
        "predictor": [EVIL, "base"],
        "protocol": ["menu", "menu"],
        "n": [10, 10],
        "correct": [9, 1],
        "accuracy": [0.9, 0.1],
        "ci_low": [0.6, 0.0],
        "ci_high": [0.98, 0.4],
        "accuracy_normalised": [0.9, float("nan")],
        "chance": [0.05, 0.05],
        "majority": [0.2, 0.2],
        "menu_size": [20.0, 19.5],
        "off_menu": [0.0, 0.0],
        "no_answer": [0, 1],
        "n_dishes": [4, 4],
        "macro_accuracy": [0.9, 0.1],
        "macro_ci_low": [0.8, 0.0],
        "macro_ci_high": [1.0, 0.2],
    }
)
CLUSTERS = pd.DataFrame({"dish_id": ["d1", "d2", "d3"], "cluster": [1, 1, 2], "size": [2, 2, 1]})


def questions():
    """predictions() with the photos' sites: the first photo of each dish is from north, the others
    from south.
    """
    return predictions().assign(
        site=lambda rows: rows["image_id"].map(
            lambda image_id: "north" if image_id.endswith("0") else f"south {EVIL}"
        )
    )


@pytest.fixture
def full(tmp_path):
    raw = pd.DataFrame(
        {
            "truth": [EVIL],
            "answer": ["<script>alert(2)</script>"],
            "n": [1],
            "equal_normalised": [False],
            "image_id": ["d3-0"],
        }
    )
    compared = pd.DataFrame(
        {
            "predictor": ["base"],
            "protocol": ["menu"],
            "n": [10],
            "difference": [0.8],
            "only_reference": [8],
            "only_predictor": [0],
            "p": [0.008],
        }
    )
    path = report(
        tmp_path / "report.html",
        title=f"report {EVIL}",
        table=TABLE,
        comparison=compared,
        figures={"bars": figures.accuracy_bars(TABLE)},
        not_dishes=raw,
        predictions=questions(),
        clusters=CLUSTERS,
        similar=SIMILAR,
        photos=catalog(tmp_path),
        names=NAMES,
        image_root=tmp_path,
        notes=[f"names from folders, no annotator {EVIL}"],
        costs={"usd": 0.0},
        parameters={"run_name": EVIL, "seed": 0},
        command=f"dishvl run demo --set run_name='{EVIL}'",
    )
    return path.read_text("utf-8")


def test_nothing_from_data_becomes_markup(full):
    page = Elements(full)
    assert full.count("<script>") == 1
    assert full.split("<script>")[1].startswith(pages.static("filters.js"))
    assert all(not name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert all(attrs["src"].startswith("data:image/") for attrs in page.named("img"))
    assert EVIL in "".join(page.words)


def test_the_page_asks_for_nothing_outside(full):
    page = Elements(full)
    assert {tag for tag, _ in page.tags}.isdisjoint({"link", "iframe", "object", "base", "form"})
    assert "http:" not in full
    assert "https:" not in full
    assert "@import" not in full
    assert "url(" not in full
    digest = base64.b64encode(hashlib.sha256(pages.static("filters.js").encode()).digest()).decode()
    assert any(
        attrs.get("content", "").endswith(
            f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
        )
        for attrs in page.named("meta")
    )


def test_every_part_is_there(full):
    text = " ".join(Elements(full).words)
    for part in (
        "9 / 10",
        "90.0%",
        "[60.0%, 98.0%]",
        "5.0%",
        "+80.0%",
        "0.008",
        "names from folders",
        "not a dish",
        "dishvl run demo",
        "seed",
        "question 4",
    ):
        assert part in text, part
    assert "nan" not in text.lower().replace("naming", "")


def test_best_answers_are_right_and_worst_are_the_surest_wrong_ones(full):
    best, worst = full.split("<section id=")[-5:-3]
    assert "best answers" in best
    assert "worst answers" in worst
    assert "menu-2" in best
    assert "menu-0" not in best
    assert worst.index("menu-0") < worst.index("menu-3")
    assert "menu-4" not in worst
    assert len(Elements("<p " + worst).named("img")) == 3


def test_thumbnails_are_small_jpegs(full):
    photos = [
        attrs["src"]
        for attrs in Elements(full).named("img")
        if attrs["src"].startswith("data:image/jpeg")
    ]
    assert photos
    assert all(
        max(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).size) <= 300
        for source in photos
    )


def test_parts_without_data_are_left_out(tmp_path):
    page = report(tmp_path / "empty.html", title="空", language="zh").read_text("utf-8")
    assert 'lang="zh-CN"' in page
    assert "<h2>" not in page
    assert [path.name for path in tmp_path.iterdir()] == ["empty.html"]


def rows_of(page):
    return [attrs for attrs in Elements(page).named("tr") if "data-n" in attrs]


def test_every_predictors_pairs_are_listed_and_the_page_opens_on_its_own(full):
    rows = rows_of(full)
    assert len(rows) == 4 * len(
        confused_pairs.count(
            confused_pairs.countable(predictions(), NAMES).query(
                "predictor == 'tuned' and protocol == 'naming'"
            )
        )
    )
    shown = [row for row in rows if "hidden" not in row]
    assert {(row["data-predictor"], row["data-protocol"]) for row in shown} == {("0", "0")}
    assert [row["data-n"] for row in shown] == ["2", "1", "1", "1"]


def test_a_pair_carries_its_counts_by_site_its_clusters_and_its_rank(full):
    first = rows_of(full)[0]
    assert (first["data-of"], first["data-cluster"], first["data-answered"]) == ("3", "1", "1")
    assert json.loads(first["data-sites"]) == [[0, 1, 1], [1, 1, 2]]
    assert "<td>2 / 3</td><td>66.7%</td><td>1</td>" in full
    far = "<span lang=en>not a look-alike</span><span lang=zh-CN>不在相似菜之列</span>"
    assert f"<td>{far}</td>" in full


def test_the_matrix_counts_by_cluster_and_its_buttons_name_both(full):
    assert "confusions by cluster: 2 of 2 clusters with confusions, 5 of 5 wrong answers" in full
    counts = {
        (attrs["data-cluster"], attrs["data-answered"])
        for attrs in Elements(full).named("button")
        if "data-cluster" in attrs
    }
    assert counts == {
        ("1", "1"),
        ("1", "2"),
        ("2", str(cluster_matrix.NO_DISH)),
        ("0", str(cluster_matrix.SILENT)),
    }


def test_over_most_clusters_all_of_them_are_in_a_picture_below(tmp_path, monkeypatch):
    def pictures():
        page = report(
            tmp_path / "r.html", title="t", predictions=questions(), names=NAMES, clusters=CLUSTERS
        ).read_text("utf-8")
        return len(
            [
                attrs
                for attrs in Elements(page).named("img")
                if attrs["src"].startswith("data:image/png")
            ]
        ), "1 of 2 clusters" in page

    assert pictures() == (0, False)
    monkeypatch.setattr(cluster_matrix, "MOST_CLUSTERS", 1)
    assert pictures() == (1, True)


def test_the_page_stays_small_however_many_pairs_there_are(tmp_path, monkeypatch):
    photos = catalog(tmp_path)
    names = NAMES | {f"x{number}": f"菜{number}" for number in range(60)}
    many = pd.concat(
        [
            predictions().iloc[:1].assign(id=f"q{number}", answer=f"菜{number}")
            for number in range(60)
        ]
    )
    monkeypatch.setattr(report_pairs, "MOST_MAIN", 50)
    monkeypatch.setattr(report_pairs, "MOST_PHOTOS", 6)
    page = report(
        tmp_path / "r.html",
        title="t",
        predictions=many,
        photos=photos,
        names=names,
        image_root=tmp_path,
        top=2,
    ).read_text("utf-8")
    assert len(rows_of(page)) == 50
    assert "50 of 60 listed" in page
    body = page.split("<tbody>")[1].split("</tbody>")[0]
    assert body.count("data:image/jpeg") == 2 * 3 + 3


def test_when_there_is_no_room_every_other_group_keeps_its_most_frequent_pairs(monkeypatch):
    monkeypatch.setattr(report_pairs, "MOST_ROWS", 4 + 3)
    table, n_pairs = report_pairs.listed(
        confused_pairs.countable(predictions(), NAMES), ("tuned", "naming")
    )
    others = table[~table["main"]]
    assert (len(table), n_pairs, table["main"].sum()) == (7, 16, 4)
    assert others[["predictor", "protocol"]].drop_duplicates().shape[0] == 3
    assert others["n"].tolist() == [2, 2, 2]


def test_no_confusion_is_said_with_its_n(tmp_path):
    right = predictions().query("correct and predictor == 'tuned' and protocol == 'naming'")
    assert f"没有混淆，共 {len(right)} 题" in report(
        tmp_path / "r.html", title="t", predictions=right, names=NAMES, language="zh"
    ).read_text("utf-8")


def test_a_picture_file_is_put_inside(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "curve.png")
    page = report(
        tmp_path / "r.html", title="t", figures={"curve": tmp_path / "curve.png"}
    ).read_text("utf-8")
    assert "data:image/png;base64," in page


def test_a_photo_that_is_gone_is_a_box_with_the_reason(tmp_path):
    photos = catalog(tmp_path)
    (tmp_path / "d1/0.png").unlink()
    page = report(
        tmp_path / "r.html",
        title="t",
        predictions=predictions(),
        photos=photos,
        names=NAMES,
        image_root=tmp_path,
    ).read_text("utf-8")
    assert "nophoto>missing" in page.replace('"', "")


def test_photos_need_their_root_and_the_language_is_known(tmp_path):
    with pytest.raises(ValueError, match="image_root"):
        report(tmp_path / "r.html", title="t", photos=catalog(tmp_path))
    with pytest.raises(ValueError, match="'zh' or 'en'"):
        report(tmp_path / "r.html", title="t", language="de")


def test_facts_and_tables_are_shown_escaped_with_shares_as_percentages(tmp_path):
    rows = pd.DataFrame(
        {
            "group": [EVIL] * 31,
            "n": 7,
            "accuracy": 0.25,
            "seconds": 0.123456,
            "shared": True,
            "cost": None,
            "refused_ci95": [[0.1, 0.2]] * 31,
        }
    )
    page = report(
        tmp_path / "r.html",
        title="t",
        facts={"trained": f"merger {EVIL}"},
        tables={"accuracy by group": rows, "costs": rows.head(0)},
    ).read_text("utf-8")
    text = " ".join(Elements(page).words)
    assert not Elements(page).named("img")
    assert all(
        part in text
        for part in (
            f"merger {EVIL}",
            "accuracy by group: 30 of 31",
            "25.0%",
            "0.1235",
            "True",
            "[10.0%, 20.0%]",
        )
    )
    assert "costs" not in text
    assert "nan" not in text.lower()


def test_what_could_not_be_answered_is_in_the_table(tmp_path):
    table = TABLE.assign(failed=[3, 0], lost=[12, 0], near_training=[5, 0])
    page = report(tmp_path / "r.html", title="t", table=table).read_text("utf-8")
    assert all(f"<td>{count}</td>" in page for count in (3, 12, 5))
    heads = ("failed", "lost", "near training")
    assert all(f"<th><span lang=en>{head}</span>" in page for head in heads)


class Texts(HTMLParser):
    """The visible texts of a page in one language: those of the other are left out, and those of
    options, which hold one text that the page's script changes.
    """

    HIDDEN = ("style", "script", "option")

    def __init__(self, page, language):
        super().__init__()
        self.language = language
        self.open = []
        self.seen = []
        self.attributes = []
        self.feed(page.split("<body")[1])

    def handle_starttag(self, tag, attrs):
        self.attributes += [value for name, value in attrs if name in ("title", "placeholder")]
        if tag in ("img", "input", "br", "meta"):
            return
        lang = dict(attrs).get("lang", self.language)
        self.open.append((tag, tag in self.HIDDEN or lang != self.language))

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if data.strip() and not any(hides for _, hides in self.open):
            self.seen.append(data.strip())


def both_pages(tmp_path, **values):
    """The report that shows English first, and the one that shows Chinese first."""
    files = [tmp_path / f"{language}.html" for language in ("en", "zh")]
    for file, language in zip(files, ("en", "zh"), strict=True):
        report(file, title="t", language=language, **values)
    return [file.read_text("utf-8") for file in files]


@pytest.fixture
def pages_of_both(tmp_path):
    compared = pd.DataFrame({"predictor": ["base"], "protocol": ["naming"], "n": 10, "p": 0.008})
    compared = compared.assign(difference=0.8, only_reference=8, only_predictor=0)
    return both_pages(
        tmp_path,
        table=TABLE.assign(predictor=["tuned", "base"], protocol="naming"),
        comparison=compared,
        tables={"accuracy by group": pd.DataFrame({"group": range(31), "accuracy": 0.5})},
        not_dishes=pd.DataFrame(columns=["truth", "answer", "n", "equal_normalised"]),
        predictions=questions(),
        clusters=CLUSTERS,
        similar=SIMILAR,
        photos=catalog(tmp_path),
        names=NAMES,
        image_root=tmp_path,
        notes={"en": ["names from folders"], "zh": ["菜名来自文件夹"]},
        facts={"en": {"best": "the lowest"}, "zh": {"best": "最低"}},
        parameters={"seed": 0},
        command="dishvl run './profile'",
    )


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_both_pages_hold_the_same_texts_in_either_language(pages_of_both, language):
    """A text that was put together in one language only would differ."""
    english_first, chinese_first = (Texts(page, language).seen for page in pages_of_both)
    assert english_first == chinese_first


def test_a_page_in_one_language_shows_nothing_of_the_other(pages_of_both):
    english = set(Texts(pages_of_both[0], "en").seen)
    chinese = set(Texts(pages_of_both[0], "zh-CN").seen)
    assert not {text for text in english if "准确率" in text or "预测" in text}
    assert not {text for text in chinese if "accuracy" in text or "questions of" in text}


def test_options_say_both_languages(pages_of_both):
    english_first, chinese_first = pages_of_both
    both = 'data-says="text" data-en="all" data-zh="全部"'
    assert f'<option value="" {both}>all</option>' in english_first
    assert f'<option value="" {both}>全部</option>' in chinese_first


def test_attributes_say_both_languages(pages_of_both):
    english_first, chinese_first = (Texts(page, "en").attributes for page in pages_of_both)
    assert "part of a name" in english_first
    assert "菜名的一部分" in chinese_first
    assert 'data-en="part of a name" data-zh="菜名的一部分"' in pages_of_both[0]


def test_the_headline_is_the_first_paragraph(pages_of_both):
    sentence = (
        "tuned is right on 9 of 10 questions of naming: 90.0% (95% interval 60.0% - 98.0%), "
        "against 10.0% (0.0% - 40.0%) of base, the best baseline, McNemar p 0.008."
    )
    body = pages_of_both[0].split("<body")[1]
    assert body.split("<p ")[1].startswith(f"class=headline><span lang=en>{sentence}</span>")


def test_table_then_confusions_come_before_everything_else(pages_of_both):
    sections = re.findall("<section id=([^>]+)>", pages_of_both[0])
    assert [name.strip('"') for name in sections[:4]] == [
        "accuracy",
        "confusions",
        "clusters",
        "compared",
    ]


def test_every_link_of_the_contents_leads_to_a_section(pages_of_both):
    links = re.findall('<a href="#([^"]+)">', pages_of_both[0])
    sections = re.findall('<section id="?([^">]+)"?>', pages_of_both[0])
    assert len(links) > 5
    assert set(links) <= set(sections)


def test_protocols_after_the_second_are_folded(tmp_path):
    rows = [TABLE.assign(protocol=name) for name in ("naming", "menu", "new_dishes", "site:b")]
    page = report(tmp_path / "r.html", title="t", table=pd.concat(rows)).read_text("utf-8")
    in_sight, folded = page.split("<details><summary>new_dishes, site:b</summary>")
    assert in_sight.count("<td>naming</td>") == in_sight.count("<td>menu</td>") == 2
    assert "<td>new_dishes</td>" not in in_sight
    assert folded.count("<td>site:b</td>") == 2


def test_columns_without_news_are_left_out(tmp_path):
    table = TABLE.assign(no_answer=0, accuracy_normalised=TABLE["accuracy"], failed=[0, 0])
    page = report(tmp_path / "r.html", title="t", table=table).read_text("utf-8")
    heads = re.findall("<th><span lang=en>([^<]+)", page)
    assert heads == [
        "protocol",
        "predictor",
        "correct",
        "accuracy",
        "interval",
        "chance",
        "majority",
        "menu size",
        "per dish",
    ]


def test_no_absolute_path_is_in_the_page(tmp_path):
    page = report(
        tmp_path / "r.html",
        title="t",
        facts={"base model": "/data/models/qwen"},
        notes=["gpt: 1 of 2 questions failed, the first: no file '/data/photos/a.jpg'"],
        parameters={"image_root": "/data/photos", "weights": "C:\\nets\\net.pdparams"},
    ).read_text("utf-8")
    assert "…/qwen" in page
    assert "…/a.jpg" in page
    assert "/data" not in page
    assert "nets" not in page


def test_a_figure_in_both_languages_is_there_twice(tmp_path):
    drawn = {language: figures.accuracy_bars(TABLE, language=language) for language in ("en", "zh")}
    nothing = {language: figures.message(text) for language, text in (("en", "none"), ("zh", "无"))}
    page = report(
        tmp_path / "r.html", title="t", figures={"accuracy": drawn, "calibration": nothing}
    ).read_text("utf-8")
    assert re.findall('<div class=scroll lang="([^"]+)">', page) == ["en", "zh-CN"]
    assert "<p><span lang=en>none</span><span lang=zh-CN>无</span></p>" in page
