"""The notebooks keep their form: a budget of code, no outputs, one parameters cell, no
definitions.
"""

import ast
import json
import re

import pytest

from dishvl_lib.core import paths


def cells(stage, kind):
    return [
        cell
        for cell in json.loads(paths.notebook(stage).read_text("utf-8"))["cells"]
        if cell["cell_type"] == kind
    ]


def code_lines(cell):
    return [line for line in "".join(cell["source"]).splitlines() if line.strip()]


def is_parameters(cell):
    return "parameters" in cell["metadata"].get("tags", [])


@pytest.mark.parametrize("stage", paths.STAGES)
def test_budget(stage):
    """What the eye meets, outside the parameters cell."""
    code = [cell for cell in cells(stage, "code") if not is_parameters(cell)]
    lines = [line for cell in code for line in code_lines(cell)]
    statements = [len(ast.parse("".join(cell["source"])).body) for cell in code]
    assert len(code) + 1 <= 16
    assert sum(len(line.strip()) for line in lines) <= 3500
    assert max(map(len, lines)) <= 100
    assert max(statements) <= 12


@pytest.mark.parametrize("stage", paths.STAGES)
def test_nothing_is_stored_and_nothing_is_defined(stage):
    for cell in cells(stage, "code"):
        assert not cell["outputs"]
        assert cell["execution_count"] is None
        assert not any(
            isinstance(node, ast.FunctionDef | ast.ClassDef)
            for node in ast.walk(ast.parse("".join(cell["source"])))
        )


@pytest.mark.parametrize("stage", paths.STAGES)
def test_shape(stage):
    code = cells(stage, "code")
    text = cells(stage, "markdown")
    assert [is_parameters(cell) for cell in code] == [True] + [False] * (len(code) - 1)
    opening = "".join(text[0]["source"])
    assert all(word in opening for word in ("Reads", "Writes", "Needs"))
    assert re.search("[\u4e00-\u9fff]", opening)
    assert any("What to look at" in "".join(cell["source"]) for cell in text)
    assert f'stages.start("{stage}", globals())' in "".join(code[1]["source"])
    assert "stage.finish(" in "".join(code[-1]["source"])
    assert any("assert " in "".join(cell["source"]) for cell in code)
    assert any("save_figure(" in "".join(cell["source"]) for cell in code)


@pytest.mark.parametrize("stage", paths.STAGES)
def test_every_check_says_what_failed(stage):
    """A check that fails is the last thing a user reads of a run: it carries a sentence."""
    checks = [
        node
        for cell in cells(stage, "code")
        for node in ast.walk(ast.parse("".join(cell["source"])))
        if isinstance(node, ast.Assert)
    ]
    assert checks
    assert all(check.msg is not None for check in checks)
