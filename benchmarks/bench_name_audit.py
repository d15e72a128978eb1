"""How well the name audit finds one dish under two names, and how long it takes to settle 3600
dishes.

DISHVL_TEST_DATA=folder python benchmarks/bench_name_audit.py      (needs howtocook/dishes.jsonl in
that folder)

100 dishes of a cook book get a second name, as another canteen might write it, and a second card,
as another photo might give it (30% of the ingredients missing, one of another dish added). The
words of these second names are the benchmark's own; those that the library's table of synonyms does
not know are marked with *. Every pair that is reported and was not planted is printed, to be judged
by eye.
"""

import os
import re
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from dishvl_lib.annotation import audit, same_dish
from dishvl_lib.core import intervals, records

PLANTED = 100
SEED = 0
DROPPED = 0.3
DISHES = 3600
PHOTOS = 28
REPLACED = {
    "synonym": [
        ("西红柿", "番茄"),
        ("番茄", "西红柿"),
        ("鸡蛋", "蛋"),
        ("土豆", "洋芋"),
        ("包菜", "圆白菜"),
        ("花菜", "菜花"),
        ("黄瓜", "青瓜"),
        ("排骨", "猪排骨"),
        ("猪蹄", "猪手"),
        ("鳜鱼", "桂鱼"),
        ("洋葱", "圆葱"),
        ("莴笋", "青笋"),
        ("蒜苔", "蒜薹"),
        ("面", "面条"),
    ],
    "synonym*": [
        ("茄子", "矮瓜"),
        ("虾", "鲜虾"),
        ("豆腐", "嫩豆腐"),
        ("烧肉", "烧猪肉"),
        ("鸡翅", "鸡中翅"),
        ("牛肉", "黄牛肉"),
        ("米饭", "大米饭"),
        ("白菜", "黄芽白"),
        ("鸡丁", "鸡肉丁"),
        ("冬瓜", "东瓜"),
    ],
    "method": [
        ("凉拌", "拌"),
        ("清炒", "炒"),
        ("蒜蓉", "蒜茸"),
        ("宫保", "宫爆"),
        ("蚝油", "耗油"),
    ],
    "method*": [
        ("炒", "爆炒"),
        ("红烧", "烧"),
        ("炖", "清炖"),
        ("煎", "香煎"),
        ("烤", "烘烤"),
        ("清蒸", "蒸"),
        ("糖醋", "酸甜"),
    ],
}
ADDED = {
    "prefix": ("家常", "秘制", "招牌", "农家", "特色", "妈妈的"),
    "prefix*": ("川味", "东北", "新派", "祖传", "老北京", "当季"),
    "bracket": ("（大份）", "(微辣)", "【特价】", "（每日供应）"),
}
_REMARK = re.compile(r"[（(].*?[）)]")


def main() -> None:
    if folder := os.environ.get("DISHVL_TEST_DATA"):
        find_planted(cook_book(Path(folder)))
    else:
        print("DISHVL_TEST_DATA is not set: there is no cook book to plant second names in")
    time_settling(np.random.default_rng(SEED))


def find_planted(dishes: list[dict]) -> None:
    planted = plant(dishes, np.random.default_rng(SEED))
    wanted = {
        (one["twin_of"], len(dishes) + place): one["kind"] for place, one in enumerate(planted)
    }
    everything = dishes + planted
    report("with ingredients", everything, wanted, show=True)
    report("names only", [{**one, "card": None} for one in everything], wanted, show=False)


def cook_book(folder: Path) -> list[dict]:
    rows = records.read_jsonl(folder / "howtocook" / "dishes.jsonl")
    cards = [
        [part.strip() for text in row["ingredients"] for part in _REMARK.sub("", text).split("、")]
        for row in rows
    ]
    first = {
        row["name"]: {"name": row["name"], "card": {"ingredients": card}}
        for row, card in zip(rows, cards, strict=True)
    }
    return list(first.values())


def plant(dishes: list[dict], rng: np.random.Generator) -> list[dict]:
    """PLANTED dishes with another name and card, the kinds of renaming as evenly spread as the
    names allow.
    """
    choices: dict[str, list[tuple[int, str]]] = {kind: [] for kind in (*REPLACED, *ADDED, "order")}
    for place in rng.permutation(len(dishes)):
        for kind, name in renamings(dishes[place]["name"], rng):
            choices[kind].append((int(place), name))
    taken = {one["name"] for one in dishes}
    planted = []
    used: set[int] = set()
    while len(planted) < PLANTED and any(choices.values()):
        for kind, options in choices.items():
            options[:] = [
                (place, name) for place, name in options if place not in used and name not in taken
            ]
            if options and len(planted) < PLANTED:
                place, name = options.pop(0)
                used.add(place)
                planted.append(
                    {
                        "name": name,
                        "kind": kind,
                        "twin_of": place,
                        "card": other_card(dishes, place, rng),
                    }
                )
    return planted


def renamings(name: str, rng: np.random.Generator) -> list[tuple[str, str]]:
    found = [
        (kind, name.replace(old, new, 1))
        for kind, words in REPLACED.items()
        for old, new in words
        if old in name and new not in name
    ]
    found += [
        ("prefix", str(rng.choice(ADDED["prefix"])) + name),
        ("prefix*", str(rng.choice(ADDED["prefix*"])) + name),
    ]
    found.append(("bracket", name + str(rng.choice(ADDED["bracket"]))))
    first, cooked, second = name.partition("炒")
    return found + (
        [("order", second + cooked + first)] if len(first) > 1 and len(second) > 1 else []
    )


def other_card(dishes: list[dict], place: int, rng: np.random.Generator) -> dict:
    own = dishes[place]["card"]["ingredients"]
    kept = [text for text in own if rng.random() >= DROPPED] or own[:1]
    everything = [text for dish in dishes for text in dish["card"]["ingredients"]]
    return {"ingredients": [*kept, str(rng.choice(everything))] if own else []}


def report(
    title: str, dishes: list[dict], wanted: dict[tuple[int, int], str], *, show: bool
) -> None:
    found = same_dish.pairs(dishes)
    places = {(one.i, one.j) for one in found}
    hits = Counter(kind for pair, kind in wanted.items() if pair in places)
    total = Counter(wanted.values())
    low, high = intervals.wilson(hits.total(), total.total())
    print(
        f"{title}: {hits.total()} of {total.total()} planted pairs found, 95% interval "
        f"[{low:.1%}, {high:.1%}]"
    )
    for kind, n in total.items():
        missed = [
            f"{dishes[i]['name']} / {dishes[j]['name']}"
            for (i, j), one in wanted.items()
            if one == kind and (i, j) not in places
        ]
        print(
            f"  {kind:<10}{hits[kind]:>3} of {n:<3}"
            + ("missed: " + ", ".join(missed[:4]) if missed and show else "")
        )
    others = [one for one in found if (one.i, one.j) not in wanted]
    low, high = intervals.wilson(hits.total(), len(found))
    print(
        f"  {len(others)} of {len(found)} reported pairs were not planted; at least "
        f"{hits.total() / max(1, len(found)):.1%} [{low:.1%}, {high:.1%}] are right"
    )
    for one in others if show else ():
        print(
            f"    {one.strength:.2f}  {dishes[one.i]['name']} / {dishes[one.j]['name']}: "
            f"{one.evidence}"
        )


def time_settling(rng: np.random.Generator) -> None:
    """Settle DISHES made-up dishes with PHOTOS photos each, two annotators that disagree one time
    in ten, and features.
    """
    words = list("鱼肉豆腐丝片鸡鸭虾蟹葱姜蒜椒茄瓜笋菇芹韭藕")
    dish_ids = list(dict.fromkeys("".join(rng.choice(words, 6)) for _ in range(2 * DISHES)))[
        :DISHES
    ]
    photos = pd.DataFrame(
        {
            "dish_id": np.repeat(dish_ids, PHOTOS),
            "split": np.tile(["train"] * (PHOTOS - 2) + ["validation", "test"], DISHES),
        }
    )
    photos["image_id"] = photos["path"] = photos["group_id"] = photos["sha256"] = (
        photos.dish_id + photos.groupby("dish_id").cumcount().astype(str)
    )
    photos["folder"] = photos.dish_id + "1@HGD_20211221"
    answers = [
        made_up_answer(dish_id, annotator, dish_ids, words, rng)
        for dish_id in dish_ids
        for annotator in "ab"
    ]
    vectors = rng.normal(size=(len(photos), 1280)).astype(np.float32)
    features = {
        "image_id": photos.image_id.to_numpy(str),
        "feature": vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
    }
    for title, given in (("without features", None), ("with features", features)):
        started = time.perf_counter()
        _, _, review = audit.settle(photos, answers, features=given)
        print(
            f"settling {DISHES} dishes, {len(photos)} photos, 2 annotators, {title}: "
            f"{time.perf_counter() - started:.1f} s (goal 20), {len(review)} suspicions"
        )


def made_up_answer(
    dish_id: str, annotator: str, dish_ids: list[str], words: list[str], rng: np.random.Generator
) -> dict:
    name = dish_id if rng.random() < 0.9 else dish_ids[int(rng.integers(len(dish_ids)))]
    card = {"name": name, "ingredients": ["".join(rng.choice(words, 2)) for _ in range(6)]}
    asked = {
        "dish_id": dish_id,
        "annotator": annotator,
        "model": "m",
        "prompt_version": "1",
        "image_ids": [f"{dish_id}0"],
        "votes": {name: 1},
        "name": name,
    }
    return {
        **asked,
        "card": card,
        "introduction": "",
        "recipe": "",
        "problems": [],
        "cost": 0.0,
        "currency": "USD",
        "tokens": 0,
        "seconds": 0.0,
    }


if __name__ == "__main__":
    main()
