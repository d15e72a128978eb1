"""Makes the font that figures are drawn with: the characters of Chinese dish names, cut out of Noto
Sans CJK SC.

    pip download --no-deps manimgx-fonts-cjk && unzip manimgx_fonts_cjk-*.whl
    python -m dishvl_lib.font_subset manimgx_fonts_cjk/NotoSansCJK-VF.otf.ttc

The same source and the same fonttools give the same bytes. The licence (OFL-1.1, display/OFL.txt)
lets a part of the font be handed on under the same licence, with its copyright and under a name
that is not reserved: hence FAMILY.
"""

import argparse
import io
import unicodedata
from pathlib import Path

from fontTools.cffLib.CFF2ToCFF import convertCFF2ToCFF
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTCollection, TTFont
from fontTools.varLib import instancer

from dishvl_lib.display.fonts import SHIPPED

FAMILY = "DishVL Sans SC"
SOURCE_FAMILY = "Noto Sans CJK SC"
WEIGHT = 400  # regular
# Dish names hold these, GB2312 does not.
BEYOND_GB2312 = (
    "丼焗砵粿㸆炰煀熇煗燉粄粩粬羴蒟蒻藠蚵飥餸饦饸饹馃髈鮟鮰鱇鱻鲀鲃鲌鲙鲹鲿鳀鳚鳠鳡滷冧埗滘"
)
PUNCTUATION = "–—‘’“”…‰′″※℃℉№①②③④⑤⑥⑦⑧⑨⑩½¼¾－"
FAMILY_NAME = 1
STYLE_NAME = 2
UNIQUE_ID = 3
FULL_NAME = 4
POSTSCRIPT_NAME = 6
KEPT_NAMES = {0: "copyright", 5: "version", 7: "trademark", 13: "licence", 14: "licence URL"}


def characters() -> str:
    """Printable ASCII and Latin-1, the 7,445 characters of GB2312, and more of dish names."""
    codes = map(chr, range(0x20, 0x100))
    latin = [char for char in codes if unicodedata.category(char) != "Cc"]
    pairs = [bytes([row, cell]) for row in range(0xA1, 0xF8) for cell in range(0xA1, 0xFF)]
    chinese = [pair.decode("gb2312", "ignore") for pair in pairs]
    return "".join(sorted({*latin, *"".join(chinese), *BEYOND_GB2312, *PUNCTUATION}))


def open_source(path: Path) -> TTFont:
    """The font called SOURCE_FAMILY in a collection. Raises ValueError when it is not there."""
    fonts = TTCollection(path, lazy=True).fonts
    held = [font["name"].getDebugName(FAMILY_NAME) for font in fonts]
    if SOURCE_FAMILY not in held:
        others = ", ".join(map(str, held))
        raise ValueError(f"{path} holds no {SOURCE_FAMILY} but {others}; take the whole collection")
    # Opened by its number: fonts of a collection share outlines under the first font's glyph names.
    return TTFont(path, fontNumber=held.index(SOURCE_FAMILY), recalcTimestamp=False)


def cut(font: TTFont, text: str) -> TTFont:
    """The font with the glyphs of `text` alone, at one weight, under the name FAMILY.

    What lays out vertical or shaped text is left out. The glyphs are cut first: fixing the weight
    of all 65,535 takes minutes.
    """
    options = Options(
        layout_features=[],
        hinting=False,
        name_IDs=list(KEPT_NAMES),
        name_languages=[0x409],
        notdef_outline=True,
    )
    options.drop_tables += ["BASE", "GDEF", "GPOS", "GSUB", "VORG", "VVAR", "vhea", "vmtx"]
    subsetter = Subsetter(options)
    subsetter.populate(text=text)
    subsetter.subset(font)
    if "fvar" in font:
        font = instancer.instantiateVariableFont(reopened(font), {"wght": WEIGHT})
        convertCFF2ToCFF(font)
    rename(font)
    return font


def reopened(font: TTFont) -> TTFont:
    """The font as a file would hold it, with the glyph names that CFF outlines will have.

    Fixing the weight needs tables that were read, not cut in memory, and the outlines must be read
    before they change.
    """
    file = io.BytesIO()
    font.save(file)
    file.seek(0)
    read = TTFont(file, recalcTimestamp=False)
    numbers = range(1, read["maxp"].numGlyphs)
    read.setGlyphOrder([".notdef", *(f"cid{number:05d}" for number in numbers)])
    read["CFF2"].cff[0].CharStrings.keys()  # reads the outlines
    return read


def rename(font: TTFont) -> None:
    """Every name by which programs know the font becomes FAMILY; copyright and licence stay."""
    postscript = FAMILY.replace(" ", "") + "-Regular"
    names = {
        FAMILY_NAME: FAMILY,
        STYLE_NAME: "Regular",
        UNIQUE_ID: postscript,
        FULL_NAME: FAMILY,
        POSTSCRIPT_NAME: postscript,
    }
    for number, text in names.items():
        font["name"].setName(text, number, 3, 1, 0x409)
    outlines = font["CFF "].cff
    outlines.fontNames = [postscript]
    outlines.topDictIndex[0].rawDict.update(FullName=FAMILY, FamilyName=FAMILY)


def main() -> None:
    parser = argparse.ArgumentParser(description="Cut the figures' font out of Noto Sans CJK SC.")
    parser.add_argument("source", type=Path, help="NotoSansCJK-VF.otf.ttc of manimgx-fonts-cjk")
    parser.add_argument("--output", type=Path, default=SHIPPED)
    arguments = parser.parse_args()
    font = cut(open_source(arguments.source), characters())
    font.save(arguments.output)
    size = arguments.output.stat().st_size
    print(f"{arguments.output}: {size:,} bytes, {len(font.getBestCmap())} characters")


if __name__ == "__main__":
    main()
