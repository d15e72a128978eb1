"""Every shipped profile passes the checks that a run makes, and the notebooks' parameters keep
their form.
"""

import json
import re

import pytest

from dishvl_lib import notebook_cells
from dishvl_lib.core import params, paths, settings
from dishvl_lib.core.parameter import Role
from dishvl_lib.training import config

COMMON = (
    "run_name",
    "upstream_run",
    "image_root",
    "sites",
    "trays_root",
    "seed",
    "max_dishes",
    "max_photos_per_dish",
    "base_model",
    "min_pixels",
    "max_pixels",
    "language",
)


@pytest.mark.parametrize(
    "profile", ["demo", "demo_new_dishes", "qwen2_5_vl_7b", "qwen2_5_vl_7b_lora"]
)
def test_shipped_profiles_pass(profile):
    values = settings.load_profile(profile)
    assert set(values) == set(paths.STAGES)
    assert all(set(values[stage]) == set(params.of_stage(stage)) for stage in paths.STAGES)


def test_the_profile_with_trays_passes():
    values = settings.load_profile("demo_trays")
    assert set(values) == set(paths.ALL_STAGES)


def test_the_demo_profile_is_what_the_notebooks_default_to():
    """Stepping through a notebook as it stands is stepping through the demo."""
    values = settings.load_profile("demo")
    for stage in paths.STAGES:
        assert values[stage] == {name: p.default for name, p in params.of_stage(stage).items()}, (
            stage
        )


@pytest.mark.parametrize("stage", paths.ALL_STAGES)
def test_parameters_are_typed_and_explained(stage):
    parameters = params.of_stage(stage)
    assert tuple(parameters)[: len(COMMON)] == COMMON
    for name, parameter in parameters.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert parameter.help
        assert "=" not in parameter.help
        assert parameter.accept(parameter.default) == (parameter.default, [])


@pytest.mark.parametrize("stage", paths.ALL_STAGES)
def test_a_shared_name_has_one_type_everywhere(stage):
    everywhere = {
        name: p.type for other in paths.ALL_STAGES for name, p in params.of_stage(other).items()
    }
    assert all(everywhere[name] == p.type for name, p in params.of_stage(stage).items())


def test_the_lora_profile_holds_only_what_differs():
    lora, full = (
        settings.load_profile(name)["04_training"]
        for name in ("qwen2_5_vl_7b_lora", "qwen2_5_vl_7b")
    )
    assert lora["lora_rank"] == 64
    assert lora["lora_vision"]
    assert lora["max_pixels"] == full["max_pixels"]
    assert full["lora_rank"] == 0


@pytest.mark.parametrize("stage", paths.ALL_STAGES)
def test_the_notebooks_hold_the_cells_that_are_declared(stage):
    """`make notebooks` writes them."""
    notebook = json.loads(paths.notebook(stage).read_text("utf-8"))
    assert "".join(notebook_cells.parameters_cell(notebook)["source"]) == params.cell(stage)


def test_a_notebook_needs_one_parameters_cell():
    with pytest.raises(ValueError, match="needs exactly one cell tagged 'parameters', this has 0"):
        notebook_cells.parameters_cell({"cells": []})


def test_the_training_takes_every_parameter_of_its_stage():
    """Its configuration names them for readers and type checkers; what they may be stands in
    params.
    """
    elsewhere = {"run_name", "upstream_run", "sites", "max_dishes", "max_photos_per_dish"}
    elsewhere |= {"trays_root", "language", "max_missing_share"}
    declared = set(params.of_stage("04_training")) - elsewhere
    fields = set(config.TrainingConfig.model_fields) - set(config.PLACES) - {"max_steps"}
    assert fields == declared - set(config.PLACES)


@pytest.mark.parametrize("stage", paths.STAGES)
def test_what_a_stage_does_not_read_cannot_change_it(stage):
    earlier = params.with_role(stage, Role.EARLIER)
    content = params.with_role(stage, Role.CONTENT)
    assert "seed" in content
    assert ("image_root" in earlier) == (stage != "01_annotation")
    assert {"run_name", "upstream_run", "language"} <= params.with_role(stage, Role.DISPLAY_ONLY)
