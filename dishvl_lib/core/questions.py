"""What is asked about a photo and how an answer is marked, side by side.

The templates are part of the library and carry a version, because a trained model knows their
wording. Two of each kind are never trained on: they show what another wording costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dishvl_lib.core import plain_text
from dishvl_lib.core.names import MENU_SEPARATOR, normalise

VERSION = "2026-12"
SYSTEM_PROMPT = "You are a helpful assistant."
IMAGE_MARK = "<image>"
NOT_ON_MENU = "菜单上没有"
DISH_IN_PHOTO = "图中的菜"


@dataclass(frozen=True)
class Template:
    """One wording. `{menu}` stands for the entries, `{dish}` for the dish; `trained` is False for
    the wordings kept for testing.

    `field`: of a knowledge question, what of the dish card (or introduction, recipe) it asks for.
    """

    id: str
    kind: str
    text: str
    trained: bool = True
    field: str = ""


TEMPLATES = (
    Template("naming-1", "naming", "图中的菜品是什么？"),
    Template("naming-2", "naming", "请说出照片里这道菜的名称。"),
    Template("naming-3", "naming", "这是什么菜？只回答菜名。"),
    Template("naming-4", "naming", "餐盘里盛的是哪道菜？"),
    Template("naming-5", "naming", "看图识菜，请给出菜名。"),
    Template("naming-6", "naming", "请识别这张图片中的菜品，直接回答名称。"),
    Template("naming-7", "naming", "这张照片拍的是哪一道菜？"),
    Template("naming-8", "naming", "请写出图中菜肴的名字。"),
    Template("naming-unseen-1", "naming", "照片里的这份菜叫什么名字？", trained=False),
    Template("naming-unseen-2", "naming", "请告诉我图片上是什么菜品。", trained=False),
    Template(
        "menu-1", "menu", "今日菜单：（{menu}）。图中最可能是其中哪一道？只能回答菜单里的一个菜名。"
    ),
    Template(
        "menu-2", "menu", "候选菜品有（{menu}），请选出与照片最相符的一项，不要回答列表以外的内容。"
    ),
    Template("menu-3", "menu", "从（{menu}）中选择图片里的菜，只写菜名。"),
    Template("menu-4", "menu", "这张照片对应菜单（{menu}）中的哪一项？请照抄该项名称。"),
    Template("menu-5", "menu", "请在以下菜名里挑出图中的菜：（{menu}）。答案必须是其中之一。"),
    Template("menu-6", "menu", "食堂今天供应（{menu}）。照片里是哪一道菜？只回答菜名。"),
    Template(
        "menu-7", "menu", "菜单如下：（{menu}）。请判断图中菜品是哪一个，仅输出菜单上的名称。"
    ),
    Template("menu-8", "menu", "已知图中的菜在（{menu}）之中，它最可能是哪一个？"),
    Template(
        "menu-unseen-1", "menu", "结合照片，从这些选项（{menu}）里给出唯一的答案。", trained=False
    ),
    Template(
        "menu-unseen-2",
        "menu",
        "备选菜名：（{menu}）。哪一个和图片最一致？请只写这个名称。",
        trained=False,
    ),
    Template(
        "absent-1",
        "menu_absent",
        f"今日菜单：（{{menu}}）。图中是其中哪一道？都不是就回答“{NOT_ON_MENU}”。",
    ),
    Template(
        "absent-2",
        "menu_absent",
        f"候选菜品有（{{menu}}），请选出与照片相符的一项；没有相符的，就写“{NOT_ON_MENU}”。",
    ),
    Template(
        "absent-3",
        "menu_absent",
        f"从（{{menu}}）中找出图片里的菜，只写菜名，找不到写“{NOT_ON_MENU}”。",
    ),
    Template(
        "absent-4",
        "menu_absent",
        f"这张照片对应菜单（{{menu}}）中的哪一项？不在菜单里请回答“{NOT_ON_MENU}”。",
    ),
    Template(
        "absent-5",
        "menu_absent",
        f"请在以下菜名里挑出图中的菜：（{{menu}}）。若都不对，回答“{NOT_ON_MENU}”。",
    ),
    Template(
        "absent-6",
        "menu_absent",
        f"食堂今天供应（{{menu}}）。照片里的菜在其中吗？在就写菜名，不在就写“{NOT_ON_MENU}”。",
    ),
    Template(
        "absent-7",
        "menu_absent",
        f"菜单如下：（{{menu}}）。图中菜品若在菜单上，输出名称，否则输出“{NOT_ON_MENU}”。",
    ),
    Template(
        "absent-8",
        "menu_absent",
        f"图中的菜可能在（{{menu}}）之中，也可能不在；写出它的名称，或者“{NOT_ON_MENU}”。",
    ),
    Template(
        "absent-unseen-1",
        "menu_absent",
        f"对照照片和（{{menu}}），给出相符的那一项；一项都不符时答“{NOT_ON_MENU}”。",
        trained=False,
    ),
    Template(
        "absent-unseen-2",
        "menu_absent",
        f"备选菜名：（{{menu}}）。与图片一致的写出来，没有则写“{NOT_ON_MENU}”。",
        trained=False,
    ),
    Template("knowledge-1", "knowledge", "{dish}属于哪个菜系？", field="cuisine"),
    Template("knowledge-2", "knowledge", "{dish}是用什么方法做的？", field="cooking_method"),
    Template("knowledge-3", "knowledge", "{dish}主要用了哪些食材？", field="ingredients"),
    Template("knowledge-4", "knowledge", "{dish}每 100 克大约有多少千卡？", field="calories"),
    Template("knowledge-5", "knowledge", "{dish}是热食还是冷食？", field="serving_temperature"),
    Template("knowledge-6", "knowledge", "{dish}是什么口味？", field="flavor"),
    Template("knowledge-7", "knowledge", "{dish}含有哪些主要营养成分？", field="nutrients"),
    Template("knowledge-8", "knowledge", "{dish}是素菜吗？请回答是或否。", field="is_vegetarian"),
    Template("knowledge-9", "knowledge", "{dish}含有哪些常见过敏原？", field="allergens"),
    Template("knowledge-10", "knowledge", "请介绍一下{dish}。", field="introduction"),
    Template("knowledge-11", "knowledge", "{dish}怎么做？请分步说明。", field="recipe"),
    Template(
        "knowledge-unseen-1",
        "knowledge",
        "做{dish}需要准备哪些原料？",
        trained=False,
        field="ingredients",
    ),
    Template(
        "knowledge-unseen-2", "knowledge", "{dish}吃起来是什么味道？", trained=False, field="flavor"
    ),
)
KINDS = ("naming", "menu", "menu_absent", "knowledge")
_BY_ID = {template.id: template for template in TEMPLATES}


def templates(kind: str, trained: bool = True) -> list[Template]:
    """The wordings of one of KINDS, either those for training or those kept for testing."""
    return [
        template for template in TEMPLATES if template.kind == kind and template.trained == trained
    ]


def ask(template_id: str, menu: Sequence[str] = (), dish: str = "") -> str:
    """The question's text, without the image mark. Raises ValueError for a menu question without
    entries.

    `dish`: the name in a knowledge question without a photo; with one the question speaks of the
    photo.
    """
    template = _BY_ID[template_id]
    if "{menu}" in template.text and not menu:
        raise ValueError(f"template {template_id} needs a menu with at least one entry")
    text = template.text.replace("{dish}", f"“{dish}”" if dish else DISH_IN_PHOTO)
    return text.replace("{menu}", MENU_SEPARATOR.join(menu))


def human_turn(template_id: str, menu: Sequence[str] = (), dish: str = "") -> str:
    """The question as Qwen's fine-tuning files hold it: image mark, line break, text; with a `dish`
    named, text alone.
    """
    text = ask(template_id, menu, dish)
    return text if dish else f"{IMAGE_MARK}\n{text}"


def field_of(template_id: str) -> str:
    """What of the dish card a knowledge question asks for; '' for other kinds."""
    return _BY_ID[template_id].field


def fact(field: str, value: Any) -> str:
    """The answer to a knowledge question: a list joined by 、, calories with their unit, text as it
    is; '' for nothing known. What a model would read as a command is taken out.
    """
    if value is None or value == "" or value == []:
        return ""
    if field == "calories":
        return f"约 {float(value):g} 千卡"
    is_list = isinstance(value, list | tuple)
    text = MENU_SEPARATOR.join(map(str, value)) if is_list else str(value)
    return plain_text.plain(text).strip()


def question_of(human_turn_value: str) -> str:
    """The text the model reads: the file format's image mark and the line break after it are not
    part of it.
    """
    return human_turn_value.removeprefix(IMAGE_MARK).removeprefix("\n")


def mark(answer: str | None, truth: str) -> bool:
    """Strict equality: the reference's measure."""
    return answer == truth


def mark_normalised(answer: str | None, truth: str) -> bool:
    """Equality of the normalised names; reported beside the strict mark, never instead of it."""
    return answer is not None and normalise(answer) == normalise(truth)


def mark_fact(answer: str | None, truth: str) -> float:
    """F1 (0 to 1) between the entries of two lists joined by 、; for single values that is equality
    of the normalised texts.
    """
    answered = _entries(answer or "")
    right = _entries(truth)
    if not answered or not right:
        return 0.0
    shared = answered & right
    return 2 * len(shared) / (len(answered) + len(right))


def _entries(text: str) -> set[str]:
    """The normalised entries of a list joined by 、."""
    return {normalise(part) for part in text.split(MENU_SEPARATOR)} - {""}
