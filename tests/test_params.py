"""Every shipped profile passes the checks that a run makes, and the notebooks' parameters keep
their form.
"""

import re

import pytest

from dishvl_lib.core import paths, settings

COMMON = (
    "run_name",
    "upstream_run",
    "image_root",
    "sites",
    "seed",
    "max_dishes",
    "max_photos_per_dish",
    "base_model",
    "min_pixels",
    "max_pixels",
    "language",
)


@pytest.mark.parametrize("profile", ["demo", "qwen2_5_vl_7b", "qwen2_5_vl_7b_lora"])
def test_shipped_profiles_pass(profile):
    values = settings.load_profile(profile)
    assert set(values) == set(paths.STAGES)
    assert all(
        set(values[stage]) == set(settings.notebook_parameters(stage)) for stage in paths.STAGES
    )


def test_the_demo_profile_is_what_the_notebooks_default_to():
    """Stepping through a notebook as it stands is stepping through the demo."""
    values = settings.load_profile("demo")
    for stage in paths.STAGES:
        assert values[stage] == {
            name: p.default for name, p in settings.notebook_parameters(stage).items()
        }, stage


@pytest.mark.parametrize("stage", paths.STAGES)
def test_parameters_are_typed_and_explained(stage):
    found = settings.notebook_parameters(stage)
    assert tuple(found)[: len(COMMON)] == COMMON
    for name, parameter in found.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert parameter.help
        assert "=" not in parameter.help
        assert parameter.check(parameter.default, stage) == parameter.default


@pytest.mark.parametrize("stage", paths.STAGES)
def test_a_shared_name_has_one_type_everywhere(stage):
    everywhere = {
        name: p.type
        for other in paths.STAGES
        for name, p in settings.notebook_parameters(other).items()
    }
    assert all(
        everywhere[name] == p.type for name, p in settings.notebook_parameters(stage).items()
    )


def test_the_lora_profile_holds_only_what_differs():
    lora, full = (
        settings.load_profile(name)["04_training"]
        for name in ("qwen2_5_vl_7b_lora", "qwen2_5_vl_7b")
    )
    assert lora["lora_rank"] == 64
    assert lora["lora_vision"]
    assert lora["max_pixels"] == full["max_pixels"]
    assert full["lora_rank"] == 0
