"""The font that is cut out of another: all the characters that are asked for, always the same
bytes.
"""

from fontTools.ttLib import TTFont

from dishvl_lib import font_subset
from dishvl_lib.display.fonts import SHIPPED

SOME = "红烧鱼()12"


def test_the_shipped_font_holds_what_the_script_asks_for():
    held = {chr(code) for code in TTFont(SHIPPED).getBestCmap()}
    assert held >= set(font_subset.characters())
    hanzi = [char for char in font_subset.characters() if "\u4e00" <= char <= "\u9fff"]
    assert len(hanzi) > 6763, "the characters of GB2312, and some that dish names hold besides"


def test_the_same_source_gives_the_same_bytes(tmp_path):
    for name in ("one.otf", "two.otf"):
        font_subset.cut(TTFont(SHIPPED, recalcTimestamp=False), SOME).save(tmp_path / name)
    assert (tmp_path / "one.otf").read_bytes() == (tmp_path / "two.otf").read_bytes()
    assert {chr(code) for code in TTFont(tmp_path / "one.otf").getBestCmap()} == set(SOME)
