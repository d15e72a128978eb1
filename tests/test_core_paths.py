"""Paths: stages by number or name, runs that are plain folders, everything relative counts from the
project root.
"""

import pytest

from dishvl_lib.core import paths


@pytest.mark.parametrize("given", ["03", "3", "03_dataset"])
def test_a_stage_is_named_by_number_or_in_full(given):
    assert paths.full_stage_name(given) == "03_dataset"


@pytest.mark.parametrize("given", ["", "06", "dataset", "03_data"])
def test_an_unknown_stage_is_answered_with_the_stages(given):
    with pytest.raises(ValueError, match=", ".join(paths.ALL_STAGES)):
        paths.full_stage_name(given)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "cache", " x", "a\nb", "a\0b"]
)
def test_a_run_is_a_folder_of_its_own(name):
    with pytest.raises(ValueError, match="run_name"):
        paths.run_folder(name)


@pytest.mark.parametrize("name", ["demo", "七月 试验", "a.b-c"])
def test_ordinary_run_names_pass(name, own_outputs):
    assert paths.run_folder(name) == own_outputs / name


def test_where_things_lie(own_outputs):
    assert paths.outputs() == own_outputs
    assert paths.stage_folder("r", "02") == own_outputs / "r" / "02_similar_dishes"
    assert paths.decisions_file("r", "names") == own_outputs / "r" / "decisions" / "names.csv"
    assert paths.cache("features") == own_outputs / "cache" / "features"
    assert (own_outputs / "cache" / "features").is_dir()
    assert not (own_outputs / "r").exists(), "asking where something is must not make it"


def test_relative_paths_count_from_the_project_root_wherever_we_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert paths.resolve("params/demo") == paths.PROJECT_ROOT / "params" / "demo"
    assert paths.resolve(tmp_path / "x") == tmp_path / "x"
    monkeypatch.setenv("DISHVL_OUTPUTS", "elsewhere")
    assert paths.outputs() == paths.PROJECT_ROOT / "elsewhere"
    monkeypatch.delenv("DISHVL_OUTPUTS")
    assert paths.outputs() == paths.PROJECT_ROOT / "outputs"


@pytest.mark.parametrize("stage", paths.STAGES)
def test_every_stage_has_its_notebook(stage):
    assert paths.notebook(stage).is_file()
