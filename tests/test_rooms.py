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
    "dataset": {"core", "dataset"},
    "display": {"core", "display"},
    "annotation": {"core", "endpoints", "annotation"},
    "vlm": {"core", "vlm"},
    "training": {"core", "vlm", "training"},
    "evaluation": {"core", "vlm", "endpoints", "evaluation"},
    "demo": {"core", "vlm", "demo"},
}
# What the notebooks call: it puts the rooms together, so it may import all, and no room imports it.
MAY_IMPORT["steps"] = {*MAY_IMPORT, "steps"}
HEAVY = {
    "torch": {"vlm", "training", "demo"},
    "transformers": {"vlm", "training", "demo"},
    "paddle": {"similarity"},
    "openai": {"endpoints"},
}
DEMO_WITH_TORCH = {"base_model.py", "pretrain.py"}
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
        if head == "dishvl_lib" and room and rest and rest[0] != "Recognizer":
            assert rest[0] != "steps" or room == "steps", f"{file.name} of {room} imports {name}"
            assert rest[0] in MAY_IMPORT[room], f"{file.name} of {room} imports {name}"
        if room and head in HEAVY:
            assert room in HEAVY[head], f"{file.name} of {room} imports {head}"
            assert (
                head not in ("torch", "transformers")
                or room != "demo"
                or file.name in DEMO_WITH_TORCH
            )


def test_every_folder_is_a_known_room():
    assert {file.parent.name for file in FILES if file.parent.name != "dishvl_lib"} == set(
        MAY_IMPORT
    )


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, dishvl_lib, dishvl_lib.cli; print([m for m in ('torch', 'transformers', "
        "'paddle', 'openai') if m in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
