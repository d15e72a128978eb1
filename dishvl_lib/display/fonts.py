"""Fonts that draw Chinese dish names; numbers with a printed legend for names that none can
draw.
"""

import functools
import re
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.typing import RcKeyType

# GB2312 and more out of Noto Sans CJK SC, cut by `dishvl_lib.font_subset`: figures look the same
# everywhere.
SHIPPED = Path(__file__).with_name("DishVLSansSC-Regular.otf")
LATIN = "DejaVu Sans"  # comes with matplotlib
HOW_TO_INSTALL = (
    "Names with characters that no font here holds are numbered; `apt-get install "
    "fonts-wqy-microhei` (5 MB) or another CJK font draws more of them."
)
# A font of the machine helps out with rare characters. File names, most wanted first: Noto Sans
# CJK SC, Source Han Sans, WenQuanYi Micro Hei and Zen Hei, SimHei, Microsoft YaHei, PingFang SC.
FILE_PATTERNS = (
    r"notosans(mono)?cjk(sc)?[-_.]?(regular|vf)?",
    r"notosanssc",
    r"sourcehansans(sc|cn)?[-_.]?(regular|vf)?",
    r"wqy[-_]?microhei",
    r"wqy[-_]?zenhei",
    r"simhei",
    r"msyh",
    r"pingfang",
)


@functools.cache
def chinese_fonts() -> tuple[str, ...]:
    """Files of the fonts that draw Chinese, made known to matplotlib: ours, then the machine's
    best.

    The machine's files are looked for: matplotlib's own list is a cache that misses new fonts.
    """
    shipped = [str(SHIPPED)] if _add(str(SHIPPED)) else []
    return (*shipped, *_first_of(font_manager.findSystemFonts()))


def find_chinese_font() -> str | None:
    """The family name of the font that draws Chinese, or None."""
    files = chinese_fonts()
    return font_manager.get_font(files[0]).family_name if files else None


def use_chinese_font() -> str | None:
    """Puts the Chinese fonts before matplotlib's own, for all figures; the first's name or None."""
    families = _families()
    if not families:
        return None
    others = [name for name in matplotlib.rcParams["font.sans-serif"] if name not in families]
    matplotlib.rcParams["font.sans-serif"] = [*families, *others]
    matplotlib.rcParams["font.family"] = ["sans-serif"]
    return families[0]


def drawing_settings() -> dict[RcKeyType, Any]:
    """rcParams to draw names under: the Chinese fonts, and no formulas (a name may hold `$`)."""
    families = [*_families(), LATIN]
    return {"font.family": families, "text.parse_math": False, "axes.unicode_minus": False}


class Labels:
    """Turns names into text that can be drawn: the name itself, or #1, #2 ... with `legend` to say
    what they are.
    """

    def __init__(self) -> None:
        self.font = find_chinese_font()
        self.numbers: dict[str, int] = {}
        files = [*chinese_fonts(), font_manager.findfont(LATIN)]
        self._drawable = frozenset().union(*map(_characters, files))

    def __call__(self, name: object) -> str:
        text = " ".join(str(name).split())
        if text.isascii() or self._drawable.issuperset(text):
            return text
        return f"#{self.numbers.setdefault(text, len(self.numbers) + 1)}"

    def legend(self) -> str:
        """The numbers and their names, and how to do without them; '' when every name could be
        drawn.
        """
        if not self.numbers:
            return ""
        return (
            "   ".join(f"#{number} {name}" for name, number in self.numbers.items())
            + f"\n{HOW_TO_INSTALL}"
        )

    def print_legend(self) -> None:
        """Prints the legend, if there is anything to explain."""
        if self.numbers:
            print(self.legend())


def _families() -> list[str]:
    return [font_manager.get_font(file).family_name for file in chinese_fonts()]


@functools.cache
def _characters(file: str) -> frozenset[str]:
    """The characters that a font file holds."""
    return frozenset(map(chr, font_manager.get_font(file).get_charmap()))


def _first_of(files: list[str]) -> list[str]:
    """The most wanted of the machine's font files that can be read, alone, or []."""
    for pattern in FILE_PATTERNS:
        for file in sorted(files):
            if re.match(pattern, Path(file).stem.lower()) and _add(file):
                return [file]
    return []


def _add(file: str) -> bool:
    """Whether matplotlib can read the font file; then it knows it from now on."""
    try:
        font_manager.fontManager.addfont(file)
    except (OSError, RuntimeError, ValueError):
        return False
    return True
