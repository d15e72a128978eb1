"""`dishvl estimate` before anything has run: from the photo folder and the base model's
configuration alone.
"""

import chain
import pytest
import tiny

from dishvl_lib import cli, estimate_profile
from dishvl_lib.core import settings
from dishvl_lib.vlm import qwen

GPT = {
    "name": "gpt",
    "base_url": "https://api.example.com/v1",
    "model": "m",
    "api_key_env": "NOT_SET_ANYWHERE",
    "price_input": 2.0,
    "price_output": 8.0,
}


def report(values, **options):
    return "\n\n".join(estimate_profile.paragraphs(values, **options))


@pytest.fixture
def values(tmp_path):
    photos = tmp_path / "photos"
    for folder in ("红烧鱼1@HGD_20211221", "红烧鱼2@HGD_20211221", "番茄炒蛋"):
        (photos / folder).mkdir(parents=True)
        for number in range(4):
            tiny.photo(number).save(photos / folder / f"{number}.png")
    profile = chain.profile(tmp_path / "profile", photos)
    return settings.load_profile(
        profile, {"base_model": str(tiny.base_folder(tmp_path / "base")), "run_name": "never_run"}
    )


def test_photos_dishes_memory_disk_and_advice(values):
    text = report(values, official=True, gpu_gb=80, network_gbit=1, photos_per_second=20)
    assert text.startswith("12 photos of 2 dishes\n\nannotation: costs nothing")
    for part in (
        "optimizer (two moments, float32)",
        "activations, vision",
        "one checkpoint, resume state",
        "best/",
        "fits: 0.",
        "ZeRO-3 over 2 hosts at 1 Gbit/s",
    ):
        assert part in text, part
    assert text.count("in all") == 6
    assert "the official script's way" in text
    assert "0.0 hours" in text


def test_photos_behind_links_out_of_the_folder_count_where_they_are_followed(values, tmp_path):
    tiny.photo(9).save(tmp_path / "far.png")
    (tmp_path / "photos" / "番茄炒蛋" / "far.png").symlink_to(tmp_path / "far.png")
    assert report(values).startswith("12 photos of 2 dishes")
    values["01_annotation"]["follow_links"] = True
    assert report(values).startswith("13 photos of 2 dishes")


def test_annotation_is_priced_without_a_key(values):
    values["01_annotation"]["annotators"] = [GPT]
    shown = estimate_profile.annotation(values, dishes=3600)
    assert "gpt" in shown
    assert "7200" in shown
    assert "USD" in shown


def test_without_the_base_model_the_annotation_is_priced_all_the_same(values, monkeypatch):
    def out_of_reach(source):
        raise qwen.ModelError(f"{source}: it could not be fetched")

    monkeypatch.setattr(estimate_profile.qwen, "locate", out_of_reach)
    values["01_annotation"]["annotators"] = [GPT]
    shown = report(values)
    assert "USD" in shown
    assert "training: not estimated, its base model is not at hand" in shown
    with pytest.raises(qwen.ModelError):
        report(values, trial=True)


def test_a_trial_needs_the_questions(values):
    with pytest.raises(settings.SettingsError, match="run stages 01 to 03 first"):
        report(values, trial=True)


def test_hours_stay_open_without_a_rate(values):
    assert "hours: open" in report(values)


@pytest.mark.parametrize(
    "option",
    [("--gpu-gb", "-5"), ("--photos-per-second", "0"), ("--network-gbit", "nan"), ("--hosts", "1")],
)
def test_numbers_that_cannot_be_are_refused_by_name(option, capsys):
    with pytest.raises(SystemExit):
        cli.main(["estimate", "demo", *option])
    assert f"argument {option[0]}: {option[1]} is not" in capsys.readouterr().err


def test_what_needs_no_model_comes_before_the_model_is_looked_for(values, monkeypatch):
    monkeypatch.setattr(
        estimate_profile, "_base_model", lambda _: pytest.fail("the model was looked for")
    )
    paragraphs = estimate_profile.paragraphs(values)
    assert "photos of" in next(paragraphs)
    assert next(paragraphs).startswith("annotation")
