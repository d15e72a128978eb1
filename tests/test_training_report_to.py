"""Where training figures go besides metrics.jsonl: `report_to`, TensorBoard, the GPU's use."""

import importlib.util
import os
import sys
import types

import pytest
import tiny
import torch
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from dishvl_lib.core import params, settings
from dishvl_lib.training import config, launch, reporting, run, throughput

STAGE = "04_training"


class Reporter(TrainerCallback):
    """Stands for the callback of a tracking service."""

    rows: list[dict] = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.rows.append(dict(logs))


def settings_of(world, folder, **changed):
    folder.mkdir(parents=True, exist_ok=True)
    given = {**tiny.TRAINING, "num_train_epochs": 1.0, "max_steps": 1, **changed}
    return config.from_parameters(given, output_folder=folder, **world)


@pytest.fixture(autouse=True)
def no_folders(monkeypatch):
    """Nothing is set for the services, and what a test sets is taken back."""
    for variable in ("WANDB_DIR", "SWANLAB_LOG_DIR"):
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)


@pytest.fixture
def world(tmp_path):
    return {"base_model": tiny.base_folder(tmp_path / "base"), **tiny.data_set(tmp_path / "data")}


@pytest.mark.parametrize("place", ["none", "tensorboard"])
def test_tensorboards_files_are_not_written_twice(world, tmp_path, place):
    given = settings_of(world, tmp_path / "run" / STAGE, report_to=place)
    assert run.training_arguments(given).report_to == []


def test_transformers_own_callback_gets_what_metrics_jsonl_gets(world, tmp_path, monkeypatch):
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "wandb", Reporter)
    given = settings_of(world, tmp_path / "a run" / STAGE, report_to="wandb")
    assert run.training_arguments(given).run_name == "a run"
    trainer = run.begin(given)
    trainer.train()
    reported = [row for row in Reporter.rows if "loss" in row]
    assert reported
    assert {"loss", "photos_per_second", "memory_gb"} <= set(reported[0])
    written = [row for row in launch.metrics(tmp_path / "a run" / STAGE) if "loss" in row]
    assert written[0]["loss"] == reported[0]["loss"]


def test_swanlabs_run_begins_before_transformers_asks_for_it(world, tmp_path, monkeypatch):
    begun = []
    toy = types.SimpleNamespace(init=lambda **options: begun.append(options))
    monkeypatch.setitem(sys.modules, "swanlab", toy)
    monkeypatch.setenv("SWANLAB_PROJECT", "canteen")
    reporting.prepare(settings_of(world, tmp_path / "a run" / STAGE, report_to="wandb"))
    assert begun == []
    reporting.prepare(settings_of(world, tmp_path / "a run" / STAGE, report_to="swanlab"))
    assert begun == [{"project": "canteen", "experiment_name": "a run"}]


@pytest.mark.parametrize(
    ("place", "variable"), [("wandb", "WANDB_DIR"), ("swanlab", "SWANLAB_LOG_DIR")]
)
def test_what_a_service_writes_lies_hidden_in_the_stages_folder(
    world, tmp_path, monkeypatch, place, variable
):
    toy = types.SimpleNamespace(init=lambda **options: None)
    monkeypatch.setitem(sys.modules, "swanlab", toy)
    folder = tmp_path / "a run" / STAGE
    reporting.prepare(settings_of(world, folder, report_to=place))
    assert os.environ[variable] == str(folder / f".{place}")
    assert (folder / f".{place}").is_dir()


def test_the_services_own_variable_counts(world, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_DIR", "/elsewhere")
    reporting.prepare(settings_of(world, tmp_path / "a run" / STAGE, report_to="wandb"))
    assert os.environ["WANDB_DIR"] == "/elsewhere"


def test_the_place_may_change_before_a_resume(world, tmp_path):
    given = settings_of(world, tmp_path / "run" / STAGE)
    elsewhere = given.model_copy(update={"report_to": "wandb"})
    assert run.belongs(given) == run.belongs(elsewhere)


def test_a_missing_package_is_refused_before_the_run(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    values = params.defaults(STAGE) | {"report_to": "swanlab"}
    with pytest.raises(settings.SettingsError) as refusal:
        settings.refuse_absent({STAGE: values})
    assert str(refusal.value) == (
        "04_training: report_to needs the package swanlab, which is not installed: pip install "
        "swanlab, or set report_to to none"
    )


def test_a_package_that_is_there_is_taken(monkeypatch):
    spec = types.SimpleNamespace()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    settings.refuse_absent({STAGE: params.defaults(STAGE) | {"report_to": "wandb"}})


def test_every_place_is_one_that_transformers_knows():
    known = {*integration_utils.INTEGRATION_TO_CALLBACK, "none"}
    assert set(params.REPORTERS) <= known


def test_a_misspelt_place_is_refused():
    fault = params.of_stage(STAGE)["report_to"].accept("wand")[1]
    assert "did you mean wandb?" in fault[0]


def test_a_cpu_has_no_gpu_use():
    assert throughput.gpu_use(torch.device("cpu")) == {}


def test_a_gpus_use_is_in_percent(monkeypatch):
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: 87)
    assert throughput.gpu_use(torch.device("cuda")) == {"gpu_utilisation": 87}


def test_a_driver_that_cannot_be_asked_stops_no_training(monkeypatch):
    def missing(device):
        raise ModuleNotFoundError("nvidia-ml-py does not seem to be installed")

    monkeypatch.setattr(torch.cuda, "utilization", missing)
    assert throughput.gpu_use(torch.device("cuda")) == {}


def test_the_tensorboard_command_is_printed_when_a_training_starts(world, tmp_path, capsys):
    given = settings_of(world, tmp_path / "a run" / STAGE)
    process = launch.start(given)
    launch.watch(launch.Path(given.output_folder), process=process)
    board = tmp_path / "a run" / STAGE / "tensorboard"
    command = f"tensorboard --logdir '{board}'"
    assert capsys.readouterr().out.count(command) == 1
    assert any(board.glob("events.out.tfevents.*"))
