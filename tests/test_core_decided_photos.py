"""What becomes of decisions about photos: moved, left out, or nothing, and what is said of it."""

import pandas as pd
import pytest

from dishvl_lib.core import artefacts, decided_photos, decision_notes, records
from dishvl_lib.core.right_dishes import RightDishes

DISHES = [
    {"dish_id": "鱼", "folders": ["鱼1@A_20220101"], "name": "红烧鱼", "aliases": ["烧鱼"]},
    {"dish_id": "肉", "folders": ["肉", "旧肉"], "name": "红烧肉", "aliases": ["旧肉"]},
    {"dish_id": "豆腐", "folders": ["豆腐"], "name": "肉", "aliases": []},
    {"dish_id": "新菜甲", "folders": ["新菜甲"], "name": "新菜甲", "aliases": []},
]


def photo(name, dish_id, split="train", group="", sha256=""):
    path = f"{dish_id}/{name}.jpg"
    return {
        "image_id": artefacts.image_id_of(path),
        "path": path,
        "dish_id": dish_id,
        "group_id": group or name,
        "split": split,
        "sha256": sha256 or name,
    }


def catalogue(*more):
    rows = [
        photo("f1", "鱼", "test"),
        photo("f2", "鱼"),
        photo("m1", "肉"),
        photo("t1", "豆腐"),
        photo("n1", "新菜甲", "held_out"),
        *more,
    ]
    return pd.DataFrame(rows)


def id_of(path):
    return artefacts.image_id_of(path)


def decided(*rows):
    """Rows (path, decision, right dish)."""
    return pd.DataFrame(
        [
            {
                "image_id": id_of(path),
                "path": path,
                "dish_id": "",
                "decision": decision,
                "right_dish": right,
                "time": "",
            }
            for path, decision, right in rows
        ],
        columns=list(decided_photos.READ_COLUMNS),
    )


def settle(*rows, photos=None, left_out=None, former=None):
    photos = catalogue() if photos is None else photos
    return decided_photos.settle(photos, DISHES, decided(*rows), left_out, former)


def test_a_photo_gets_its_right_dish_and_keeps_its_id_group_and_split():
    before = catalogue()
    photos, table = settle(("鱼/f1.jpg", "other dish", "肉"))
    kept = ["image_id", "path", "group_id", "split"]
    pd.testing.assert_frame_equal(photos[kept], before[kept])
    assert photos.dish_id.tolist() == ["肉", "鱼", "肉", "豆腐", "新菜甲"]
    assert photos.moved_from.tolist() == ["鱼", "", "", "", ""]
    (row,) = table.to_dict("records")
    assert (row["effect"], row["moved_to"], row["dish_id"]) == ("moved", "肉", "鱼")
    assert tuple(table.columns) == artefacts.DECIDED_COLUMNS


@pytest.mark.parametrize(
    "text, dish_id",
    [
        ("鱼", "鱼"),
        ("鱼1@A_20220101", "鱼"),
        ("红烧鱼", "鱼"),
        (" 红烧 鱼 ", "鱼"),
        ("烧鱼", "鱼"),
        ("旧肉", "肉"),
        ("肉", "肉"),  # a dish_id before a name: 豆腐 is called 肉
    ],
)
def test_a_right_dish_is_meant_by_id_folder_name_or_another_name(text, dish_id):
    photos = catalogue()
    right = RightDishes(DISHES, photos)
    assert right.meant(text, "新菜甲", "train") == (dish_id, "")


def test_a_dish_that_was_merged_is_the_one_it_went_into():
    _, table = settle(("鱼/f2.jpg", "other dish", "老肉"), former={"老肉": "肉", "肉": "肉"})
    assert table.moved_to.tolist() == ["肉"]


def test_a_name_of_two_dishes_means_neither():
    dishes = [*DISHES, {"dish_id": "鱼2", "folders": [], "name": "红烧鱼", "aliases": []}]
    photos = catalogue(photo("x", "鱼2"))
    dish_id, problem = RightDishes(dishes, photos).meant("红烧鱼", "豆腐", "train")
    assert dish_id == ""
    assert "鱼 or 鱼2" in problem


def test_a_right_dish_that_is_not_there_leaves_the_photo_out():
    photos, table = settle(("鱼/f2.jpg", "other dish", "没有"), ("鱼/f1.jpg", "other dish", ""))
    assert table.effect.tolist() == ["left out", "left out"]
    assert table.detail.tolist() == [
        "no right dish is given",
        "there is no dish 没有 in dishes.jsonl",
    ]
    assert decided_photos.gone(table) == {id_of("鱼/f1.jpg"), id_of("鱼/f2.jpg")}
    assert photos.dish_id.tolist() == catalogue().dish_id.tolist()
    (sentence,) = decision_notes.sentences(table)
    assert sentence.startswith("2 photos are left out, because their label was decided to be wrong")


def test_a_photo_that_trains_is_not_given_a_dish_that_is_held_out_whole():
    _, table = settle(("鱼/f2.jpg", "other dish", "新菜甲"))
    assert table.effect.tolist() == ["left out"]
    assert "is held out whole" in table.detail[0]


def test_a_held_out_photo_moves_and_stays_held_out():
    photos, _ = settle(("新菜甲/n1.jpg", "other dish", "鱼"))
    moved = photos[photos.moved_from != ""]
    assert moved[["dish_id", "split"]].values.tolist() == [["鱼", "held_out"]]


def test_a_photo_of_a_site_gets_a_dish_of_its_site_and_no_other():
    at_site = [photo("s1", "north/A", "site:north"), photo("s2", "north/B", "site:north")]
    photos, table = settle(
        ("north/A/s1.jpg", "other dish", "B"),
        ("north/B/s2.jpg", "other dish", "鱼"),
        ("鱼/f2.jpg", "other dish", "north/A"),
        photos=catalogue(*at_site),
    )
    by_path = table.set_index("path")
    assert by_path.moved_to["north/A/s1.jpg"] == "north/B"
    assert by_path.detail["north/B/s2.jpg"] == "there is no dish 鱼 of site:north"
    assert by_path.effect["鱼/f2.jpg"] == "left out"
    assert photos.set_index("path").split["north/A/s1.jpg"] == "site:north"


def test_equal_bytes_move_along_and_near_duplicates_stay_and_are_named():
    photos = catalogue(
        photo("copy", "鱼", "test", group="f1", sha256="f1"),
        photo("near", "鱼", "test", group="f1"),
    )
    photos, table = settle(("鱼/f1.jpg", "other dish", "肉"), photos=photos)
    moved = photos[photos.moved_from != ""].path.tolist()
    assert moved == ["鱼/f1.jpg", "鱼/copy.jpg"]
    by_path = table.set_index("path")
    assert by_path.detail["鱼/copy.jpg"] == "the same bytes as 鱼/f1.jpg"
    assert by_path.detail["鱼/f1.jpg"] == "1 of its group keep their dish: 鱼/near.jpg"
    assert any(
        "near-duplicates that keep the old dish" in text for text in decision_notes.sentences(table)
    )


def test_a_copy_that_somebody_decided_about_does_not_move_along():
    photos = catalogue(photo("copy", "鱼", "test", group="f1", sha256="f1"))
    photos, _ = settle(
        ("鱼/f1.jpg", "other dish", "肉"), ("鱼/copy.jpg", "real confusion", ""), photos=photos
    )
    assert photos[photos.moved_from != ""].path.tolist() == ["鱼/f1.jpg"]


def test_its_own_dish_as_the_right_one_changes_nothing():
    photos, table = settle(("鱼/f1.jpg", "other dish", "红烧鱼"))
    assert table.effect.tolist() == ["stays"]
    assert photos.moved_from.tolist() == [""] * len(photos)
    assert decision_notes.sentences(table) == []


def test_applying_again_changes_nothing_and_a_later_decision_counts_from_the_folder():
    photos, first = settle(("鱼/f1.jpg", "other dish", "肉"))
    again, second = settle(("鱼/f1.jpg", "other dish", "肉"), photos=photos)
    pd.testing.assert_frame_equal(again, photos)
    pd.testing.assert_frame_equal(second, first)
    back, _ = settle(("鱼/f1.jpg", "real confusion", ""), photos=photos)
    assert back.dish_id.tolist() == catalogue().dish_id.tolist()
    elsewhere, _ = settle(("鱼/f1.jpg", "other dish", "豆腐"), photos=photos)
    assert elsewhere.dish_id[0] == "豆腐"
    assert elsewhere.moved_from[0] == "鱼"


def test_decisions_about_photos_that_are_gone_are_named():
    left_out = pd.DataFrame(
        [("鱼/bad.jpg", "photo bad", "", "test"), ("鱼/two.jpg", "two labels", "", "")],
        columns=list(artefacts.REJECTED_COLUMNS),
    )
    _, table = settle(
        ("鱼/bad.jpg", "photo bad", ""),
        ("鱼/two.jpg", "other dish", "肉"),
        ("鱼/never.jpg", "label wrong", ""),
        left_out=left_out,
    )
    by_path = table.set_index("path")
    assert by_path.effect.to_dict() == {
        "鱼/bad.jpg": "left out",
        "鱼/never.jpg": "gone",
        "鱼/two.jpg": "gone",
    }
    assert by_path.split["鱼/bad.jpg"] == "test"
    assert by_path.detail["鱼/two.jpg"] == "left out: two labels"
    (sentence,) = decision_notes.sentences(table)
    assert "2 decisions are about photos that are not there any more" in sentence
    assert "鱼/never.jpg, 鱼/two.jpg" in sentence


def test_an_unknown_word_changes_nothing_and_is_said():
    _, table = settle(("鱼/f1.jpg", "lable wrong", ""))
    assert table.effect.tolist() == ["stays"]
    (sentence,) = decision_notes.sentences(table)
    assert "1 decisions are none of label wrong, photo bad, real confusion, other dish" in sentence


def test_a_damaged_image_id_is_found_by_its_path():
    rows = decided(("鱼/f1.jpg", "other dish", "肉")).assign(image_id="1.23E+15")
    photos, table = decided_photos.settle(catalogue(), DISHES, rows)
    assert photos.dish_id[0] == "肉"
    assert table.image_id.tolist() == [id_of("鱼/f1.jpg")]


def test_a_damaged_row_that_a_later_whole_one_has_overtaken_is_no_decision_about_a_lost_photo():
    rows = decided(("鱼/f1.jpg", "photo bad", ""), ("鱼/f1.jpg", "other dish", "肉"))
    rows.loc[0, "image_id"] = "1.23E+15"
    photos, table = decided_photos.settle(catalogue(), DISHES, rows)
    assert photos.dish_id[0] == "肉"
    assert table.effect.tolist() == ["moved"]


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_the_last_decision_is_read_and_one_that_was_taken_back_is_none(tmp_path):
    file = write(
        tmp_path / "photos.csv",
        "time,image_id,decision,right_dish",
        "2026-01-01T00:00:00+00:00,a,other dish,d1",
        "2026-01-02T00:00:00+00:00,a,other dish,d2",
        "2026-01-01T00:00:00+00:00,b,photo bad,",
        "2026-01-02T00:00:00+00:00,b,,",
    )
    read = decided_photos.read(file)
    assert read[["image_id", "decision", "right_dish"]].values.tolist() == [
        ["a", "other dish", "d2"]
    ]


def test_files_without_the_new_column_and_no_file_are_read(tmp_path):
    file = write(tmp_path / "photos.csv", "image_id,decision", "a,label wrong")
    assert decided_photos.read(file).right_dish.tolist() == [""]
    assert decided_photos.read(None).empty
    assert decided_photos.read(tmp_path / "none.csv").empty


def test_the_copy_that_a_stage_keeps_reads_as_the_file_it_was_made_of(tmp_path):
    file = write(
        tmp_path / "photos.csv",
        "image_id,decision,right_dish",
        'a,other dish,"=鱼, ""块"""',
        "b,photo bad,",
    )
    read = decided_photos.read(file)
    records.write_table(tmp_path / "read.csv", read)
    pd.testing.assert_frame_equal(decided_photos.read(tmp_path / "read.csv"), read)
    assert decided_photos.waiting(file, tmp_path / "read.csv") == 0
    file.write_text(file.read_text("utf-8") + "b,real confusion,\nc,photo bad,\n", "utf-8")
    assert decided_photos.waiting(file, tmp_path / "read.csv") == 2


def test_what_stage_01_did_stays_known_and_marks_without_effect_are_not_handed_on():
    left_out = pd.DataFrame(
        [("鱼/bad.jpg", "photo bad", "", "test")], columns=list(artefacts.REJECTED_COLUMNS)
    )
    rows = (
        ("鱼/bad.jpg", "photo bad", ""),
        ("鱼/f1.jpg", "other dish", "肉"),
        ("肉/m1.jpg", "real confusion", ""),
    )
    photos, earlier = settle(*rows, left_out=left_out)
    _, later = settle(*rows, photos=photos)
    table = decided_photos.effective(earlier, later)
    assert table[["path", "effect", "split"]].values.tolist() == [
        ["鱼/bad.jpg", "left out", "test"],
        ["鱼/f1.jpg", "moved", "test"],
    ]


def test_what_another_runs_catalogue_does_not_know_is_applied_to_it():
    _, table = settle(("鱼/f1.jpg", "other dish", "肉"), ("鱼/f2.jpg", "photo bad", ""))
    photos = decided_photos.applied(catalogue(), decided_photos.effective(table[:0], table))
    assert photos.dish_id.tolist() == ["肉", "肉", "豆腐", "新菜甲"]


def test_what_stage_01_has_applied_is_not_settled_again():
    rows = decided(("鱼/f1.jpg", "other dish", "老肉"), ("鱼/f2.jpg", "photo bad", ""))
    _, earlier = decided_photos.settle(catalogue(), DISHES, rows[:1], former={"老肉": "肉"})
    new = decided_photos.unapplied(rows, earlier)
    assert new.path.tolist() == ["鱼/f2.jpg"]
    changed = rows[:1].assign(right_dish="豆腐")
    assert len(decided_photos.unapplied(changed, earlier)) == 1
    assert len(decided_photos.unapplied(rows, decided_photos.none())) == 2


def test_no_decisions_change_nothing():
    nothing = decided_photos.unapplied(decided_photos.read(None), decided_photos.none())
    photos, table = decided_photos.settle(catalogue(), DISHES, nothing)
    pd.testing.assert_frame_equal(photos.drop(columns="moved_from"), catalogue())
    assert tuple(table.columns) == artefacts.DECIDED_COLUMNS
    assert decided_photos.effective(decided_photos.none(), table).empty


def test_a_table_with_chinese_headings_is_read(tmp_path):
    file = write(tmp_path / "photos.csv", "image_id,决定,正确的菜", "a,other dish,鱼")
    assert decided_photos.read(file).right_dish.tolist() == ["鱼"]
