"""Stage 04: what is trained on, the training process, and what its numbers say."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from dishvl_lib.core import artefacts, missing_photos, records
from dishvl_lib.core.stages import Stage
from dishvl_lib.core.types import Record, Records
from dishvl_lib.demo import builtin
from dishvl_lib.training import config, launch
from dishvl_lib.vlm import calibration

VALIDATION_COLUMNS = "^(step|eval_(loss|naming|menu))"


class Curve(NamedTuple):
    """Rows of metrics.jsonl: all, those of validations, the best of these, and the newest rates."""

    rows: Records
    evaluated: Records
    lowest: Record
    rates: Record

    @property
    def first_loss(self) -> float:
        return next(row["loss"] for row in self.rows if "loss" in row)

    def table(self) -> pd.DataFrame:
        """The validations, one a row."""
        return (
            pd.DataFrame(self.evaluated).filter(regex=VALIDATION_COLUMNS).set_index("step").round(4)
        )


def question_files(stage: Stage) -> dict[str, Path]:
    """{train, validation: file}, without the questions whose photo has gone since stage 01."""
    given = {name: stage.input("03_dataset", f"{name}.jsonl") for name in ("train", "validation")}
    rows: Records = []
    for file in given.values():
        rows += records.iter_jsonl(file)
    missing = missing_photos.decided(stage, rows, stage.params["max_missing_share"])
    return missing_photos.question_files(missing, given, stage.path("questions"))


def configure(stage: Stage, files: dict[str, Path]) -> config.TrainingConfig:
    """The training process's configuration; builds the demo's base model when asked for."""
    dishes = stage.rows("01_annotation", "dishes.jsonl")
    names = list(artefacts.names_by_dish(dishes).values())
    params = stage.params | {"crop_margin": crop_margin(stage)}
    return config.from_parameters(
        params,
        base_model=builtin.base_model(params["base_model"], names, params["max_pixels"]),
        image_root=stage.image_root(),
        output_folder=stage.folder,
        train_file=files["train"],
        validation_file=files["validation"],
    )


def crop_margin(stage: Stage) -> float:
    """The margin by which the photos were cropped: stage 00's where it made them, otherwise the
    parameter; 0 where that is unknown.
    """
    given = stage.params["crop_margin"]
    made = stage.marker("01_annotation").get("crop_margin")
    if made is None:
        return given
    if given and given != made and not stage.done:
        stage.note(f"crop_margin {given} is not used: stage 00 cropped the photos by {made}")
    return made


def read_curve(stage: Stage, best: Path) -> Curve:
    """The training's course, with a sentence on its best validation and one on its speed."""
    rows = launch.metrics(stage.folder)
    evaluated = [row for row in rows if "eval_loss" in row]
    lowest = min(evaluated, key=lambda row: row["eval_loss"])
    rates = [row for row in rows if "photos_per_second" in row][-1]
    curve = Curve(rows, evaluated, lowest, rates)
    print(
        f"lowest validation loss {lowest['eval_loss']:.4f} at step {lowest['step']} of "
        f"{lowest['max_steps']} (first training loss {curve.first_loss:.4f}); best/ is "
        f"{records.read_json(best / 'dishvl.json')['checkpoint']}"
    )
    print(
        f"{rates['photos_per_second']:.1f} photos/s, {rates['questions_per_second']:.1f} "
        f"questions/s, {rates['tokens_per_second']:.0f} tokens/s, {rates['memory_gb']:.1f} GB"
    )
    return curve


def calibrate(stage: Stage, best: Path, rows: Records) -> Record:
    """Temperature and threshold, fitted on validation menus; what best/ answered to these is kept
    in validation_answers.csv, from which another run may learn what is confused.
    """
    files = ["calibration.json", artefacts.VALIDATION_ANSWERS]
    if stage.done and not stage.path(files[1]).exists():
        return stage.make(files[0], dict)  # an earlier version kept no answers
    fitted, answered = stage.make(tuple(files), _calibrated, stage, best, rows)
    wrong = (answered.dish_id != answered.answer_id).sum()
    print(f"{wrong} of {len(answered)} validation menus are answered wrongly ({files[1]})")
    return fitted


def _calibrated(stage: Stage, best: Path, rows: Records) -> tuple[Record, pd.DataFrame]:
    seed = stage.params["seed"]
    fitted, answered = calibration.calibrate_and_answer(best, rows, stage.image_root(), seed=seed)
    names = artefacts.names_by_dish(stage.rows("01_annotation", "dishes.jsonl"))
    return fitted, validation_answers(answered, names)


def validation_answers(answered: Records, names: dict[str, str]) -> pd.DataFrame:
    """VALIDATION_ANSWER_COLUMNS. answered: menu questions with their `answer`; names: {dish_id:
    name}; no two dishes on menus share one.
    """
    dish_by_name = {name: dish_id for dish_id, name in names.items()}
    table = []
    for row in answered:
        known = [row[name] for name in artefacts.VALIDATION_ANSWER_COLUMNS[:-1]]
        # The dish that is asked about, whoever else is called so and on no menu.
        truth = artefacts.answer_of(row)
        answer_id = row["dish_id"] if row["answer"] == truth else dish_by_name[row["answer"]]
        table.append((*known, answer_id))
    return pd.DataFrame(table, columns=list(artefacts.VALIDATION_ANSWER_COLUMNS))


def describe(contract: Record) -> str:
    """How much of the model trained, from trainable.json."""
    return (
        f"{contract['trained_parameters']:,} of {contract['parameters']:,} parameters trained "
        f"({contract['trained_share']:.1%})"
    )


def problems(best: Path, curve: Curve) -> list[str]:
    """What keeps best/ from being used, a sentence each with what to do; [] when nothing does."""
    sentences = []
    if not ((best / "config.json").exists() and (best / "dishvl.json").exists()):
        sentences.append(
            f"{best} is not complete; run the stage again, it goes on from the newest checkpoint"
        )
    if not all(row["eval_loss"] < float("inf") for row in curve.evaluated):
        sentences.append(
            "a validation loss is not a number: best/ cannot be trusted; set learning_rate to a "
            "tenth, or dtype to float32, and run the stage again with --redo 04"
        )
    return sentences


def counts(curve: Curve) -> dict[str, int]:
    """For the success marker."""
    steps = curve.rows[-1]["step"]
    return {"steps": steps, "ok": steps, "skipped": 0, "failed": 0}
