"""The whole way from a folder to question files: the same bytes for one seed, whatever the hash
seed, the workers, the folder's order.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toys import fill, neighbours, photo_rows

from dishvl_lib.annotation import audit, catalog, duplicates
from dishvl_lib.core import records
from dishvl_lib.dataset import build, conversations, leaks, menus
from dishvl_lib.similarity import look_alikes
from dishvl_lib.similarity import neighbours as mining

FOLDERS = {
    f"{way}{part}{n}@S{n % 3}_2022010{n % 9 + 1}": 3
    for n, (way, part) in enumerate(
        (w, p) for w in ("红烧", "清蒸", "爆炒") for p in ("鱼", "肉", "鸡", "虾")
    )
}


def digest(root: str, workers: int, shuffled: int) -> str:
    """sha256 of everything that stages 01 to 03 write about a folder of photos (features are made
    up from the hashes).
    """
    if shuffled:
        shuffle_folders(shuffled)
    photos, rejected, pairs = catalog.build(
        Path(root), [], test_share=0.3, validation_share=0.2, seed=5, workers=workers
    )
    dishes, photos, review = audit.settle(photos, [])
    bits = np.array([[int(char, 16) for char in value] for value in photos.phash], np.float32) - 7.5
    features = bits / np.linalg.norm(bits, axis=1, keepdims=True)
    names, _ = menus.askable({dish["dish_id"]: dish["name"] for dish in dishes})
    similar = look_alikes.described(mining.mine(features, photos, names=names, seed=5), dishes)
    families = look_alikes.clusters(similar)
    checked, moved = leaks.without_twins(photos, duplicates.torn_pairs(photos))
    rows = [
        build.rows(checked, split, names, similar, dishes, menu_size=6, seed=5, absent_share=0.2)
        for split in ("train", "validation", "test")
    ]
    tables = [
        table.to_csv(index=False)
        for table in (photos, rejected, pairs, review, similar, families, moved)
    ]
    return hashlib.sha256(
        json.dumps([dishes, rows, tables], ensure_ascii=False).encode()
    ).hexdigest()


def shuffle_folders(seed: int) -> None:
    """What the operating system lists comes in another order."""
    walking = os.walk

    def walk(*args, **kwargs):
        for directory, folders, files in walking(*args, **kwargs):
            rng = np.random.default_rng(seed)
            rng.shuffle(folders)
            rng.shuffle(files)
            yield directory, folders, files

    os.walk = walk


def test_the_same_bytes_whatever_is_left_to_chance(tmp_path):
    fill(tmp_path / "photos", FOLDERS)
    here = os.path.dirname(__file__)
    digests = set()
    for run, workers in enumerate((1, 8, 1, 8, 3)):
        code = (
            f"import test_dataset_build as t; print(t.digest({str(tmp_path / 'photos')!r}, "
            f"{workers}, {run}))"
        )
        environment = os.environ | {
            "PYTHONHASHSEED": str(run),
            "PYTHONPATH": f"{here}{os.pathsep}{os.path.dirname(here)}",
        }
        digests.add(
            subprocess.run(
                [sys.executable, "-c", code],
                cwd=here,
                env=environment,
                capture_output=True,
                check=True,
                text=True,
            ).stdout.strip()
        )
    assert len(digests) == 1
    assert len(digests.pop()) == 64


DISHES = [f"d{i}" for i in range(6)]
PHOTOS = photo_rows({dish: {"train": 4, "test": 2} for dish in DISHES})
CARDED = [
    {
        "dish_id": dish,
        "aliases": [],
        "card": {"cuisine": "川菜", "flavor": ["辣"]},
        "introduction": "一道菜。",
        "recipe": "",
    }
    for dish in DISHES
]


def rows(**options):
    return build.rows(
        PHOTOS,
        "train",
        {dish: f"菜{dish}" for dish in DISHES},
        neighbours({"d0": ["d1"]}),
        CARDED,
        menu_size=4,
        **options,
    )


@pytest.mark.parametrize("ratio, expected", [(0.0, 0), (0.25, 12), (1.0, 48)])
def test_knowledge_is_mixed_in_by_ratio(ratio, expected):
    questions = rows(knowledge_ratio=ratio)
    assert sum(row["kind"] == "knowledge" for row in questions) == expected
    assert len(questions) == 48 + expected
    assert len({row["id"] for row in questions}) == len(questions)


def test_aliases_of_the_dishes_reach_the_menus():
    dishes = [{**dish, "aliases": ["菜d1"] if dish["dish_id"] == "d0" else []} for dish in CARDED]
    questions = build.rows(
        PHOTOS,
        "train",
        {dish: f"菜{dish}" for dish in DISHES},
        neighbours({"d0": ["d1"]}),
        dishes,
        menu_size=4,
    )
    assert not [row for row in questions if {"菜d0", "菜d1"} <= set(row["menu"])]


def test_a_ratio_below_zero_is_refused():
    with pytest.raises(conversations.DatasetError, match="knowledge_ratio is -1"):
        rows(knowledge_ratio=-1)


def test_rows_survive_their_file(tmp_path):
    questions = rows(knowledge_ratio=0.5, knowledge_with_photo=False, absent_share=0.5)
    records.write_jsonl(tmp_path / "x.jsonl", questions)
    assert records.read_jsonl(tmp_path / "x.jsonl") == questions
