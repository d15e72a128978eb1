"""The confusion browser in a real JupyterLab, and the report from a file, in headless Chromium."""

import csv
from pathlib import Path

import labs
import pandas as pd
import pytest

TOYS = Path(__file__).parents[1]
HURT = "<img src=x onerror=window.hurt=1>"
BROWSER = f"""
import os, sys
from pathlib import Path
import numpy as np
import pandas as pd
sys.path.insert(0, {str(TOYS)!r})
import display_toys
from dishvl_lib.review.confusion_browser import ConfusionBrowser

def hurt(value):
    if not isinstance(value, str):
        return value
    return value.replace("alert(1)", "window.hurt=1").replace("alert(2)", "window.hurt=2")

root = Path(os.environ["DISHVL_OUTPUTS"]) / "confusions"
root.mkdir(parents=True, exist_ok=True)
names = {{dish: hurt(name) for dish, name in display_toys.NAMES.items()}}
photos = display_toys.catalog(root)
said = display_toys.predictions().map(hurt).assign(site="north " + hurt(display_toys.EVIL))
clusters = pd.DataFrame(
    {{"dish_id": ["d1", "d2", "d3"], "cluster": [1, 1, 2], "size": [2, 2, 1]}}
)
image_ids = photos["image_id"].to_numpy(str)
features = {{"image_id": image_ids, "feature": np.eye(len(photos), dtype=np.float32)}}
ConfusionBrowser(
    said,
    photos,
    names,
    root,
    display_toys.SIMILAR,
    root / "photos.csv",
    clusters=clusters,
    features=features,
).show()
"""


def marks(folder):
    file = folder / "outputs" / "confusions" / "photos.csv"
    return (
        list(csv.DictReader(file.open(encoding="utf-8-sig", newline=""))) if file.exists() else []
    )


def opened(chromium, address):
    page = labs.run_all(chromium, address, "confusions.ipynb")
    page.wait_for_selector(".dishvl-pairs button", timeout=60_000)
    return page


def test_a_photo_is_marked_by_a_click_and_by_keys_and_the_marks_are_there_after_a_reload(
    lab, chromium
):
    address, folder = lab
    labs.write_notebook(folder, "confusions.ipynb", BROWSER)
    page = opened(chromium, address)
    page.locator(".dishvl-pairs button").first.click()
    page.locator(".dishvl-marks").first.wait_for()
    page.locator('.dishvl-marks button:has-text("real confusion")').first.click()
    labs.wait(lambda: len(marks(folder)) == 1, 20)
    page.locator(".dishvl-marks .card > img").nth(1).click()
    page.keyboard.press("2")
    labs.wait(lambda: len(marks(folder)) == 2, 20)
    assert page.locator(".jp-CodeCell").count() == 1, "JupyterLab took the key itself"
    page.screenshot(path=str(folder / "marked.png"))
    page.close()
    page = opened(chromium, address)
    page.locator(".dishvl-pairs button").first.focus()
    page.keyboard.press("Enter")
    page.locator(".dishvl-marks").nth(1).wait_for()
    assert [page.locator(".dishvl-marks .badge").nth(place).inner_text() for place in (0, 1)] == [
        "✓ marked: real confusion",
        "✓ marked: photo bad",
    ]
    assert [(row["image_id"], row["decision"]) for row in marks(folder)] == [
        ("d1-0", "real confusion"),
        ("d1-1", "photo bad"),
    ]
    assert page.evaluate("window.hurt") is None
    page.close()


def test_arrows_walk_a_note_keeps_its_digits_and_a_count_of_the_matrix_chooses_its_pairs(
    lab, chromium
):
    address, folder = lab
    labs.write_notebook(folder, "confusions.ipynb", BROWSER)
    page = opened(chromium, address)
    before = len(marks(folder))
    page.locator(".dishvl-pairs button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator(".dishvl-marks").first.wait_for()
    page.locator(".dishvl-marks input").first.click()
    page.keyboard.type("123")
    assert page.locator(".dishvl-marks input").first.input_value() == "123"
    assert len(marks(folder)) == before
    page.locator(".jp-Collapse-header, .jupyter-widget-Collapse-header").first.click()
    counts = [
        page.locator(f'button[title^="1: "][title*="→ {column}: "]').bounding_box()
        for column in (1, 2)
    ]
    assert counts[0]["y"] == counts[1]["y"], "the counts of one row do not stand in it"
    assert counts[0]["x"] < counts[1]["x"], "the counts of one row do not stand in it"
    page.locator('button[title^="1: "][title*="→ 2: "]').click()
    page.wait_for_selector('.dishvl:has-text("wrong: 1 / 4")', timeout=20_000)
    # the summary is there before the grid is drawn
    labs.wait(lambda: page.locator(".dishvl-pairs button").count() == 1, 20)
    page.locator('button:has-text("show all")').click()
    page.wait_for_selector('.dishvl:has-text("wrong: 5 / 7")', timeout=20_000)
    page.locator('button[title^="1: "][title*="→ 2: "]').focus()
    page.keyboard.press("Enter")
    page.wait_for_selector('.dishvl:has-text("wrong: 1 / 4")', timeout=20_000)
    for shown in page.locator(".dishvl-browser").all():
        shown.screenshot(path=str(folder / "matrix.png"))
    assert page.evaluate("window.hurt") is None
    page.close()


def test_a_press_on_photos_opens_a_pair_and_chooses_the_right_dish_which_4_writes(lab, chromium):
    address, folder = lab
    labs.write_notebook(folder, "confusions.ipynb", BROWSER)
    page = opened(chromium, address)
    before = len(marks(folder))
    page.locator(".dishvl-pair .cell img").first.click()
    card = page.locator(".dishvl-marks").first
    card.wait_for()
    other_dish = card.locator('button:has-text("4 other dish")')
    assert other_dish.inner_text() == "4 other dish: 红烧鱼块"
    search = card.locator('input[placeholder="part of a name"]')
    search.fill("FRAC")
    labs.wait(lambda: "frac" in other_dish.inner_text(), 20)
    search.press("4")
    assert search.input_value() == "FRAC4"
    assert len(marks(folder)) == before
    card.locator('.near button[data-dish="d2"]').first.click()
    labs.wait(lambda: other_dish.inner_text() == "4 other dish: 红烧鱼块", 20)
    assert search.input_value() == ""
    card.locator(".card > img").click()
    page.keyboard.press("4")
    labs.wait(lambda: len(marks(folder)) == before + 1, 20)
    assert marks(folder)[-1]["right_dish"] == "d2"
    card.locator('button:has-text("take back")').click()
    labs.wait(lambda: len(marks(folder)) == before + 2, 20)
    page.screenshot(path=str(folder / "right_dish.png"))
    assert page.evaluate("window.hurt") is None
    page.close()


SUSPECTS = (
    BROWSER.partition("said =")[0]
    + """
from dishvl_lib.review.suspect_review import SuspectReview

rows = [("d1-1", "d1/1.png", "d1", "d2", 5, 5), ("d3-2", "d3/2.png", "d3", "d1", 3, 5)]
columns = ["image_id", "path", "dish_id", "looks_like", "votes", "of"]
image_ids = photos["image_id"].to_numpy(str)
features = {"image_id": image_ids, "feature": np.eye(len(photos), dtype=np.float32)}
SuspectReview(
    pd.DataFrame(rows, columns=columns),
    photos,
    names,
    root,
    root / "suspects.csv",
    features=features,
).show()
"""
)


def test_a_suspect_is_opened_by_its_photo_and_decided_by_a_key(lab, chromium):
    address, folder = lab
    labs.write_notebook(folder, "suspects.ipynb", SUSPECTS)
    page = labs.run_all(chromium, address, "suspects.ipynb")
    page.wait_for_selector(".dishvl-pairs button", timeout=60_000)
    page.locator(".dishvl-pair .cell img").first.click()
    page.locator(".dishvl-marks").first.wait_for()
    page.locator(".dishvl-marks .card > img").click()
    page.keyboard.press("4")
    file = folder / "outputs" / "confusions" / "suspects.csv"
    labs.wait(file.exists, 20)
    page.wait_for_selector('.dishvl-pairs button:has-text("✓")', timeout=20_000)
    (row,) = csv.DictReader(file.open(encoding="utf-8-sig", newline=""))
    assert (row["image_id"], row["decision"], row["right_dish"]) == ("d1-1", "other dish", "d2")
    page.locator('.dishvl-marks:has-text("d3/2.png")').wait_for()
    page.wait_for_selector(".dishvl-marks:focus", timeout=20_000)
    page.keyboard.press("2")
    page.wait_for_selector('.dishvl:has-text("decided: 2")', timeout=20_000)
    assert page.locator(".jp-CodeCell").count() == 1, "JupyterLab took the key itself"
    page.screenshot(path=str(folder / "suspects.png"))
    assert page.evaluate("window.hurt") is None
    page.close()


@pytest.fixture
def report(tmp_path):
    """The report on the toys whose dish, site and title are hostile."""
    from display_toys import NAMES, SIMILAR, catalog, predictions

    from dishvl_lib.display import report

    names = {dish: name.replace("alert(1)", "window.hurt=1") for dish, name in NAMES.items()}
    rows = predictions().map(
        lambda value: value.replace("alert(", "window.hurt=(") if isinstance(value, str) else value
    )
    rows = rows.assign(
        truth=rows["dish_id"].map(names),
        site=rows["image_id"].map(lambda photo: HURT if photo.endswith("0") else "south"),
    )
    clusters = pd.DataFrame(
        {"dish_id": ["d1", "d2", "d3"], "cluster": [1, 1, 2], "size": [2, 2, 1]}
    )
    return report.report(
        tmp_path / "r.html",
        title=HURT,
        predictions=rows,
        photos=catalog(tmp_path),
        names=names,
        image_root=tmp_path,
        clusters=clusters,
        similar=SIMILAR,
    )


def shown(page):
    return [
        row.inner_text().split("\t")[-3:-1] for row in page.locator("#pairs tbody tr:visible").all()
    ]


def test_the_report_filters_from_a_file_without_a_network_and_runs_nothing_else(report, chromium):
    page = chromium.new_page(viewport={"width": 1300, "height": 1000})
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on(
        "request",
        lambda request: (
            complaints.append(request.url)
            if not request.url.startswith(("file:", "data:"))
            else None
        ),
    )
    page.goto(report.as_uri())
    assert shown(page)[0] == ["2 / 3", "66.7%"]
    assert page.inner_text("#state") == "4 / 4"
    page.select_option("#site", label=HURT)
    assert shown(page)[0] == ["1 / 1", "100.0%"]
    page.click("#clear")
    page.fill("#dish", "红烧鱼块")
    assert len(shown(page)) == 1
    page.click("#clear")
    page.click(".matrix button >> nth=0")
    assert shown(page) == [["2 / 3", "66.7%"]]
    assert page.locator("#cluster").input_value() == "1"
    page.select_option("#predictor", label="base")
    assert len(shown(page)) == 1
    assert not complaints
    assert page.evaluate("window.hurt") is None
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=data:, onerror=window.hurt=1>')"
    )
    page.wait_for_timeout(300)
    assert page.evaluate("window.hurt") is None, "the page's policy lets other scripts run"


@pytest.fixture
def whole_report(tmp_path):
    """A report with every kind of part, as wide as they get."""
    from display_toys import NAMES, SIMILAR, catalog, predictions

    from dishvl_lib.display import figures, report
    from dishvl_lib.evaluation import metrics

    rows = predictions().assign(site="north", menu=None)
    table = metrics.accuracy_table(rows)
    drawn = {language: figures.accuracy_bars(table, language=language) for language in ("en", "zh")}
    wide = {f"a column with a long name {number}": [1.0] for number in range(20)}
    return report.report(
        tmp_path / "r.html",
        title="DishVL: a-run-with-a-name-that-is-long-and-has-no-spaces-to-break-it-at",
        table=table,
        comparison=metrics.compare(rows),
        predictions=rows,
        photos=catalog(tmp_path),
        names=NAMES,
        image_root=tmp_path,
        clusters=pd.DataFrame({"dish_id": ["d1", "d2"], "cluster": [1, 1], "size": [2, 2]}),
        similar=SIMILAR,
        figures={"accuracy by predictor": drawn},
        tables={"calibration": pd.DataFrame(wide)},
        notes={"en": ["names from folders"], "zh": ["菜名来自文件夹"]},
        facts={"en": {"trained": "x" * 90}, "zh": {"trained": "x" * 90}},
        parameters={"image_root": "photos" * 30},
        command="dishvl run './profile' --set 'run_name=" + "x" * 90 + "'",
    )


WIDER = """() => [...document.querySelectorAll("body *")]
  .filter((element) => !element.closest(".scroll") && element.offsetParent)
  .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
  .map((element) => element.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("width", [390, 1400])
def test_the_report_needs_no_sideways_scrolling(whole_report, chromium, tmp_path, width):
    page = chromium.new_page(viewport={"width": width, "height": 844})
    page.goto(whole_report.as_uri())
    page.screenshot(path=str(tmp_path / f"{width}.png"), full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(WIDER) == []
    page.close()


def test_the_table_fits_1100_pixels(whole_report, chromium):
    page = chromium.new_page(viewport={"width": 1400, "height": 900})
    page.goto(whole_report.as_uri())
    box = page.locator("#accuracy table").first.bounding_box()
    assert box["width"] <= 1100
    inside = "document.querySelector('#accuracy .scroll')"
    assert page.evaluate(f"{inside}.scrollWidth - {inside}.clientWidth") == 0
    page.close()


def test_the_language_is_switched_inside_the_page(whole_report, chromium):
    page = chromium.new_page(viewport={"width": 1400, "height": 900})
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(whole_report.as_uri())
    heading = page.locator("#accuracy h2")
    field = page.locator("#dish")
    images = page.locator("img.figure:visible")
    assert heading.inner_text().lower() == "accuracy"
    assert page.locator(".languages button[aria-pressed=true]").inner_text() == "English"
    page.click("text=中文")
    assert heading.inner_text() == "准确率"
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    assert field.get_attribute("placeholder") == "菜名的一部分"
    assert page.locator("#site option").first.inner_text() == "全部"
    assert page.locator(".notes li").inner_text() == "菜名来自文件夹"
    assert images.count() == 1
    page.click("text=English")
    assert heading.inner_text().lower() == "accuracy"
    assert field.get_attribute("placeholder") == "part of a name"
    assert images.count() == 1
    assert not complaints
    page.close()


def test_filters_go_on_working_in_the_other_language(whole_report, chromium):
    page = chromium.new_page(viewport={"width": 1400, "height": 900})
    page.goto(whole_report.as_uri())
    page.click("text=中文")
    before = page.locator("#pairs tbody tr:visible").count()
    page.fill("#dish", "红烧鱼块")
    assert 0 < page.locator("#pairs tbody tr:visible").count() < before
    page.close()
