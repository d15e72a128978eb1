"""A notebook run in a real JupyterLab, cell by cell by its own menu, in headless Chromium. Skipped,
loudly, without one.
"""

import json

import labs
import pytest

from dishvl_lib.core import paths

ERRORS = ".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr'] >> text=Traceback"


@pytest.mark.parametrize("stage", paths.STAGES)
def test_a_notebook_runs_as_it_stands(lab, chromium, stage):
    """All five, in order, with the defaults of their parameters cells: the demo, cell by cell."""
    address, folder = lab
    page = labs.run_all(chromium, address, f"{stage}.ipynb")
    marker = folder / "outputs" / "demo" / stage / "_SUCCESS.json"
    labs.wait(lambda: marker.exists() or _tracebacks(page), 900)
    page.wait_for_timeout(1500)
    page.screenshot(path=str(folder / f"{stage}.png"))
    assert not _tracebacks(page), page.locator(ERRORS).first.inner_text()[-2000:]
    assert json.loads(marker.read_text("utf-8"))["counts"]
    page.close()


def _tracebacks(page):
    return page.locator(ERRORS).count()


PROGRESS = """
import time
from dishvl_lib.core.progress import Progress
with Progress("drawing", 8) as progress:
    for _ in range(8):
        time.sleep(0.5)
        progress.advance()
"""


def test_progress_is_one_line_that_changes(lab, chromium):
    address, folder = lab
    labs.write_notebook(folder, "progress.ipynb", PROGRESS)
    page = labs.run_all(chromium, address, "progress.ipynb")
    output = page.locator(".jp-OutputArea-output")
    seen = set()

    def is_done():
        text = output.first.inner_text() if output.count() else ""
        seen.add(text)
        return " in 4 s" in text

    labs.wait(is_done, 60)
    assert output.count() == 1
    assert output.inner_text().strip() == "drawing: 8 of 8 photos in 4 s"
    assert any("s left" in text for text in seen)
    page.close()


HEADER = """
from dishvl_lib.core import params, stage_header
values = {**params.defaults("03_dataset"), "menu_size": 7, "image_root": "<b>x</b>"}
stage_header.show("03_dataset", "03_dataset of run toy", values, {"python": "3.11"})
"""


def test_parameters_at_their_defaults_are_folded_away(lab, chromium):
    address, folder = lab
    labs.write_notebook(folder, "header.ipynb", HEADER)
    page = labs.run_all(chromium, address, "header.ipynb")
    page.wait_for_selector("details", timeout=60_000)
    assert page.locator("tr:visible", has_text="menu_size").count() == 1
    assert page.locator("tr:visible", has_text="shortcut_menus").count() == 0
    assert page.locator("td", has_text="<b>x</b>").count() == 2
    page.locator("summary").click()
    assert page.locator("tr:visible", has_text="shortcut_menus").count() == 1
    page.screenshot(path=str(folder / "header.png"))
    page.close()


REVIEW = """
import os
from pathlib import Path
import numpy as np
import pandas as pd
from PIL import Image
from dishvl_lib.review.name_review import NameReview
root = Path(os.environ["DISHVL_OUTPUTS"]) / "review"
for number, dish in enumerate("ab"):
    (root / dish).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((40, 40, 3), 90 + 80 * number, np.uint8)).save(root / dish / "1.png")
photos = pd.DataFrame(
    {"image_id": ["a1", "b1"], "path": ["a/1.png", "b/1.png"], "dish_id": ["a", "b"]}
)
dish = dict(name="红烧鱼", name_source="annotator", aliases=[], n_images=1, card=None)
dish |= dict(introduction="", recipe="", source=[], review="")
dishes = [dict(dish, dish_id=letter, folders=[f"f-{letter}"]) for letter in "ab"]
evidence = "both are called <img src=x onerror=window.hurt=1>"
columns = ["dish_id", "name", "suspicion", "other_dish", "evidence", "n_images"]
rows = pd.DataFrame([("a", "红烧鱼", "same_name", "b", evidence, "1")], columns=columns)
NameReview(rows, dishes, photos, root, root / "names.csv").show()
"""


def test_a_name_is_decided_with_the_keyboard_and_still_decided_after_a_reload(lab, chromium):
    address, folder = lab
    labs.write_notebook(folder, "review.ipynb", REVIEW)
    decided = folder / "outputs" / "review" / "names.csv"
    for visit, progress in enumerate(("0 of 1", "1 of 1")):
        page = labs.run_all(chromium, address, "review.ipynb")
        page.wait_for_selector(f'.dishvl:has-text("{progress}")', timeout=60_000)
        assert page.evaluate("window.hurt") is None
        if visit == 0:
            page.locator('button:has-text("keep apart")').focus()
            page.keyboard.press("Enter")
            labs.wait(decided.exists, 20)
            page.wait_for_selector('.dishvl:has-text("1 of 1")', timeout=20_000)
        page.screenshot(path=str(folder / f"review{visit}.png"))
        page.close()
    rows = decided.read_text("utf-8").splitlines()
    assert len(rows) == 2
    assert "f-a" in rows[1]
    assert "keep_apart" in rows[1]


def test_enter_in_a_field_renames_any_dish(lab, chromium):
    """Searched for in the folded part below the questions; leaving a field takes no name."""
    address, folder = lab
    labs.write_notebook(folder, "renaming.ipynb", REVIEW.replace('"review"', '"renaming"'))
    decided = folder / "outputs" / "renaming" / "names.csv"
    page = labs.run_all(chromium, address, "renaming.ipynb")
    page.wait_for_selector('.dishvl:has-text("0 of 1")', timeout=60_000)
    page.locator('text="rename any dish"').click()
    page.locator('input[placeholder="part of a name"]').fill("红")
    page.wait_for_timeout(1000)
    field = page.locator(".jupyter-widget-Accordion-child .widget-text input").nth(1)
    field.fill("清蒸鱼")
    field.press("Tab")
    page.wait_for_timeout(1000)
    assert not decided.exists()
    field.press("Enter")
    labs.wait(decided.exists, 20)
    page.screenshot(path=str(folder / "renaming.png"))
    page.close()
    assert "f-a,清蒸鱼,name" in decided.read_text("utf-8")
