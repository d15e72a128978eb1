"""Exports, read back as the other trainers read them, against the inputs that ours trains on: what
differs, and nothing else.
"""

import json
import os
from pathlib import Path

import pytest
import tiny
import trainer_readers as readers

from dishvl_lib.core import images, questions
from dishvl_lib.dataset import conversations, export
from dishvl_lib.vlm import inputs, lengths, qwen

IGNORE = inputs.IGNORE
ALL = list(export.CANNOT_CARRY)


def row(number, image, template, answer, menu=(), dish="", kind="naming"):
    turns = [
        {"from": "human", "value": questions.human_turn(template, menu, dish)},
        {"from": "gpt", "value": answer},
    ]
    question = {
        "id": f"train-{kind}-{number:06d}",
        "image": image,
        "conversations": turns,
        "image_id": image or "",
        "dish_id": "a",
        "kind": kind,
    }
    if image is None:
        del question["image"]
    return {**question, "menu": list(menu), "template": template}


def some_rows(first, second):
    """A question of each kind about two photos, and one without a photo; an answer of several
    lines.
    """
    menu = ["红烧鱼", "素鸡(豆制品)", '"香"辣\\虾', "番茄炒蛋"]
    return [
        row(0, first, "naming-1", "番茄炒蛋"),
        row(1, second, "menu-1", "素鸡(豆制品)", menu, kind="menu"),
        row(2, first, "absent-2", questions.NOT_ON_MENU, menu, kind="menu_absent"),
        row(3, second, "knowledge-11", "1. 切丝。\n2. 大火快炒。\n\n3. 出锅。", kind="knowledge"),
        row(4, None, "knowledge-4", "约 130 千卡", dish="红烧鱼", kind="knowledge"),
    ]


@pytest.fixture(scope="module", params=["toy", "real"])
def case(request, tmp_path_factory):
    """(a tokenizer with its image processor, image_root, rows): toys, or the 7B's own files and
    real photos.
    """
    if request.param == "toy":
        root = tmp_path_factory.mktemp("photos")
        (root / "炒蛋 1").mkdir()
        for number, size in enumerate([(90, 48), (64, 64)]):
            tiny.photo(number, size).save(root / "炒蛋 1" / f"{number}.png")
        return tiny.model(), root, some_rows("炒蛋 1/0.png", "炒蛋 1/1.png")
    if not os.environ.get("DISHVL_TEST_DATA"):
        pytest.skip(
            "DISHVL_TEST_DATA is not set: the real tokenizer files and photos are not at hand"
        )
    data = Path(os.environ["DISHVL_TEST_DATA"])
    root = data / "zh_dishes10"
    photos = [
        sorted((root / dish).iterdir())[0].relative_to(root).as_posix()
        for dish in ("番茄炒蛋", "椒盐虾")
    ]
    return (
        qwen.load_inputs(str(data / "qwen2_5_vl_7b_files"), 3136, 448 * 448),
        root,
        some_rows(*photos),
    )


@pytest.fixture(scope="module")
def exported(case, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    return folder, export.write(
        folder, {"train": case[2], "test": case[2][:2]}, ALL, case[1], "run"
    )


def places(case):
    def count(path):
        assert Path(path).is_file()
        return inputs.photo_inputs(case[0], images.load_rgb(path)).num_tokens

    return count


def ours(case, question):
    """(input_ids, labels) that our training reads: `inputs.build` with the photo, the same tokens
    without one.
    """
    if "image" not in question:
        return lengths.tokens(case[0], question, None)
    human, gpt = (turn["value"] for turn in question["conversations"])
    sample = inputs.build(
        case[0],
        inputs.photo_inputs(case[0], images.load_rgb(case[1] / question["image"])),
        questions.question_of(human),
        gpt,
    )
    return sample.input_ids, sample.labels


def with_end(case, question):
    """Ours and the line break after the end token, supervised: the one thing that all four trainers
    add.
    """
    ids, labels = ours(case, question)
    line_break = case[0].tokenizer.encode("\n", add_special_tokens=False)
    assert len(line_break) == 1
    return ids + line_break, labels + line_break


def assert_photo(case, question, path):
    assert (path is None) == ("image" not in question)
    assert path is None or os.path.samefile(path, case[1] / question["image"])


def test_ours_begins_with_the_system_prompt_and_supervises_only_the_answer(case):
    decode = case[0].tokenizer.decode
    for question in case[2]:
        ids, labels = ours(case, question)
        assert decode(ids).startswith(
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        )
        assert (
            decode([token for token in labels if token != IGNORE])
            == question["conversations"][1]["value"] + "<|im_end|>"
        )


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_qwen_data_qwen_adds_the_line_break_after_the_photo_and_the_one_at_the_end(
    case, exported, suffix
):
    entry = readers.qwen_entries(exported[0] / "qwen")["run_train"]
    rows = readers.open_list(Path(entry["annotation_path"]).with_suffix(f".{suffix}"))
    assert rows == case[2]
    end_of_photo = case[0].tokenizer.convert_tokens_to_ids("<|vision_end|>")
    for question in rows:
        ids, labels, path = readers.data_qwen(
            question, entry["data_path"], case[0].tokenizer, places(case)
        )
        expected, expected_labels = with_end(case, question)
        if path:
            after = expected.index(end_of_photo) + 1
            expected = [*expected[:after], expected[-1], *expected[after:]]
            expected_labels = [*expected_labels[:after], IGNORE, *expected_labels[after:]]
        assert (ids, labels) == (expected, expected_labels)
        assert_photo(case, question, path)


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_qwen_data_processor_adds_the_line_break_at_the_end_alone(case, exported, suffix):
    entry = readers.qwen_entries(exported[0] / "qwen")["run_train"]
    for question in readers.open_list(Path(entry["annotation_path"]).with_suffix(f".{suffix}")):
        ids, labels, path = readers.data_processor(
            question, entry["data_path"], case[0].tokenizer, places(case)
        )
        assert (ids, labels) == with_end(case, question)
        assert_photo(case, question, path)


@pytest.mark.parametrize("media_dir", ["dataset_dir", "image_root"])
def test_llama_factory_adds_the_line_break_at_the_end_alone(case, exported, media_dir):
    folder = exported[0] / "llama_factory"
    attributes = json.loads((folder / "dataset_info.json").read_text("utf-8"))["run_train"]
    assert attributes["formatting"] == "sharegpt"
    rows = readers.open_list(folder / attributes["file_name"])
    assert [question["id"] for question in rows] == [question["id"] for question in case[2]]
    where = {"dataset_dir": folder, "image_root": case[1]}[media_dir]
    for question, line in zip(case[2], rows, strict=True):
        ids, labels, path = readers.llama_factory(
            line, attributes, where, case[0].tokenizer, places(case)
        )
        assert (ids, labels) == with_end(case, question)
        assert_photo(case, question, path)


def test_ms_swift_adds_the_line_break_at_the_end_alone(case, exported):
    rows = readers.open_list(exported[0] / "ms_swift" / "run_train.jsonl")
    assert [question["id"] for question in rows] == [question["id"] for question in case[2]]
    for question, line in zip(case[2], rows, strict=True):
        ids, labels, path = readers.ms_swift(line, case[0].tokenizer, places(case))
        assert (ids, labels) == with_end(case, question)
        assert_photo(case, question, path)


@pytest.fixture
def toy_rows():
    return some_rows("a/0.jpg", "a/1.jpg")


def test_the_table_lists_every_file_with_its_rows_and_what_it_cannot_carry(toy_rows, tmp_path):
    table = export.write(
        tmp_path / "e", {"train": toy_rows, "site:食堂 2": toy_rows[:1]}, ALL, tmp_path, "run"
    )
    assert tuple(table.columns) == export.COLUMNS
    assert set(table.file) == {
        path.relative_to(tmp_path / "e").as_posix()
        for path in (tmp_path / "e").rglob("*")
        if path.is_file()
    }
    rows = dict(zip(table.file, table.rows, strict=True))
    assert (
        rows["qwen/run_train.json"]
        == rows["qwen/run_train.jsonl"]
        == rows["ms_swift/run_train.jsonl"]
        == 5
    )
    assert rows["llama_factory/run_site_食堂_2.json"] == 1
    assert rows["llama_factory/dataset_info.json"] == rows["qwen/dataset_entry.py"] == 6
    assert all("question trees" in text and "line break" in text for text in table.cannot_carry)


def test_tables_keep_one_type_per_column_and_no_key_that_a_trainer_gives_a_meaning(
    toy_rows, tmp_path
):
    site = [{**question, "role": "query"} for question in toy_rows]
    export.write(tmp_path, {"train": site}, ["llama_factory", "ms_swift"], tmp_path, "run")
    for file, turns in (
        ("llama_factory/run_train.json", "conversations"),
        ("ms_swift/run_train.jsonl", "messages"),
    ):
        for question in readers.open_list(tmp_path / file):
            assert list(question) == ["id", turns, "images"]
            assert isinstance(question["images"], list)


def test_only_the_formats_asked_for_are_written(toy_rows, tmp_path):
    assert list(
        export.write(tmp_path, {"train": toy_rows}, ["ms_swift", "ms_swift"], tmp_path, "run").file
    ) == ["ms_swift/run_train.jsonl"]
    assert export.write(tmp_path / "none", {"train": toy_rows}, [], tmp_path, "run").empty
    assert not (tmp_path / "none").exists()
    export.write(tmp_path, {"empty": []}, ["qwen"], tmp_path, "run")
    assert (
        readers.open_list(tmp_path / "qwen" / "run_empty.json")
        == readers.open_list(tmp_path / "qwen" / "run_empty.jsonl")
        == []
    )


def test_an_unknown_format_is_refused_with_a_suggestion_before_anything_is_written(
    toy_rows, tmp_path
):
    with pytest.raises(ValueError, match="'llamafactory' is unknown; did you mean 'llama_factory'"):
        export.write(tmp_path / "e", {"train": toy_rows}, ["qwen", "llamafactory"], tmp_path, "run")
    assert not (tmp_path / "e").exists()


def test_names_hold_nothing_that_trainers_read_in_them(toy_rows, tmp_path):
    export.write(
        tmp_path,
        {"train": toy_rows},
        ["qwen", "llama_factory"],
        tmp_path / 'it\'s \\ "x"',
        "run, 50%5 #3",
    )
    (name,) = readers.qwen_entries(tmp_path / "qwen")
    assert name == "run_50_5_3_train"
    assert readers.qwen_entries(tmp_path / "qwen")[name]["data_path"] == str(
        tmp_path / 'it\'s \\ "x"'
    )
    assert list(
        json.loads((tmp_path / "llama_factory" / "dataset_info.json").read_text("utf-8"))
    ) == [name]
    with pytest.raises(conversations.DatasetError, match="share an export file"):
        export.write(
            tmp_path, {"site:a b": toy_rows, "site:a#b": toy_rows}, ["qwen"], tmp_path, "run"
        )


@pytest.mark.parametrize(
    "mark", ["<image>", "<video>", "<audio>", "<img>", "<|im_end|>", "<|image_pad|>", "<bbox>"]
)
@pytest.mark.parametrize("turn", [0, 1])
def test_marks_that_a_trainer_would_obey_are_refused_by_row(toy_rows, tmp_path, mark, turn):
    toy_rows[1]["conversations"][turn]["value"] += mark
    with pytest.raises(
        conversations.DatasetError,
        match=r"train: 1 of 5 questions .* train-menu-000001: it holds '"
        + mark.replace("|", r"\|"),
    ):
        export.write(tmp_path / "e", {"train": toy_rows}, ["qwen"], tmp_path, "run")
    assert not (tmp_path / "e").exists()


def test_a_photo_without_its_mark_and_a_mark_without_its_photo_are_refused(toy_rows, tmp_path):
    del toy_rows[0]["image"]
    toy_rows[4]["image"] = "a/0.jpg"
    with pytest.raises(
        conversations.DatasetError,
        match="2 of 5 .* train-naming-000000: it must begin with <image>",
    ):
        export.write(tmp_path / "e", {"train": toy_rows}, ["ms_swift"], tmp_path, "run")


def test_harmless_angle_brackets_go_through(toy_rows, tmp_path):
    toy_rows[0]["conversations"][1]["value"] = "<3 虾> & a<b | c>"
    export.write(tmp_path, {"train": toy_rows}, ALL, tmp_path, "run")
    assert (
        readers.open_list(tmp_path / "ms_swift" / "run_train.jsonl")[0]["messages"][1]["content"]
        == "<3 虾> & a<b | c>"
    )


def test_a_write_that_fails_leaves_the_old_file(toy_rows, tmp_path, monkeypatch):
    export.write(tmp_path, {"train": toy_rows}, ["llama_factory"], tmp_path, "run")
    file = tmp_path / "llama_factory" / "run_train.json"
    before = file.read_bytes()
    monkeypatch.setitem(toy_rows[4], "id", float("nan"))
    with pytest.raises(ValueError):
        export.write(tmp_path, {"train": toy_rows}, ["llama_factory"], tmp_path, "run")
    assert file.read_bytes() == before
    assert {path.name for path in file.parent.iterdir()} == {
        "run_train.json",
        "dataset_info.json",
    }
