"""The words of figures, reports and widgets in both languages, and the short forms of numbers."""

import re
import unicodedata
from collections.abc import Callable
from typing import Any, Self

import pandas as pd
from markupsafe import Markup, escape

from dishvl_lib.core.confused_pairs import NO_ANSWER, NOT_A_DISH

NOT_ANSWERS = {NOT_A_DISH: "不是菜名", NO_ANSWER: "没有回答"}
_ENGLISH_CHINESE = {
    "accuracy": "准确率",
    "chance": "随机水平",
    "majority": "多数类水平",
    "interval": "95% 区间",
    "predictor": "预测器",
    "protocol": "任务",
    "questions": "题",
    "correct": "答对",
    "normalised": "归一化后相等",
    "menu size": "菜单长度",
    "off menu": "菜单外回答",
    "per dish": "按菜平均",
    "truth": "真实菜名",
    "answer": "回答",
    "removed": "评分前去掉",
    "cleaned": "评分前清理",
    "answered": "被答成",
    "look-alike rank": "相似菜名次",
    "not a look-alike": "不在相似菜之列",
    "no confusions among": "没有混淆，共",
    "confused pairs": "最常混淆的菜",
    "wrong": "答错",
    "of": "/",
    "step": "步数",
    "loss": "损失",
    "validation loss": "验证损失",
    "learning rate": "学习率",
    "look-alikes": "相似的菜",
    "closest": "最相似",
    "rank": "名次",
    "score": "得分",
    "dish": "菜品",
    "dishes": "道菜",
    "best answers": "最好的三个回答",
    "worst answers": "最差的三个回答",
    "notes": "说明",
    "parameters": "参数",
    "reproduce": "复现命令",
    "confusions": "混淆",
    "photo": "照片",
    "count": "次数",
    "share": "比例",
    "label wrong": "标注错误",
    "photo bad": "照片不可用",
    "real confusion": "确属混淆",
    "other dish": "应为另一道菜",
    "right dish": "正确的菜",
    "take back": "撤销",
    "taken back": "已撤销",
    "search": "查找",
    "no such dish": "没有这道菜",
    "and its near-duplicates": "连同近似重复的照片",
    "label": "标签",
    "looks like": "看起来像",
    "photos that lie among another dish": "混在别的菜里的照片",
    "it counts when stage 01 is run again": "重新运行第 01 步后生效",
    "test photos that people decided about": "人工处理过的测试照片",
    "left out": "剔除",
    "moved": "改为他菜",
    "n without": "不计改动的题数",
    "accuracy without": "不计改动的准确率",
    "without ci95": "其 95% 区间",
    "n at worst": "全算答错的题数",
    "accuracy at worst": "全算答错的准确率",
    "note": "备注",
    "marked": "已标记",
    "pairs": "混淆对",
    "choose a pair": "请点选一对菜品",
    "more photos": "更多照片",
    "compared with": "成对比较",
    "difference": "差值",
    "answers that are no dish's name": "不是菜名的回答",
    "the truth but for punctuation": "仅标点或空白不同",
    "nothing to show": "没有可显示的内容",
    "contents": "目录",
    "what was trained": "训练概况",
    "in this page's folder": "在本页所在的文件夹中运行",
    "none": "无",
    "site of the photo": "照片的拍摄地点",
    "training photos of the dish": "该菜的训练照片数",
    "temperature": "温度",
    "threshold": "阈值",
    "ece before": "校准前 ECE",
    "ece after": "校准后 ECE",
    "accuracy answered": "作答部分的准确率",
    "refused": "拒答",
    "on_menu": "是否在菜单上",
    "best entry": "首选项",
    "signal": "依据",
    "dish id": "菜品编号",
    "similar id": "相似菜编号",
    "ci low": "区间下限",
    "ci high": "区间上限",
    "accuracy reference": "基准的准确率",
    "only reference": "仅基准答对",
    "only predictor": "仅对方答对",
    "split": "划分",
    "reason": "原因",
    "files": "文件数",
    "first": "第一个",
    "detail": "详情",
    "distance": "距离",
    "groups": "组数",
    "largest": "最大组",
    "largest share": "最大组占比",
    "name source": "名称来源",
    "n images": "照片数",
    "other dish id": "另一道菜的编号",
    "model": "模型",
    "requests": "请求数",
    "tokens": "token 数",
    "low": "低",
    "likely": "可能",
    "high": "高",
    "currency": "货币",
    "minutes": "分钟",
    "paid": "实付",
    "cards": "卡片",
    "status": "状态",
    "mutual": "互为相似",
    "card score": "卡片得分",
    "n votes": "票数",
    "list": "名单",
    "hits": "命中",
    "overlap": "重合度",
    "seeds": "种子数",
    "rule": "规则",
    "votes": "票数",
    "menu chance": "菜单随机水平",
    "place": "位置",
    "part": "部分",
    "gb": "GB",
    "accuracy by predictor": "各预测器的准确率",
    "calibration curves": "校准曲线",
    "naming": "命名",
    "menu": "菜单选择",
    "menu_absent": "菜不在菜单上",
    "knowledge": "知识",
    "photos by split": "各划分的照片",
    "files left out": "剔除的文件",
    "near-duplicates across dishes": "不同菜之间的近似重复",
    "near-duplicates at the limit": "界限附近的近似重复",
    "largest groups": "最大的组",
    "dishes that lack photos in a split": "某个划分里没有照片的菜",
    "estimated cost": "预计费用",
    "cards that could be read": "能读出的卡片",
    "estimated and paid": "预计与实付",
    "requests put aside": "搁置的请求",
    "names": "菜名",
    "photos that annotators name differently": "标注模型命名不同的照片",
    "dish cards": "菜品卡片",
    "dishes that annotators name differently": "标注模型命名不同的菜",
    "to review": "待核对",
    "photos without a vector": "没有向量的照片",
    "photos and labels left out": "未采用的照片和标注",
    "boxes on frames that trained nothing": "未用于训练的整盘照片上的框",
    "boxes left out": "未采用的框",
    "crops without a name": "没有菜名的裁剪图",
    "no tray was looked at": "没有查看任何餐盘",
    "found": "找到",
    "labelled": "标注",
    "whole trays": "整盘",
    "frame_id": "整盘照片编号",
    "n_frames": "整盘照片数",
    "n_boxes": "框数",
    "ap50": "AP50",
    "ap75": "AP75",
    "map": "mAP",
    "precision": "精确率",
    "recall": "召回率",
    "all_right": "框全对",
    "count_exact": "数目正确",
    "dishes_found": "找到的菜",
    "dishes_right": "认对的菜",
    "silent_errors": "未提示的错误",
    "menu_size": "菜单长度",
    "priced": "有价格的餐盘",
    "overcharged": "多收的餐盘",
    "undercharged": "少收的餐盘",
    "mean_price_error": "平均差价",
    "stability": "稳定性",
    "dishes that look like one": "看起来是同一道的菜",
    "dishes left out": "不出题的菜",
    "photos left out as near-duplicates": "因近似重复而剔除的照片",
    "dishes that lost a split": "失去某个划分的菜",
    "exports": "导出",
    "example photos": "照片示例",
    "memory and disk": "内存与磁盘",
    "validations": "各次验证",
    "compared with: tuned": "与调优模型比较",
    "no such answers": "没有这样的回答",
    "same questions": "共同题数",
    "costs": "费用",
    "seconds": "秒",
    "registered photos of": "训练照片：",
    "photos of this pair": "这一对的题目照片",
    "others": "其他",
    "same_name": "多道菜同名",
    "two_names": "一道菜两个名字",
    "look_the_same": "看起来是同一道",
    "not_a_name": "不是菜名",
    "misread_folder": "文件夹名乱码",
    "untidy_name": "菜名里有多余的字",
    "hint_disagrees": "与文件夹名不符",
    "annotators_disagree": "标注模型意见不一",
    "votes_split": "各照片答案不一",
    "problem": "请求有问题",
    "same_photo": "两道菜有相同照片",
    "suspicion": "疑点",
    "evidence": "依据",
    "decided": "已决定",
    "this name": "就用这个名字",
    "rename": "改名",
    "rename any dish": "给任意一道菜改名",
    "the same dish": "是同一道菜",
    "keep apart": "是两道菜",
    "leave out": "不是菜，剔除",
    "skip": "跳过",
    "name": "菜名",
    "folders": "文件夹",
    "called by": "名称来源",
    "also called": "别名",
    "no card": "没有卡片",
    "photos": "张照片",
    "nothing to review": "没有需要核对的菜名",
    "written to": "已写入",
    "decision": "人工决定",
    "names_csv": "名称表",
    "annotators": "标注模型（一致）",
    "annotator": "标注模型",
    "folder": "文件夹名",
    "cuisine": "菜系",
    "cooking_method": "烹饪方法",
    "ingredients": "食材",
    "calories": "热量（千卡/100克）",
    "serving_temperature": "食用温度",
    "flavor": "口味",
    "nutrients": "营养",
    "is_vegetarian": "素食",
    "allergens": "过敏原",
    "color": "颜色",
    "shape": "形状",
    "associated_festival": "节日",
    "difficulty": "难度",
    "macro": "各菜品准确率的平均",
    "only reference right": "仅基准答对",
    "only predictor right": "仅对方答对",
    "not trained": "未训练",
    "groups of look-alikes": "相似菜组",
    "no groups of look-alikes": "没有相似菜组",
    "group": "组",
    "cosine": "余弦相似度",
    "density": "密度",
    "same dish, other group": "同一道菜，不同组的照片",
    "other dishes": "不同的菜",
    "median": "中位数",
    "failed": "失败",
    "lost": "无独立名称",
    "near training": "与训练照片相近",
    "before the temperature": "温度校准前",
    "after the temperature": "温度校准后",
    "probability of the best entry": "首选项的概率",
    "reliability": "可靠性",
    "coverage": "覆盖率",
    "share of the menus answered": "作答的菜单比例",
    "the surest answers, 95% interval": "最有把握的回答，95% 区间",
    "all answers": "全部回答",
    "training": "训练",
    "calibration": "校准",
    "not on the menu, by menu size": "不在菜单上（按菜单大小）",
    "best small net against the tuned model": "最好的小网络与调优模型",
    "accuracy by group": "分组准确率",
    "names that sites were given": "外部站点的命名",
    "base model": "基座模型",
    "trained": "训练的部分",
    "on": "训练数据",
    "how": "训练方式",
    "small net": "小网络",
    "best": "所选检查点",
    "photo size": "照片大小",
    "true name": "真实名称",
    "measure": "指标",
    "value": "数值",
    "rival": "对手",
    "kind": "分组方式",
    "endpoint": "在线模型",
    "online models": "在线模型",
    "shared": "重名",
    "menu choice": "菜单选择",
    "site": "拍摄地点",
    "all clusters": "全部组",
    "of the wrong answers": "（占错误回答）",
    "next clusters": "下一批组",
    "other clusters": "其他组",
    "cluster": "相似菜组",
    "answered cluster": "被答成的组",
    "all": "全部",
    "part of a name": "菜名的一部分",
    "confusions by cluster": "按相似菜组的混淆",
    "clusters with confusions": "个有混淆的组",
    "wrong answers": "个错误回答",
    "nearest registered photos": "最相近的训练照片",
    "cluster of the answer": "回答所在的组",
    "cluster of the truth": "真实菜所在的组",
    "within the cluster": "组内",
    "listed": "已列出",
    "more": "更多",
    "show all": "取消筛选",
    "click a count to see its pairs of dishes": "点选数字查看其中的菜品对",
    "1, 2, 3, 4 mark the card that has the focus; arrows move, Tab and Enter work too": (
        "按 1、2、3、4 标记所在卡片，方向键移动，Tab 与回车亦可"
    ),
    "of other-dish pairs are closer than the median same-dish pair": (
        "的异菜照片对比同菜照片对的中位数更相似"
    ),
}

HOW_TO_READ = {
    "en": "Interval: 95%, Wilson; per dish: mean over dishes, bootstrap over dishes. Chance: a "
    "blind draw from the menu, or from all true names. "
    "Majority: always the name that is most often true. An answer that is missing counts as wrong. "
    "Failed: could not be asked or answered. Lost: a site's dish that got no name of its "
    "own. Near training: photos that show what a training photo shows.",
    "zh": "区间为 95% Wilson 区间；按菜平均是各菜品准确率的均值，区间由对菜品的自助抽样得到。"
    "随机水平：从菜单（命名题则从全部真实菜名）里盲抽一个。"
    "多数类水平：总是回答最常为真的菜名。没有回答算答错。"
    "失败：无法提问或没有得到回答。无独立名称：站点的菜没有得到自己独有的名字。与训练照片相近：与某张训练照片同帧或近似重复。",
}

QUESTIONS = {
    "same_name": (
        "One dish, or two that look alike? The same name for both makes them one.",
        "是同一道菜，还是两道相似的菜？两边用同一个名字就会合并。",
    ),
    "two_names": ("Are these one dish under two names?", "这是一道菜的两个名字吗？"),
    "not_a_name": ("What is this dish called?", "这道菜叫什么？"),
    "misread_folder": (
        "The folder's name is garbled. Is this what it should say?",
        "文件夹名是乱码，原来的名字是这个吗？",
    ),
    "untidy_name": (
        "Is all of this the dish's name?",
        "这些字都属于菜名吗？",
    ),
    "hint_disagrees": (
        "The folder says another dish than the annotators. Who is right?",
        "文件夹名与标注模型的回答不同，哪个对？",
    ),
    "annotators_disagree": (
        "The annotators give different names. Which one is right?",
        "标注模型给出的名字不同，哪个对？",
    ),
    "votes_split": (
        "Photos of one dish were named differently. Do all of them belong here?",
        "同一道菜的照片得到了不同名字，它们都属于这道菜吗？",
    ),
    "problem": ("A request failed. Is the name right?", "有请求失败，菜名对吗？"),
    "look_the_same": (
        "The photos of these two mix as if they were one dish. Are they?",
        "两者的照片混在一起，像同一道菜。是吗？",
    ),
    "same_photo": (
        "Two dishes share a photo. Are they one dish?",
        "两道菜有相同的照片，是同一道菜吗？",
    ),
}


class Words:
    """`words("accuracy")` in the language asked for. Raises ValueError unless language is 'zh' or
    'en'.
    """

    def __init__(self, language: str = "en"):
        if language not in ("zh", "en"):
            raise ValueError(f"language must be 'zh' or 'en', got {language!r}")
        self.language = language

    def __call__(self, english: str) -> str:
        chinese = NOT_ANSWERS.get(english) or _ENGLISH_CHINESE[english]
        return chinese if self.language == "zh" else english

    def known(self, english: object) -> str:
        """The word in the language asked for, or the text itself where the dictionary does not have
        it.
        """
        return self(english) if english in _ENGLISH_CHINESE else str(english)

    def question(self, suspicion: str) -> str:
        """What a person is asked about a suspicion of the names; '' for an unknown one."""
        return QUESTIONS.get(suspicion, ("", ""))[self.language == "zh"]

    def text(self, compose: Callable[["Words"], str]) -> str:
        """What `compose` makes of the words. A text that is put together from several words is made
        so wherever it may be asked for in both languages.
        """
        return compose(self)

    def answer(self, answer: object) -> str:
        """An answer as shown: the two stand-ins for `not a dish` and `no answer` are translated,
        names never.
        """
        if missing(answer):
            return self("no answer")
        return self(answer) if answer in NOT_ANSWERS else str(answer)


class Text(str):
    """A text in both languages. On a page it is both, of which the page shows one; as a plain
    string it is the one in the language that is shown first.
    """

    english: str
    chinese: str

    def __new__(cls, english: str, chinese: str, first: str) -> Self:
        text = super().__new__(cls, chinese if first == "zh" else english)
        text.english = english
        text.chinese = chinese
        return text

    def __html__(self) -> str:
        english = escape(self.english)
        chinese = escape(self.chinese)
        if english == chinese:
            return str(english)
        return f"<span lang=en>{english}</span><span lang=zh-CN>{chinese}</span>"

    def attributes(self) -> Markup:
        """data-en and data-zh, by which a page's script changes what no element can hold twice."""
        values = f'data-en="{escape(self.english)}" data-zh="{escape(self.chinese)}"'
        return Markup(values)


class BothWords(Words):
    """Words for a page in both languages; `language` is the one that it shows first."""

    def __init__(self, language: str = "en"):
        super().__init__(language)
        self._english = Words("en")
        self._chinese = Words("zh")

    def __call__(self, english: str) -> str:
        return self.text(lambda words: words(english))

    def known(self, english: object) -> str:
        return self.text(lambda words: words.known(english))

    def question(self, suspicion: str) -> str:
        return self.text(lambda words: words.question(suspicion))

    def text(self, compose: Callable[[Words], str]) -> str:
        return Text(compose(self._english), compose(self._chinese), self.language)

    def answer(self, answer: object) -> str:
        return self.text(lambda words: words.answer(answer))


def missing(value: object) -> bool:
    """None, NaN or NA; a list is never missing."""
    return value is None or (
        not isinstance(value, (list, tuple, dict, str))
        and pd.api.types.is_scalar(value)
        and bool(pd.isna(value))
    )


# An absolute path of at least two parts, of either kind of system.
PATH = re.compile(
    r"(?<![\w.~\\/])(?:/(?:[^/\s'\",;:]+/)+|[A-Za-z]:[\\/]+(?:[^\\/\s'\",;:]+[\\/]+)*)"
)


def without_folders(text: str) -> str:
    """The text with `…/` for the folders of every absolute path: they are nobody else's."""
    return PATH.sub("…/", text)


def percent(value: Any, digits: int = 1) -> str:
    """A share as `87.5%`; '' where there is none."""
    return "" if missing(value) else f"{100 * float(value):.{digits}f}%"


def width(text: str) -> int:
    """Columns of a text in which a Chinese character counts as two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def shorten(text: str, columns: int) -> str:
    """At most `columns` wide, with ... where something was cut off."""
    if width(text) <= columns:
        return text
    while text and width(text) > columns - 1:
        text = text[:-1]
    return text + "…"


def wrapped(text: str, columns: int) -> list[str]:
    """Lines of at most `columns`, where a Chinese character counts as two, broken at spaces where
    there are any.
    """
    lines = [""]
    for word in text.split():
        if width(f"{lines[-1]} {word}".strip()) <= columns:
            lines[-1] = f"{lines[-1]} {word}".strip()
            continue
        lines.append("")
        for char in word:
            if width(lines[-1] + char) > columns:
                lines.append("")
            lines[-1] += char
    return [line for line in lines if line]
