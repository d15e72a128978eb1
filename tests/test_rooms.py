"""The import law, read from the source: who may import whom, and who may import the heavy
libraries.
"""

import ast
import subprocess
import sys

import pytest

from dishvl_lib.core import paths

MAY_IMPORT = {
    "core": {"core"},
    "endpoints": {"core", "endpoints"},
    "similarity": {"core", "similarity"},
    "gallery": {"core", "similarity", "gallery"},
    "dataset": {"core", "dataset"},
    "display": {"core", "display"},
    "review": {"core", "display", "review"},
    "annotation": {"core", "endpoints", "annotation"},
    "detection": {"core", "detection"},
    "vlm": {"core", "vlm"},
    "training": {"core", "vlm", "training"},
    "estimate": {"core", "vlm", "training", "estimate"},
    "evaluation": {"core", "vlm", "endpoints", "evaluation"},
    "demo": {"core", "vlm", "demo"},
    "serving": {"core", "vlm", "gallery", "hybrid", "trays", "serving"},
}
# What the notebooks call: it puts the rooms together, so it may import all, and no room imports it.
MAY_IMPORT["steps"] = {*MAY_IMPORT, "steps", "trays"}
# What the package itself hands out, for steps that use it as a user would.
PUBLIC = {"Detector", "Gallery", "Hybrid", "Recognizer", "Trays"}
# The one file of its room that reads torch's weights, for a net in Paddle, and only when it is
# asked.
SIMILARITY_WITH_TORCH = "torch_weights.py"
HEAVY = {
    "torch": {"vlm", "training", "estimate", "demo", "detection"},
    "transformers": {"vlm", "training", "estimate", "demo"},
    "paddle": {"similarity"},
    "onnx": {"detection"},
    "onnxruntime": {"detection"},
    "openai": {"endpoints"},
    "ipywidgets": {"review"},
    **dict.fromkeys(("fastapi", "starlette", "uvicorn", "prometheus_client"), {"serving"}),
}
DEMO_WITH_TORCH = {"base_model.py", "pretrain.py"}
# The files of the detection room that may name a heavy library: the net and its training, the file
# that writes ONNX, and the one that runs it.
DETECTION_FILES = {
    "torch": {"net.py", "training.py"},
    "onnx": {"export.py"},
    "onnxruntime": {"session.py"},
}
# What an estimate may know of the training: its settings, how it reads data and sets up a model,
# and where it leaves the plan. The trial is a short training, so it begins one.
TRAINING_FOR_ESTIMATE = {"config", "data", "photos", "model_setup", "device"}
TRAINING_FOR_TRIAL = {"config", "launch", "run", "callbacks", "outcome"}
FILES = sorted((paths.PROJECT_ROOT / "dishvl_lib").rglob("*.py"))


def imported(file):
    """Full names of everything a file imports, `from a import b` as a.b."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    "file", FILES, ids=lambda file: str(file.relative_to(paths.PROJECT_ROOT / "dishvl_lib"))
)
def test_imports_follow_the_law(file):
    parts = file.relative_to(paths.PROJECT_ROOT / "dishvl_lib").parts
    room = parts[0] if len(parts) > 1 else None
    for name in imported(file):
        head, *rest = name.split(".")
        if head == "dishvl_lib" and room and rest and rest[0] not in PUBLIC:
            assert rest[0] != "steps" or room == "steps", f"{file.name} of {room} imports {name}"
            assert rest[0] in MAY_IMPORT[room], f"{file.name} of {room} imports {name}"
        reads_weights = file.name == SIMILARITY_WITH_TORCH and room == "similarity"
        if room and head in HEAVY and not (reads_weights and head == "torch"):
            assert room in HEAVY[head], f"{file.name} of {room} imports {head}"
            assert (
                head not in ("torch", "transformers")
                or room != "demo"
                or file.name in DEMO_WITH_TORCH
            )


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.parent.name == "detection"], ids=lambda file: file.name
)
def test_each_heavy_library_of_the_detection_room_has_its_file(file):
    for name in imported(file):
        head = name.split(".")[0]
        if head in HEAVY:
            assert file.name in DETECTION_FILES[head], f"detection/{file.name} imports {name}"


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.parent.name == "estimate"], ids=lambda file: file.name
)
def test_an_estimate_knows_little_of_the_training(file):
    allowed = TRAINING_FOR_TRIAL if file.name == "trial.py" else TRAINING_FOR_ESTIMATE
    for name in imported(file):
        if name.startswith("dishvl_lib.training."):
            module = name.split(".")[2]
            assert module in allowed, f"estimate/{file.name} imports {name}"


def test_the_file_that_reads_torch_weights_loads_torch_when_it_is_asked():
    code = "import sys, dishvl_lib.similarity.torch_weights; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_training_process_loads_no_estimate():
    """What plans a training before it is paid for has no place in the process that trains."""
    code = (
        "import sys, dishvl_lib.training.launch, dishvl_lib.training.run; "
        "print([m for m in sys.modules if m.startswith('dishvl_lib.estimate')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_folder_is_a_known_room():
    assert {file.parent.name for file in FILES if file.parent.name != "dishvl_lib"} == set(
        MAY_IMPORT
    )


@pytest.mark.parametrize("module", ["dishvl_lib.cli", "dishvl_lib.detection.boxes"])
def test_importing_the_package_loads_nothing_heavy(module):
    models = ("torch", "transformers", "paddle", "onnx", "onnxruntime")
    services = ("openai", "fastapi", "uvicorn", "prometheus_client")
    names = models + services
    code = f"import sys, dishvl_lib, {module}; print([m for m in {names} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
