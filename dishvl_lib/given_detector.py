"""The detector that a command is given: a file, or a run whose stage 00 has one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dishvl_lib.core import artefacts, markers, paths
from dishvl_lib.core.types import Record

if TYPE_CHECKING:
    from dishvl_lib.detection.detector import Detector


@dataclass(frozen=True)
class GivenDetector:
    """As the command line has it. `where`: an ONNX file, a folder with one, or a run's name;
    `layout`, `threshold` and `keep_labels`: '', None and () for what the file, or the run's stage
    00, says; `crop_margin`: None for the recogniser's own.
    """

    where: str
    layout: str = ""
    threshold: float | None = None
    keep_labels: Sequence[str] = ()
    crop_margin: float | None = None

    def opened(self) -> "Detector":
        """Raises `DetectorError`, and ValueError for a run without a detector."""
        from dishvl_lib.detection.detector import Detector

        file, options = self._of_run() or (Path(self.where).expanduser(), {})
        return Detector.load(
            file,
            layout=self.layout or options.get("layout", ""),
            threshold=self.threshold or options.get("threshold"),
            keep_labels=self.keep_labels or options.get("keep_labels", ()),
        )

    def _of_run(self) -> tuple[Path, Record] | None:
        """(the detector of a run, how its stage 00 read it); None where `where` is no run."""
        is_file = Path(self.where).expanduser().exists()
        if is_file or paths.name_problem(self.where) or not paths.run_folder(self.where).is_dir():
            return None
        folder = paths.run_folder(self.where) / paths.TRAYS
        if not markers.finished(folder):
            raise ValueError(
                f"run {self.where} has no detector: its stage 00 is not finished; run it, or name "
                "an ONNX file"
            )
        return folder / artefacts.DETECTOR, _options(markers.read(folder)["parameters"])


def _options(parameters: Record) -> Record:
    """How stage 00 reads its detector; one that it trained says everything itself."""
    options = {"threshold": parameters["detection_threshold"] or None}
    if parameters["detector"]:
        options["layout"] = parameters["detector_layout"]
        options["keep_labels"] = parameters["keep_labels"]
    return options
