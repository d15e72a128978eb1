"""Fonts: the shipped one draws dish names everywhere, one of the machine helps out, what none can
draw is numbered.
"""

import io
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from fontTools.ttLib import TTFont
from PIL import Image
from test_display_figures import with_fonts, without_font  # noqa: F401

from dishvl_lib import font_subset
from dishvl_lib.demo import dishes
from dishvl_lib.display import fonts
from dishvl_lib.display.sheet import Picture

RARE = "\U00030edd"  # the noodle biang, which few fonts hold
SOME = "红烧鱼()12"


@pytest.fixture
def fresh():
    """The fonts of this machine, looked for anew afterwards."""
    yield
    fonts.chinese_fonts.cache_clear()


def pixels(text):
    """(height, width) grey values of a text that is drawn as names in figures are."""
    with matplotlib.rc_context(fonts.drawing_settings()), warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a missing character and draws a box
        figure = Picture(figsize=(4, 1))
        figure.text(0.1, 0.5, text, fontsize=20)
        return np.asarray(Image.open(io.BytesIO(figure._repr_png_())).convert("L"))


def test_the_shipped_font_draws_the_demos_dishes_without_any_other_font(monkeypatch, fresh):
    with_fonts(monkeypatch, fonts.SHIPPED)
    assert fonts.find_chinese_font() == font_subset.FAMILY
    labels = fonts.Labels()
    names = [*dishes.DISHES, "芝士焗饭", "饸饹面", "干锅土豆片、1份"]
    assert [labels(name) for name in names] == names
    assert labels.legend() == ""
    different = {pixels(name).tobytes() for name in names}
    assert len(different) == len(names), "no two names look the same, as boxes would"


def test_a_name_with_a_character_that_no_font_holds_is_numbered_and_the_others_are_drawn(
    monkeypatch, capsys, fresh
):
    with_fonts(monkeypatch, fonts.SHIPPED)
    labels = fonts.Labels()
    assert [labels(name) for name in ("红烧鱼", f"{RARE}{RARE}面", "rice", f"{RARE}{RARE}面")] == [
        "红烧鱼",
        "#1",
        "rice",
        "#1",
    ]
    labels.print_legend()
    printed = capsys.readouterr().out
    assert f"#1 {RARE}{RARE}面" in printed
    assert "apt-get install" in printed
    assert "红烧鱼" not in printed


def test_a_font_of_the_machine_helps_out_after_the_shipped_one(monkeypatch, tmp_path, fresh):
    few = font_subset.cut(TTFont(fonts.SHIPPED, recalcTimestamp=False), SOME)
    few.save(tmp_path / "few.otf")
    other = TTFont(fonts.SHIPPED)
    for record in other["name"].names:
        record.string = "Another Font" if record.nameID in (1, 4, 6) else record.toUnicode()
    other.save(tmp_path / "simhei.otf")
    with_fonts(monkeypatch, tmp_path / "few.otf", [tmp_path / "simhei.otf"])
    assert fonts.chinese_fonts() == (str(tmp_path / "few.otf"), str(tmp_path / "simhei.otf"))
    assert fonts.drawing_settings()["font.family"] == [
        font_subset.FAMILY,
        "Another Font",
        "DejaVu Sans",
    ]
    assert fonts.Labels()("麻婆豆腐") == "麻婆豆腐"
    with_fonts(monkeypatch, tmp_path / "few.otf")
    assert fonts.Labels()("麻婆豆腐") == "#1"
    assert fonts.Labels()("红烧鱼") == "红烧鱼"


def test_without_any_font_every_chinese_name_is_numbered(without_font):  # noqa: F811
    labels = fonts.Labels()
    assert labels("rice") == "rice"
    assert labels.legend() == ""
    assert labels("米饭") == "#1"
    assert labels("面") == "#2"
    assert labels("米饭") == "#1"
    assert fonts.use_chinese_font() is None


def test_a_broken_font_file_is_passed_over(monkeypatch, tmp_path, fresh):
    (tmp_path / "simhei.ttf").write_bytes(b"no font")
    with_fonts(monkeypatch, tmp_path / "simhei.ttf", [tmp_path / "simhei.ttf"])
    assert fonts.use_chinese_font() is None


def test_the_shipped_font_is_small_and_keeps_to_its_licence():
    """OFL-1.1: the copyright and the licence go with it, and a changed font has no reserved name
    ('Source').
    """
    assert fonts.SHIPPED.stat().st_size <= 5_000_000
    names = {record.nameID: record.toUnicode() for record in TTFont(fonts.SHIPPED)["name"].names}
    assert "Adobe" in names[0]
    assert "SIL Open Font License, Version 1.1" in names[13]
    for number in (1, 3, 4, 6):
        assert "source" not in names[number].lower()
        assert "noto" not in names[number].lower()
    licence = Path(fonts.SHIPPED).with_name("OFL.txt").read_text("utf-8")
    assert names[0].split("Adobe")[0].strip("© ") in licence
    assert "Reserved Font Name 'Source'" in licence
    assert "SIL OPEN FONT LICENSE Version 1.1" in licence
