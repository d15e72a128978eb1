"""Templates escape what they are given, pages forbid what is not theirs, and a wheel holds all of
both.
"""

import base64
import hashlib
import re
import tomllib

import jinja2
import pytest
from display_toys import EVIL

from dishvl_lib.core import paths
from dishvl_lib.display import pages

FOLDER = paths.PROJECT_ROOT / "dishvl_lib" / "display"
TEMPLATES = sorted(FOLDER.glob("templates/*"))
OUTSIDE = re.compile(r'https?:|url\(|@import|src="(?!\{\{)|src=[^"]')


def test_data_is_escaped_in_text_and_attributes_and_html_of_a_template_is_not():
    inner = pages.snippet("<b title='{{ text }}'>{{ text }}</b>", text=f"{EVIL}'\"")
    assert "<img" not in inner
    assert inner.count("&#39;&#34;") == 2
    assert pages.snippet("{{ html }}", html=inner) == inner


def test_what_is_missing_is_blank_and_what_was_forgotten_is_an_error():
    assert pages.snippet("[{{ a }}{{ b }}{{ c }}]", a=None, b=float("nan"), c=0) == "[0]"
    with pytest.raises(jinja2.UndefinedError, match="forgotten"):
        pages.snippet("{{ forgotten }}")


def test_a_page_lets_only_its_own_script_run():
    digest = base64.b64encode(hashlib.sha256(b"let a = 1;").digest()).decode("ascii")
    assert pages.policy("let a = 1;") == f"{pages.POLICY}; script-src 'sha256-{digest}'"
    assert pages.policy("") == pages.POLICY
    assert pages.POLICY.startswith("default-src 'none'; ")


@pytest.mark.parametrize(
    "file", [*TEMPLATES, *sorted(FOLDER.glob("static/*"))], ids=lambda file: file.name
)
def test_no_template_style_or_script_names_anything_outside(file):
    assert not OUTSIDE.search(file.read_text("utf-8"))


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_no_template_switches_escaping_off(file):
    text = file.read_text("utf-8")
    assert "|safe" not in text.replace(" ", "")
    assert "autoescape" not in text


def test_pictures_go_into_pages_as_what_they_are():
    assert pages.data_source(b"\xff\xd8\xff").startswith("data:image/jpeg;base64,")
    assert pages.data_source(b"\x89PNG").startswith("data:image/png;base64,")


def test_all_that_is_not_code_is_package_data():
    """A wheel holds what pyproject.toml names: font, licence, templates, style sheets, scripts."""
    project = tomllib.loads((paths.PROJECT_ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["dishvl_lib.display"]
    there = {file for file in FOLDER.rglob("*.*") if file.suffix not in (".py", ".pyc")}
    packed = set()
    for pattern in patterns:
        packed.update(FOLDER.glob(pattern))
    assert FOLDER / "OFL.txt" in there
    assert packed == there
