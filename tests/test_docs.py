"""The pages: links lead somewhere, both languages have the same pages, the README stays short."""

import re

import pytest

from dishvl_lib.core import params, paths

ROOT = paths.PROJECT_ROOT
ENGLISH = sorted((ROOT / "docs").glob("*.md"))
CHINESE = sorted((ROOT / "docs" / "zh-CN").glob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *ENGLISH, *CHINESE]
HELD_BY_FIGURES = re.compile(r"<!-- figures -->\n.+?\n<!-- /figures -->", re.DOTALL)


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), f"{page.name} links to {link}"


def test_both_languages_have_the_same_pages():
    assert [page.name for page in ENGLISH] == [page.name for page in CHINESE]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= 900


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_figures_stand_in_a_block_of_their_own(name):
    assert HELD_BY_FIGURES.search((ROOT / name).read_text("utf-8"))


@pytest.mark.parametrize(
    "page", [*ENGLISH, *CHINESE], ids=lambda page: f"{page.parent.name}/{page.name}"
)
def test_parameters_that_are_set_in_the_pages_exist(page):
    """`key: value` in backticks, where the key looks like a parameter of ours."""
    declared = {name for stage in paths.ALL_STAGES for name in params.of_stage(stage)}
    fields = {field.name for field in (*params.PREDICTOR_FIELDS, *params.SITE_FIELDS)}
    keys = re.findall(r"`([a-z][a-z0-9_]+): [^`]+`", page.read_text("utf-8"))
    assert set(keys) <= declared | fields | {"base"}
