"""The preview shows what is read and what is learned, executes nothing and needs no network."""

import base64
import io
import re

import pytest
from display_toys import EVIL, catalog
from PIL import Image
from test_display_report import Elements

from dishvl_lib.core import questions
from dishvl_lib.display import preview
from dishvl_lib.steps import dataset


def row(image_id, answer, template="naming-1", menu=(), dish=""):
    turns = [
        {"from": "human", "value": questions.human_turn(template, menu, dish)},
        {"from": "gpt", "value": answer},
    ]
    question = {
        "id": f"train-{image_id or 'text'}",
        "conversations": turns,
        "image_id": image_id,
        "kind": template.split("-")[0],
    }
    return {**question, "image": image_id.replace("-", "/") + ".png"} if image_id else question


ROWS = [
    row("d1-1", "红烧鱼"),
    row("d3-0", EVIL, "menu-1", [EVIL, "红烧鱼"]),
    row("", "川菜", "knowledge-1", dish="红烧鱼"),
]
PIECES = [
    [
        ("<|im_start|>", False),
        ("user", False),
        ("\n", False),
        ("<|image_pad|> x 4", False),
        ("<|im_end|>", False),
        ("红烧", True),
        ("鱼", True),
        ("<|im_end|>", True),
    ],
    [("<|vision_end|>", False), (EVIL, False), ("<", True), (EVIL, True), ("<|im_end|>", True)],
    [("哪个菜系？", False), ("川菜", True), ("<|im_end|>", True)],
]


@pytest.fixture
def written_page(tmp_path):
    return preview.preview_html(ROWS, PIECES, catalog(tmp_path), tmp_path)


def spans(page, style):
    """The texts in spans whose style holds `style`."""
    pieces = []
    inside = False

    class Reader(Elements):
        def handle_starttag(self, tag, attrs):
            nonlocal inside
            super().handle_starttag(tag, attrs)
            inside = tag == "span" and style in dict(attrs).get("style", "")

        def handle_endtag(self, tag):
            nonlocal inside
            inside = False

        def handle_data(self, data):
            if inside:
                pieces.append(data)

    Reader(page)
    return pieces


@pytest.mark.parametrize("how", ["page", "notebook"])
def test_nothing_from_data_becomes_markup_or_leaves_the_page(written_page, how):
    text = written_page.html if how == "page" else written_page._repr_html_()
    page = Elements(text)
    assert {tag for tag, _ in page.tags}.isdisjoint(
        {"script", "link", "iframe", "object", "base", "form"}
    )
    assert all(not name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert all(attrs["src"].startswith("data:image/jpeg;base64,") for attrs in page.named("img"))
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text
    assert "@import" not in text
    assert "".join(page.words).count(EVIL) == 3


def test_the_page_forbids_scripts_and_the_notebook_gets_only_the_cards(written_page):
    assert any(
        "default-src 'none'" in attrs.get("content", "")
        for attrs in Elements(written_page.html).named("meta")
    )
    assert "<body" not in written_page._repr_html_()
    assert "body {" not in written_page._repr_html_()
    assert "body {" in written_page.html


def test_supervised_pieces_are_coloured_and_special_ones_grey(written_page):
    green = [
        piece for style in preview.SUPERVISED_STYLES for piece in spans(written_page.html, style)
    ]
    assert sorted(green) == sorted(
        ["supervised tokens", *(text for part in PIECES for text, supervised in part if supervised)]
    )
    grey = spans(written_page.html, preview.SPECIAL_STYLE)
    assert grey == [
        "<|…|>",
        *(text for part in PIECES for text, _ in part if text.startswith("<|")),
    ]


def test_neighbouring_tokens_have_different_greens(written_page):
    first, second = (
        spans(preview.tokens_html(PIECES[0]), style) for style in preview.SUPERVISED_STYLES
    )
    assert first == ["红烧", "<|im_end|>"]
    assert second == ["鱼"]


def test_a_token_is_special_only_as_a_piece_of_its_own():
    assert spans(
        preview.tokens_html([("a <|im_end|>", False), ("<|im_end|>", False)]), preview.SPECIAL_STYLE
    ) == ["<|im_end|>"]


def test_each_card_says_photo_id_kind_split_and_answer(written_page):
    parts = written_page.html.split("<div class=card>")[1:]
    assert [part.count("<img") for part in parts] == [1, 1, 0]
    assert "nophoto" not in parts[2]
    assert "train-d1-1 · naming · train" in parts[0]
    assert "train-d3-0 · menu · test" in parts[1]
    assert "train-text · knowledge</p>" in parts[2]
    assert "<b>川菜</b>" in parts[2]
    assert "user↵\n" in parts[0]


def test_the_photos_are_small_copies(written_page):
    for attrs in Elements(written_page.html).named("img"):
        assert max(Image.open(io.BytesIO(base64.b64decode(attrs["src"].split(",")[1]))).size) <= 300


def test_a_photo_that_is_gone_is_a_box_with_the_reason(tmp_path):
    photos = catalog(tmp_path)
    (tmp_path / "d1/1.png").unlink()
    assert "nophoto>missing" in preview.preview_html(
        ROWS[:1], PIECES[:1], photos, tmp_path
    ).html.replace('"', "")


def test_languages_and_lengths_are_checked(tmp_path):
    photos = catalog(tmp_path)
    assert (
        "参与训练的 token"
        in preview.preview_html(ROWS, PIECES, photos, tmp_path, language="zh").html
    )
    with pytest.raises(ValueError, match="3 rows need as many lists of pieces, got 2"):
        preview.preview_html(ROWS, PIECES[:2], photos, tmp_path)


def test_each_kind_gets_a_heading_where_it_is_asked_for(tmp_path):
    page = preview.preview_html(ROWS, PIECES, catalog(tmp_path), tmp_path, by_kind=True)
    assert re.findall("<h2>([^<]+)</h2>", page.html) == ["naming", "menu", "knowledge"]


def test_in_a_notebook_no_kind_gets_a_heading(written_page):
    assert "<h2>" not in written_page._repr_html_()


def test_examples_are_twenty_of_every_kind_spread_over_the_questions():
    rows = [{"kind": "menu", "id": number} for number in range(41)]
    rows += [{"kind": "naming", "id": number} for number in range(3)]
    chosen = dataset.examples_of_kinds(rows)
    assert [row["id"] for row in chosen if row["kind"] == "naming"] == [0, 1, 2]
    menus = [row["id"] for row in chosen if row["kind"] == "menu"]
    assert len(menus) == len(set(menus)) == 20
    assert (menus[0], menus[-1]) == (0, 40)
