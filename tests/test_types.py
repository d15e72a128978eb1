"""What is promised of the annotations: the package says that it has them, and few places are left
out of mypy's checks, each with its reason.
"""

import re
import tokenize
import tomllib

import pytest

from dishvl_lib.core import paths

PACKAGE = paths.PROJECT_ROOT / "dishvl_lib"
MOST_IGNORES = 20
WITH_CODE_AND_REASON = re.compile(r"# type: ignore\[[a-z-]+(, [a-z-]+)*\]  # \S")


def ignores(file):
    """The comments of a file that keep mypy from a line or from the whole file."""
    with open(file, "rb") as source:
        tokens = list(tokenize.tokenize(source.readline))
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return [comment for comment in comments if re.search(r"type:\s*ignore|mypy:", comment)]


def all_ignores():
    return [comment for file in sorted(PACKAGE.rglob("*.py")) for comment in ignores(file)]


def test_few_lines_are_left_out_of_the_checks_each_with_a_code_and_a_reason():
    comments = all_ignores()
    assert len(comments) <= MOST_IGNORES
    assert not [comment for comment in comments if not WITH_CODE_AND_REASON.match(comment)]


@pytest.mark.parametrize(
    ("line", "is_good"),
    [
        ("x = 1  # type: ignore[attr-defined]  # the stub lacks it", True),
        ("x = 1  # type: ignore[misc, arg-type]  # the stub lacks it", True),
        ("x = 1  # type: ignore[attr-defined]", False),
        ("x = 1  # type: ignore", False),
        ("x = 1  # type: ignore  # the stub lacks it", False),
        ("# mypy: ignore-errors", False),
    ],
)
def test_a_comment_without_code_or_reason_is_found(tmp_path, line, is_good):
    (tmp_path / "module.py").write_text(line + "\n", "utf-8")
    (comment,) = ignores(tmp_path / "module.py")
    assert bool(WITH_CODE_AND_REASON.match(comment)) == is_good


def test_the_checks_have_no_exceptions_for_modules():
    project = tomllib.loads((paths.PROJECT_ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["tool"]["mypy"] == {"ignore_missing_imports": True, "follow_imports": "silent"}


def test_a_wheel_says_that_it_has_annotations():
    project = tomllib.loads((paths.PROJECT_ROOT / "pyproject.toml").read_text("utf-8"))
    assert "py.typed" in project["tool"]["setuptools"]["package-data"]["dishvl_lib"]
    assert (PACKAGE / "py.typed").is_file()
