"""The notebooks keep their form: a budget of code, no outputs, one parameters cell, no
definitions.
"""

import ast
import json
import re

import pytest

from dishvl_lib.core import paths

CHINESE = re.compile("[\u4e00-\u9fff]")
CODE = re.compile("`[^`]+`")


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


@pytest.mark.parametrize("stage", paths.ALL_STAGES)
def test_budget(stage):
    """What the eye meets, outside the parameters cell."""
    code = [cell for cell in cells(stage, "code") if not is_parameters(cell)]
    lines = [line for cell in code for line in code_lines(cell)]
    statements = [len(ast.parse("".join(cell["source"])).body) for cell in code]
    assert len(code) + 1 <= 16
    assert sum(len(line.strip()) for line in lines) <= 3500
    assert max(map(len, lines)) <= 100
    assert max(statements) <= 12


@pytest.mark.parametrize("stage", paths.ALL_STAGES)
def test_nothing_is_stored_and_nothing_is_defined(stage):
    for cell in cells(stage, "code"):
        assert not cell["outputs"]
        assert cell["execution_count"] is None
        assert not any(
            isinstance(node, ast.FunctionDef | ast.ClassDef)
            for node in ast.walk(ast.parse("".join(cell["source"])))
        )


@pytest.mark.parametrize("stage", paths.ALL_STAGES)
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
    assert any("show_figure(" in "".join(cell["source"]) for cell in code)


@pytest.mark.parametrize("stage", paths.ALL_STAGES)
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


def blocks(cell):
    """The paragraphs, list items and table rows of a markdown cell, without its headings."""
    lines = "".join(cell["source"]).splitlines()
    said = [line for line in lines if line.strip() and not line.startswith(("#", "|--", "| | |"))]
    return [line for line in said if CHINESE.search(line) or re.search("[a-z]", line)]


def headings(cell):
    return [line for line in "".join(cell["source"]).splitlines() if line.startswith("#")]


@pytest.mark.parametrize("stage", paths.ALL_STAGES)
def test_every_heading_is_in_both_languages(stage):
    for cell in cells(stage, "markdown"):
        for heading in headings(cell):
            english, _, chinese = heading.partition(" / ")
            assert not CHINESE.search(english), heading
            assert CHINESE.search(chinese), heading


def both_languages(cell):
    """The English blocks of a cell and the Chinese ones, each in order."""
    english = [block for block in blocks(cell) if not CHINESE.search(block)]
    chinese = [block for block in blocks(cell) if CHINESE.search(block)]
    return english, chinese


@pytest.mark.parametrize("stage", paths.ALL_STAGES)
def test_every_paragraph_has_its_chinese_one(stage):
    for cell in cells(stage, "markdown"):
        english, chinese = both_languages(cell)
        assert len(english) == len(chinese), cell["source"]


@pytest.mark.parametrize("stage", paths.ALL_STAGES)
def test_both_languages_name_the_same_files_and_parameters(stage):
    for cell in cells(stage, "markdown"):
        english, chinese = both_languages(cell)
        for block, other in zip(english, chinese, strict=True):
            assert sorted(CODE.findall(block)) == sorted(CODE.findall(other)), other


@pytest.mark.parametrize("stage", paths.ALL_STAGES)
def test_no_chinese_paragraph_is_a_stub(stage):
    """A Chinese text has about a third as many characters as the English one."""
    for cell in cells(stage, "markdown"):
        english, chinese = both_languages(cell)
        for block, other in zip(english, chinese, strict=True):
            assert 0.2 < len(other) / len(block) < 1.1, other


@pytest.mark.parametrize("stage", paths.ALL_STAGES)
def test_no_table_is_shown_as_pandas_shows_it(stage):
    """`display` is for widgets; `tables.show` says a sentence where there are no rows."""
    for cell in cells(stage, "code"):
        source = "".join(cell["source"])
        assert source.count("display(") == source.count(".show())"), source
