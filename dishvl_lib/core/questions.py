"""What is asked about a photo and how an answer is marked, side by side.

The templates are part of the library and carry a version, because a trained model knows their wording. Two of each
kind are never trained on: they show what another wording costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dishvl_lib.core.names import MENU_SEPARATOR, normalise

VERSION = "2026-11"
SYSTEM_PROMPT = "You are a helpful assistant."
IMAGE_MARK = "<image>"


@dataclass(frozen=True)
class Template:
    """One wording. `{menu}` stands for the entries; `trained` is False for the wordings kept for testing."""

    id: str
    kind: str
    text: str
    trained: bool = True


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
    Template("menu-1", "menu", "今日菜单：（{menu}）。图中最可能是其中哪一道？只能回答菜单里的一个菜名。"),
    Template("menu-2", "menu", "候选菜品有（{menu}），请选出与照片最相符的一项，不要回答列表以外的内容。"),
    Template("menu-3", "menu", "从（{menu}）中选择图片里的菜，只写菜名。"),
    Template("menu-4", "menu", "这张照片对应菜单（{menu}）中的哪一项？请照抄该项名称。"),
    Template("menu-5", "menu", "请在以下菜名里挑出图中的菜：（{menu}）。答案必须是其中之一。"),
    Template("menu-6", "menu", "食堂今天供应（{menu}）。照片里是哪一道菜？只回答菜名。"),
    Template("menu-7", "menu", "菜单如下：（{menu}）。请判断图中菜品是哪一个，仅输出菜单上的名称。"),
    Template("menu-8", "menu", "已知图中的菜在（{menu}）之中，它最可能是哪一个？"),
    Template("menu-unseen-1", "menu", "结合照片，从这些选项（{menu}）里给出唯一的答案。", trained=False),
    Template("menu-unseen-2", "menu", "备选菜名：（{menu}）。哪一个和图片最一致？请只写这个名称。", trained=False),
)
_BY_ID = {template.id: template for template in TEMPLATES}


def templates(kind: str, trained: bool = True) -> list[Template]:
    """The wordings of a kind (`naming`, `menu`), either those for training or those kept for testing."""
    return [template for template in TEMPLATES if template.kind == kind and template.trained == trained]


def ask(template_id: str, menu: Sequence[str] = ()) -> str:
    """The question's text, without the image mark. Raises ValueError for a menu question without entries."""
    template = _BY_ID[template_id]
    if template.kind == "menu" and not menu:
        raise ValueError(f"template {template_id} needs a menu with at least one entry")
    return template.text.format(menu=MENU_SEPARATOR.join(menu))


def human_turn(template_id: str, menu: Sequence[str] = ()) -> str:
    """The question as Qwen's fine-tuning files hold it: image mark, line break, text."""
    return f"{IMAGE_MARK}\n{ask(template_id, menu)}"


def question_of(human_turn_value: str) -> str:
    """The text the model reads: the file format's image mark and the line break after it are not part of it."""
    return human_turn_value.removeprefix(IMAGE_MARK).removeprefix("\n")


def mark(answer: str | None, truth: str) -> bool:
    """Strict equality: the reference's measure."""
    return answer == truth


def mark_normalised(answer: str | None, truth: str) -> bool:
    """Equality of the normalised names; reported beside the strict mark, never instead of it."""
    return answer is not None and normalise(answer) == normalise(truth)
