"""A stage's first words: what somebody chose stands in sight, everything else is folded away."""

import pytest

from dishvl_lib.core import kernel, params, stage_header

STAGE = "03_dataset"
EVIL = "<b>x</b>"
VERSIONS = {"python": "3.11.7", "torch": "2.13.0"}


@pytest.fixture
def values():
    return {**params.defaults(STAGE), "menu_size": 7, "image_root": EVIL}


@pytest.fixture
def shown(monkeypatch):
    """What a kernel is told to display."""
    contents = []
    monkeypatch.setattr(kernel, "in_notebook", lambda: True)
    monkeypatch.setattr(kernel, "show_forms", lambda forms: contents.append(forms["text/html"]))
    return contents


def test_without_a_notebook_what_differs_is_a_line_each(values, capsys):
    stage_header.show(STAGE, "03_dataset of run toy", values, VERSIONS)
    n = len(values)
    assert capsys.readouterr().out.splitlines() == [
        "03_dataset of run toy",
        f'  image_root = "{EVIL}"',
        "  menu_size = 7",
        f"{n - 2} of {n} parameters stand at their defaults; python 3.11.7, torch 2.13.0",
    ]


def test_in_jupyter_all_parameters_are_folded_away(values, shown, monkeypatch, capsys):
    monkeypatch.setenv(kernel.SESSION, "03_dataset.ipynb")
    stage_header.show(STAGE, "03_dataset of run toy", values, VERSIONS)
    (page,) = shown
    in_sight, folded = page.split("<details>")
    assert "<td>7</td><td>10</td>" in in_sight
    assert "shortcut_menus" not in in_sight
    assert "shortcut_menus" in folded
    assert capsys.readouterr().out == ""


def test_values_never_become_markup(values, shown, monkeypatch):
    monkeypatch.setenv(kernel.SESSION, "03_dataset.ipynb")
    stage_header.show(STAGE, f"in {EVIL}", values, VERSIONS)
    assert EVIL not in shown[0]


def test_a_batch_notebook_keeps_both(values, shown, monkeypatch, capsys):
    monkeypatch.delenv(kernel.SESSION, raising=False)
    stage_header.show(STAGE, "03_dataset of run toy", values, VERSIONS)
    assert "  menu_size = 7" in capsys.readouterr().out
    assert shown[0].startswith(f"<details><summary>{len(values)} parameters</summary>")
