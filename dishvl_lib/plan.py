"""What `dishvl run` would do, without doing it: the plan of `--dry-run`; and which stages of a run
are stale.
"""

from collections.abc import Sequence
from pathlib import Path

from dishvl_lib.core import markers, paths, redo, settings, stages
from dishvl_lib.core.progress import duration
from dishvl_lib.core.rules import listed
from dishvl_lib.core.types import Record

CHANGED_PARAMETERS = "changed parameters"
UNCHANGED = "nothing changed"
# What of a stage's state means that it is made, by the word for it.
TO_MAKE = {"missing": "would run", "unfinished": "would go on"}


def lines(values: settings.Values, chosen: Sequence[str], redone: Sequence[str]) -> list[str]:
    """A line for each of the stages `chosen`: done, would run, would be made again and why, with
    how long it took the last time. redone: those that are to be made again in any case.
    """
    printed = []
    above: list[str] = []  # stages before that would be made
    for stage in chosen:
        of_stage = values[stage]
        sentence = _sentence(of_stage, stage, stage in redone, above)
        if not sentence.startswith("done"):
            above.append(stage)
        printed.append(f"{stage:<20} {sentence}")
    return printed


def _sentence(values: Record, stage: str, is_redone: bool, above: Sequence[str]) -> str:
    folder = paths.stage_folder(values["run_name"], stage)
    took = _took(folder)
    if is_redone:
        return f"would be made again (--redo {stage[:2]}){took}"
    state = stages.state(values, stage)
    if state in TO_MAKE:
        return f"{TO_MAKE[state]}{took}"
    if state == CHANGED_PARAMETERS:
        return f"is refused: {_refusal(values, stage)}"
    if state == stages.CHANGED_INPUTS and (damage := _damage(values, stage)):
        return f"is refused: {damage}"
    if state == stages.CHANGED_INPUTS:
        return f"would be made again: {_why(values, stage)}{took}{_word(folder)}"
    if above:
        before = listed([name[:2] for name in above])
        return f"done; made again only if {before} write other files than before{_word(folder)}"
    return state


def _refusal(values: Record, stage: str) -> str:
    try:
        stages.refuse_changed(stage, values)
    except stages.StageError as error:
        return " ".join(str(error).split())
    return ""


def _why(values: Record, stage: str) -> str:
    try:
        changed = stages.changed_inputs(values, stage)
        return f"{listed(changed)} changed" if changed else UNCHANGED
    except stages.StageError as error:
        return str(error)


def _damage(values: Record, stage: str) -> str:
    """Which file of a finished stage is not as it was written; '' where none is, and where the
    stage is made again in any case.
    """
    if _why(values, stage) != UNCHANGED:
        return ""
    try:
        markers.check_outputs(paths.stage_folder(values["run_name"], stage))
    except stages.StageError as error:
        return str(error)
    return ""


def _took(folder: Path) -> str:
    seconds = redo.seconds_worked(folder)
    return f"; it took {duration(seconds)} the last time" if seconds else ""


def _word(folder: Path) -> str:
    """That a stage is made again only when it is asked for."""
    if not redo.is_long(folder):
        return ""
    return f"; so long a stage wants --redo {folder.name[:2]}"


def stale(run_folder: Path, stage: str) -> str:
    """Why a finished stage is stale: what it was made from is otherwise now; '' when it is not.

    It is judged by the parameters that it was made with.
    """
    folder = run_folder / stage
    if not markers.finished(folder):
        return ""
    values = {**markers.read(folder)["parameters"], "run_name": run_folder.name}
    try:
        changed = stages.changed_inputs(values, stage)
    except stages.StageError as error:
        return str(error)
    return f"{listed(changed)} changed since" if changed else ""


def stale_stages(run_folder: Path) -> list[str]:
    """A sentence for each stage that is stale, the first stage's first. What follows from a stale
    stage is stale too.
    """
    sentences = []
    earlier = ""
    for stage in paths.stages_of(run_folder):
        if not markers.finished(run_folder / stage):
            continue
        why = stale(run_folder, stage)
        if why:
            sentences.append(f"{stage} is stale: {why}")
            earlier = earlier or stage
        elif earlier:
            sentences.append(f"{stage} was made from a {earlier} that is stale")
    return sentences


def runs() -> list[str]:
    """A line for each run under outputs/: its name, and the last stage that it has finished."""
    printed = []
    for folder in sorted(paths.outputs().glob("*")):
        made = [stage for stage in paths.ALL_STAGES if (folder / stage).is_dir()]
        if made:
            printed.append(f"{folder.name:<30} {_last(folder)}")
    return printed


def _last(folder: Path) -> str:
    chain = paths.stages_of(folder)
    finished = [stage for stage in chain if markers.finished(folder / stage)]
    if not finished:
        return "nothing finished"
    last = finished[-1]
    try:
        when = markers.read(folder / last)["finished_at"]
    except stages.StageError as error:
        return str(error)
    unfinished = [stage[:2] for stage in chain if stage not in finished]
    missing = f", without {', '.join(unfinished)}" if unfinished else ""
    stale_ones = ", with stale stages" if stale_stages(folder) else ""
    return f"{last} finished {when}{missing}{stale_ones}"
