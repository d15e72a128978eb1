"""Training on from a finished run with new photos, as a user does it on drawn dishes."""

import shutil

import chain
import pytest
from PIL import Image

from dishvl_lib.core import artefacts, base_run, records

FIRST = "toy"
NEXT = "next"
TEST_SHARE = 0.2  # of the toy profile
HELD_BACK = 4  # photos of each dish that come later


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(outputs, profile, photos, changes): the run FIRST finished up to its model, and then new
    photos, copies of old ones, and old ones gone.
    """
    folder = tmp_path_factory.mktemp("on")
    photos = chain.draw(folder / "drawn")
    later = hold_back(photos, folder / "later")
    profile = chain.profile(folder / "profile", photos)
    done = chain.dishvl("run", profile, "--to", "04", outputs=folder / "outputs")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for file, place in later.items():
        shutil.move(file, place)
    return folder / "outputs", profile, photos, change(photos, catalogue(folder / "outputs", FIRST))


def hold_back(photos, folder):
    """{file in `folder`: where it belongs} of some photos of each dish, which are moved away."""
    later = {}
    for dish in sorted(photos.iterdir()):
        for file in sorted(dish.glob("*.jpg"))[-HELD_BACK:]:
            place = folder / dish.name / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, place)
            later[place] = file
    return later


def change(photos, known):
    """{what: path} of a copy beside its trained photo, a copy whose trained photo is gone, a
    trained photo that lies at the outside site now, and a copy of a tested photo.
    """
    trained = known[known.split == "train"].drop_duplicates("group_id")
    beside, gone, moved = (
        trained.path[trained.dish_id == dish].iloc[0] for dish in chain.DISHES[:3]
    )
    tested = known.path[known.split == "test"].iloc[0]
    for path in (beside, gone, tested):
        copy_of(photos / path)
    (photos / gone).unlink()
    site = next(folder for folder in sorted((photos.parent / "site_b").iterdir()))
    shutil.move(photos / moved, site / "moved.jpg")
    named = {"beside": beside, "gone": gone, "tested": tested}
    copies = {what: path.replace(".jpg", "_copy.jpg") for what, path in named.items()}
    return copies | {"moved": moved}


def copy_of(file):
    with Image.open(file) as photo:
        smaller = photo.convert("RGB").resize((photo.width - 8, photo.height - 8))
    smaller.save(file.with_name(f"{file.stem}_copy.jpg"), quality=70)


def train_on(world, *more):
    outputs, profile, *_ = world
    settings = ("--set", f"run_name={NEXT}", "--set", f"base_model=run:{FIRST}")
    return chain.dishvl("run", profile, *settings, *more, outputs=outputs)


def catalogue(outputs, run_name):
    return records.read_table(outputs / run_name / "01_annotation" / "catalog.parquet")


@pytest.fixture(scope="module")
def trained_on(world):
    """What the command printed that trained on and evaluated."""
    done = train_on(world)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_photos_that_the_run_knows_keep_their_split(world, trained_on):
    before = catalogue(world[0], FIRST)
    at_home = before[before.split.isin(artefacts.SPLITS)].drop_duplicates("sha256")
    split_before = at_home.set_index("sha256").split
    after = catalogue(world[0], NEXT)
    known = after[after.sha256.isin(split_before.index)]
    assert len(known) > 20
    expected = split_before[known.sha256].tolist()
    assert known.split.tolist() == expected


def test_nothing_that_was_trained_on_is_tested_or_validated_on(world, trained_on):
    outputs, _, _, changes = world
    before = catalogue(outputs, FIRST)
    after = catalogue(outputs, NEXT).set_index("path")
    trained = set(before.sha256[before.split == "train"])
    assert not trained & set(after.sha256[after.split != "train"])
    assert after.split[changes["beside"]] == "train"
    assert after.split[changes["gone"]] == "train"
    rejected = records.read_table(outputs / NEXT / "01_annotation" / "rejected.csv")
    reason = dict(zip(rejected.path, rejected.reason, strict=True))
    moved = [path for path in reason if path.endswith("moved.jpg")]
    assert [reason[path] for path in moved] == ["trained on before"]


def test_a_copy_of_a_tested_photo_is_not_trained_on(world, trained_on):
    after = catalogue(world[0], NEXT).set_index("path")
    assert after.split[world[3]["tested"]] == "test"


def test_new_photos_fill_the_shares_of_their_dishes(world, trained_on):
    before, after = (catalogue(world[0], run_name) for run_name in (FIRST, NEXT))
    n_tested = after[after.split == "test"].dish_id.value_counts()
    n_photos = after[after.split.isin(artefacts.SPLITS)].dish_id.value_counts()
    assert set(n_photos.index) == set(chain.DISHES)
    for dish, photos in n_photos.items():
        assert n_tested[dish] >= round(TEST_SHARE * photos)
    new = after[~after.sha256.isin(before.sha256)]
    assert (new.split == "train").sum() >= len(chain.DISHES) * (HELD_BACK - 1)
    assert f"photos keep the split that they have in {FIRST}" in trained_on


def test_the_model_trains_on_and_stands_in_the_table_under_its_runs_name(world, trained_on):
    outputs = world[0]
    metrics = records.read_json(outputs / NEXT / "05_evaluation" / "metrics.json")
    assert f"base ({FIRST})" in metrics
    assert "base" not in metrics
    assert f"\nbase ({FIRST}) " in trained_on
    page = (outputs / NEXT / "05_evaluation" / "report.html").read_text("utf-8")
    assert f"base ({FIRST})" in page
    assert f"that of run {FIRST}, trained on from" in page
    best = outputs / FIRST / "04_training" / "best"
    trained = records.read_json(outputs / NEXT / "04_training" / "best" / "dishvl.json")
    assert trained["base_model"] == str(best)


def test_the_training_starts_from_the_runs_weights(world, trained_on):
    rows = {}
    for run_name in (FIRST, NEXT):
        file = world[0] / run_name / "04_training" / "metrics.jsonl"
        rows[run_name] = [row for row in records.iter_jsonl(file) if "loss" in row]
    assert rows[NEXT][0]["loss"] < rows[FIRST][0]["loss"]


def test_a_second_run_of_the_same_command_has_nothing_to_do(world, trained_on):
    assert train_on(world).stdout.count("nothing to do") == 5


def test_the_record_of_what_the_first_run_knew_goes_on_to_a_third_run(
    world, trained_on, monkeypatch
):
    outputs, _, _, changes = world
    monkeypatch.setenv("DISHVL_OUTPUTS", str(outputs))
    first = catalogue(outputs, FIRST)
    known = base_run.known_photos(NEXT)
    trained = first[first.split == "train"]
    assert set(trained.sha256) <= set(known.sha256[known.split == "train"])
    gone = trained.sha256[trained.path == changes["moved"]].iloc[0]
    assert gone not in set(catalogue(outputs, NEXT).sha256)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (("base_model=run:nobody",), "names no run: there is no folder"),
        (("base_model=run:other",), "is this run itself"),
        (("min_pixels=784",), f"run {FIRST} was trained on photos of another size"),
        (("base_model=run:.",), "must be a plain folder name"),
    ],
)
def test_what_cannot_be_trained_on_from_is_refused_before_anything_runs(world, settings, sentence):
    more = [part for setting in ("run_name=other", *settings) for part in ("--set", setting)]
    done = train_on(world, *more)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "01_annotation ==" not in done.stdout
    assert not (world[0] / "other").exists()


def test_a_run_whose_training_has_not_finished_is_refused(world):
    outputs, _, _, _ = world
    (outputs / "begun" / "04_training").mkdir(parents=True)
    done = train_on(world, "--set", "run_name=other", "--set", "base_model=run:begun")
    assert "run begun has no finished training" in done.stderr
    assert not (outputs / "other").exists()


def test_another_model_in_the_run_makes_what_depends_on_it_again(world, trained_on):
    outputs, profile, *_ = world
    file = outputs / FIRST / "04_training" / "_SUCCESS.json"
    whole = records.read_json(file)
    marker = records.read_json(file)
    marker["outputs"]["best/model.safetensors"]["sha256"] = "0" * 64
    records.write_json(file, marker)
    try:
        plan = train_on(world, "--dry-run").stdout.splitlines()
    finally:
        records.write_json(file, whole)
    state = {line.split()[0]: line for line in plan if line[:2].isdigit()}
    assert "base_model: run:toy changed" in state["04_training"]
    assert "base_model: run:toy changed" in state["05_evaluation"]
    assert state["01_annotation"].split()[1] == "done"
    assert state["03_dataset"].split()[1] == "done"
