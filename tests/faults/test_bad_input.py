"""What users get wrong: each ends with a sentence that names the file or parameter, status 1, and
no result behind.
"""

import sys

import pytest

from dishvl_lib.core import paths

sys.path.insert(0, str(paths.PROJECT_ROOT / "tests"))
import chain
import tiny

KEYED = (
    'annotators=[{name: gpt, base_url: "http://127.0.0.1:9/v1", model: m, api_key_env: '
    "DISHVL_NO_SUCH_KEY}]"
)
PRICED = (
    'annotators=[{name: gpt, base_url: "http://127.0.0.1:9/v1", model: m, price_input: 2000.0}]'
)
DEAD = 'annotators=[{name: gpt, base_url: "http://127.0.0.1:9/v1", model: m}]'


def fill(root, dishes, per_dish=6):
    for dish in range(dishes):
        (root / f"菜{dish}").mkdir(parents=True)
        for number in range(per_dish):
            tiny.photo(dish * 50 + number).save(root / f"菜{dish}" / f"{number}.jpg")
    root.mkdir(exist_ok=True)
    return root


@pytest.mark.parametrize(
    ("dishes", "overrides", "words"),
    [
        (0, [], "holds no usable photo"),
        (1, [], "holds one dish only"),
        (3, [KEYED], "environment variable DISHVL_NO_SUCH_KEY is not set"),
        (3, [PRICED], "set budget: {USD:"),
        (3, [DEAD], "gpt at http://127.0.0.1:9/v1: the server is down"),
        (3, ["names_csv=no/such.csv"], "no/such.csv"),
        (3, ["test_share=0.95"], "test_share 0.95"),
    ],
    ids=[
        "no photos",
        "one dish",
        "no key",
        "over budget",
        "dead server",
        "no names file",
        "shares",
    ],
)
def test_stage_01(tmp_path, dishes, overrides, words):
    profile = chain.profile(tmp_path / "profile", fill(tmp_path / "photos", dishes))
    arguments = [part for override in overrides for part in ("--set", override)]
    done = chain.dishvl("run", profile, "--to", "01", *arguments, outputs=tmp_path / "outputs")
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outputs" / "toy" / "01_annotation" / "_SUCCESS.json").exists()


def test_no_such_folder_is_refused_by_demo_and_new(tmp_path):
    for command in (["demo"], ["new", "x"]):
        done = chain.dishvl(
            *command, "--image-root", tmp_path / "nowhere", outputs=tmp_path / "outputs"
        )
        assert done.returncode == 1
        assert "no folder" in done.stderr


def test_unusable_photos_and_a_dish_of_one_photo_do_not_stop_the_rest(tmp_path):
    from dishvl_lib.core import records

    root = fill(tmp_path / "photos", 3)
    (root / "菜0" / "page.jpg").write_text("<html>")
    (root / "菜0" / "empty.jpg").write_bytes(b"")
    (root / "孤独").mkdir()
    tiny.photo(999).save(root / "孤独" / "1.jpg")
    done = chain.dishvl(
        "run", chain.profile(tmp_path / "profile", root), "--to", "03", outputs=tmp_path / "outputs"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    run = tmp_path / "outputs" / "toy"
    assert dict(
        records.read_table(run / "01_annotation" / "rejected.csv")[["path", "reason"]].values
    ) == {
        "菜0/page.jpg": "not an image",
        "菜0/empty.jpg": "empty",
    }
    dishes_of = {
        split: {row["dish_id"] for row in records.iter_jsonl(run / "03_dataset" / f"{split}.jsonl")}
        for split in ("train", "test")
    }
    assert "孤独" in dishes_of["train"]
    assert "孤独" not in dishes_of["test"]


def test_what_a_person_must_know_of_folders_stands_in_the_last_lines(tmp_path):
    from dishvl_lib.core import records

    root = fill(tmp_path / "photos", 3)
    for number in range(4):
        for folder in ("GX4_6", "菜0/20240301", "菜1/@eaDir"):
            (root / folder).mkdir(parents=True, exist_ok=True)
            seed = 900 + 10 * len(folder) + number
            tiny.photo(seed).save(root / folder / f"n{number}.jpg")
    (root / "空盘").mkdir()
    (root / "train").mkdir()
    tiny.photo(999).save(root / "train" / "1.jpg")
    done = chain.dishvl(
        "run", chain.profile(tmp_path / "profile", root), "--to", "03", outputs=tmp_path / "outputs"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    notes = [line for line in done.stdout.splitlines() if line.startswith("note: ")]
    assert "folders called train are NOT taken as splits" in notes[0]
    assert notes[1] == "note: 1 dishes have no usable photo: 空盘 (1 empty folder) (rejected.csv)"
    assert "2 of 5 dishes have no name and are NOT asked about: GX4_6, train;" in notes[3]
    assert notes[-1].endswith("2 of 5 dishes are not asked about (left_out.csv): GX4_6, train")
    run = tmp_path / "outputs" / "toy"
    review = records.read_table(run / "01_annotation" / "name_review.csv")
    assert review.dish_id[:2].tolist() == ["GX4_6", "train"]
    questions = records.read_jsonl(run / "03_dataset" / "train.jsonl")
    assert {row["dish_id"] for row in questions} == {"菜0", "菜1", "菜2"}


def test_a_set_without_a_single_name_stops_before_questions(tmp_path):
    root = tmp_path / "photos"
    for number in range(8):
        folder = root / f"GX{number % 2}_1"
        folder.mkdir(parents=True, exist_ok=True)
        tiny.photo(number).save(folder / f"{number}.jpg")
    profile = chain.profile(tmp_path / "profile", root)
    done = chain.dishvl("run", profile, "--to", "03", outputs=tmp_path / "outputs")
    assert done.returncode == 1
    assert "0 of 2 dishes can be asked about, and a menu needs two: GX0_1" in done.stderr
    assert "give it a name in decisions/names.csv" in done.stderr


def test_new_writes_a_profile_that_passes_and_keeps_its_comments(tmp_path):
    import shutil

    from dishvl_lib.core import settings

    name = f"pytest_{tmp_path.name}"
    try:
        done = chain.dishvl(
            "new", name, "--image-root", fill(tmp_path / "photos", 2), outputs=tmp_path / "outputs"
        )
        assert done.returncode == 0, done.stderr
        values = settings.load_profile(name)
        assert values["01_annotation"]["run_name"] == name
        assert values["04_training"]["image_root"] == str(tmp_path / "photos")
        assert "# " in (paths.PROJECT_ROOT / "params" / name / "04_training.yaml").read_text(
            "utf-8"
        )
        again = chain.dishvl(
            "new", name, "--image-root", tmp_path / "photos", outputs=tmp_path / "outputs"
        )
        assert again.returncode == 1
        assert "exists already" in again.stderr
    finally:
        shutil.rmtree(paths.PROJECT_ROOT / "params" / name, ignore_errors=True)
