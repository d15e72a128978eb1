"""A font that can draw Chinese dish names, or numbered labels with a printed legend where there is none."""

import re
from pathlib import Path

import matplotlib
from matplotlib import font_manager

HOW_TO_INSTALL = "No Chinese font was found, so names are numbered; `apt-get install fonts-wqy-microhei` (5 MB) or another CJK font draws them."
# File names, most wanted first: Noto Sans CJK SC, Source Han Sans, WenQuanYi Micro Hei and Zen Hei, SimHei, Microsoft YaHei, PingFang SC.
FILE_PATTERNS = (
    r"notosans(mono)?cjk(sc)?[-_.]?(regular|vf)?", r"notosanssc", r"sourcehansans(sc|cn)?[-_.]?(regular|vf)?",
    r"wqy[-_]?microhei", r"wqy[-_]?zenhei", r"simhei", r"msyh", r"pingfang",
)  # fmt: skip
_found: list[str] = []


def find_chinese_font() -> str | None:
    """The family name of the first Chinese font found, made known to matplotlib, or None.

    Font files are looked for anew until one is found: matplotlib's own list is a cache that misses new fonts.
    """
    if not _found:
        _found.extend(_add_first(font_manager.findSystemFonts()))
    return _found[0] if _found else None


def use_chinese_font() -> str | None:
    """Puts the Chinese font before matplotlib's default fonts, for all figures, and returns its name, or None."""
    font = find_chinese_font()
    if font:
        others = [name for name in matplotlib.rcParams["font.sans-serif"] if name != font]
        matplotlib.rcParams["font.sans-serif"] = [font, *others]
        matplotlib.rcParams["font.family"] = ["sans-serif"]
    return font


def drawing_settings() -> dict:
    """rcParams to draw names under: the Chinese font if there is one, and no formulas (a name may hold `$`)."""
    font = find_chinese_font()
    families = [font, "DejaVu Sans"] if font else ["DejaVu Sans"]
    return {"font.family": families, "text.parse_math": False, "axes.unicode_minus": False}


class Labels:
    """Turns names into text that can be drawn: the name itself, or #1, #2 ... with `legend` to say what they are."""

    def __init__(self):
        self.font = find_chinese_font()
        self.numbers: dict[str, int] = {}

    def __call__(self, name: object) -> str:
        text = " ".join(str(name).split())
        if self.font or text.isascii():
            return text
        return f"#{self.numbers.setdefault(text, len(self.numbers) + 1)}"

    def legend(self) -> str:
        """The numbers and their names, and how to do without them; '' when every name could be drawn."""
        if not self.numbers:
            return ""
        return "   ".join(f"#{number} {name}" for name, number in self.numbers.items()) + f"\n{HOW_TO_INSTALL}"

    def print_legend(self) -> None:
        if self.numbers:
            print(self.legend())


def _add_first(files: list[str]) -> list[str]:
    for pattern in FILE_PATTERNS:
        for file in sorted(files):
            if re.match(pattern, Path(file).stem.lower()):
                try:
                    font_manager.fontManager.addfont(file)
                except (OSError, RuntimeError, ValueError):
                    continue
                return [font_manager.get_font(file).family_name]
    return []
