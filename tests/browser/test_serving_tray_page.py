"""Whole trays on the till's page, on a wide screen and on a phone, with a detector of fixed boxes."""

import sys

import labs
import pytest

from dishvl_lib.core import paths

sys.path.insert(0, str(paths.PROJECT_ROOT / "tests"))
pytest.importorskip("paddle")
pytest.importorskip("onnxruntime")
import detection_toys
import serving_toys
import tray_toys

SIZE = (800, 600)
SHOWN = {"wide": {"width": 1400, "height": 1000}, "phone": {"width": 390, "height": 844}}
HURT = "<img src=x onerror=window.hurt=1>"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("till")


@pytest.fixture(scope="module")
def photo(home):
    """A tray whose dishes lie where the detector finds them."""
    boxes = [tuple(map(int, box)) for box in detection_toys.boxes_of(SIZE)]
    tray_toys.tray(size=SIZE, boxes=boxes).save(home / "tray.png")
    return str(home / "tray.png")


@pytest.fixture(scope="module")
def address(home):
    net = detection_toys.v10(SIZE)
    file = detection_toys.fake(home / "net.onnx", net, metadata=detection_toys.ULTRALYTICS)
    serving_toys.model_folder(home / "outputs" / "canteen")
    options = ["--detector", str(file), "--crop-margin", "1.0"]
    with serving_toys.command("canteen", *options, outputs=home / "outputs") as (at, _):
        yield at


@pytest.fixture(params=SHOWN)
def opened(chromium, address, request):
    """The page in English, asked for whole trays; `faults` is what its console complains about."""
    context = chromium.new_context(viewport=SHOWN[request.param], locale="en-GB")
    page = context.new_page()
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    page.goto(address)
    page.wait_for_selector("#trays:visible")
    page.fill("#menu", "\n".join(serving_toys.WRITTEN_MENU))
    page.check("#whole")
    page.faults = faults
    page.kind = request.param
    yield page
    assert page.evaluate("window.hurt") is None
    context.close()


def answered(page, photo):
    page.set_input_files("#file", photo)
    page.wait_for_selector("#dishes li, #problem:visible")


def drawn_boxes(page):
    """Where the boxes lie on the screen, as shares of the photo's width and height there."""
    return page.evaluate(
        """() => {
          const photo = document.getElementById("photo").getBoundingClientRect();
          const scale = Math.min(photo.width / 800, photo.height / 600);
          const left = photo.left + (photo.width - 800 * scale) / 2;
          const top = photo.top + (photo.height - 600 * scale) / 2;
          return [...document.querySelectorAll("#boxes rect")].map((rect) => {
            const { x, y, width, height } = rect.getBBox();
            const to = rect.getScreenCTM();
            return [
              (to.a * x + to.e - left) / (800 * scale),
              (to.d * y + to.f - top) / (600 * scale),
              (to.a * (x + width) + to.e - left) / (800 * scale),
              (to.d * (y + height) + to.f - top) / (600 * scale),
            ];
          });
        }"""
    )


def test_a_tray_has_its_dishes_drawn_and_listed(opened, photo, home):
    page = opened
    answered(page, photo)
    assert page.inner_text("#verdict") == "3 dishes"
    assert page.locator("#dishes li").count() == 3
    assert page.locator("#dishes .number").all_inner_texts() == ["1", "2", "3"]
    expected = detection_toys.SHARES[[2, 0, 1]].tolist()
    for box, share in zip(drawn_boxes(page), expected, strict=True):
        assert box == pytest.approx(share, abs=0.005)
    named = page.locator("#boxes text").all_text_contents()
    assert [name.split(" ")[0] for name in named] == ["1", "2", "3"]
    assert page.is_hidden("#wrong"), "a correction is of a photo of one dish"
    assert "not known" in page.inner_text("#remark"), "the margin was given and is not proved"
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    page.screenshot(path=str(home / f"tray_{page.kind}.png"), full_page=True)
    assert not page.faults


def test_a_photo_of_one_dish_is_asked_as_before_and_back(opened, photo):
    page = opened
    answered(page, photo)
    page.uncheck("#whole")
    page.set_input_files("#file", photo)
    page.wait_for_selector("#bars li")
    assert page.locator("#dishes li").count() == 0
    assert page.locator("#boxes rect").count() == 0
    assert page.is_visible("#wrong")
    page.click("#recent li >> nth=1 >> button")
    assert page.locator("#boxes rect").count() == 3
    assert page.locator("#bars li").count() == 0


def test_the_switch_is_kept(opened):
    page = opened
    page.reload()
    page.wait_for_selector("#trays:visible")
    assert page.is_checked("#whole")


def test_a_tray_without_a_menu_is_said(opened, photo):
    page = opened
    page.fill("#menu", "")
    answered(page, photo)
    assert "write today's menu first" in page.inner_text("#problem")


def _choice(answer, entries):
    listed = [{"entry": name, "name": name, "probability": share} for name, share in entries]
    return {
        "answer": answer,
        "on_menu": 0.1,
        "threshold": 0.5,
        "remark": "",
        "entries": listed,
    }


def test_what_is_to_be_looked_at_is_said(opened, photo, home):
    page = opened
    doubtful = _choice(None, [(HURT, 0.61), ("米饭", 0.3), ("番茄炒蛋", 0.09)])
    sure = _choice("红烧鱼", [("红烧鱼", 0.99), ("米饭", 0.01)])
    dishes = [
        {"box": [10, 60, 300, 330], "score": 0.9, "choice": sure, "review": []},
        {
            "box": [420, 200, 790, 560],
            "score": 0.8,
            "choice": doubtful,
            "review": ["not on the menu", "overlaps another dish"],
        },
    ]
    tray = {
        "dishes": dishes,
        "review": ["dish 2: not on the menu", "dish 2: overlaps another dish"],
        "size": list(SIZE),
        "margin_is_proved": True,
    }
    answer = {"request_id": "r", "name": None, "choice": None, "site": None, "seconds": 0.1}
    page.route("**/v1/recognise", lambda route: route.fulfill(json={**answer, "tray": tray}))
    answered(page, photo)
    why = page.inner_text("#dishes .why")
    assert why.startswith("not on the menu; overlaps another dish (or else 米饭 30.0%")
    assert page.locator("#dishes .why").count() == 1
    assert page.locator("#boxes .review").count() == 1
    assert page.inner_text("#dishes .entry >> nth=1") == HURT
    assert page.inner_text("#remark") == ""
    page.screenshot(path=str(home / f"review_{page.kind}.png"), full_page=True)
    page.click("#language")
    assert page.inner_text("#verdict") == "2 道菜"
    assert page.inner_text("#dishes .why").startswith("不在菜单上; 与另一道菜重叠")
    assert not page.faults


def test_where_nothing_is_found_that_is_said(opened, photo):
    page = opened
    sentence = "no dish found: the best box has a score of 0.10, the threshold is 0.25"
    tray = {"dishes": [], "review": [sentence], "size": list(SIZE), "margin_is_proved": True}
    answer = {"request_id": "r", "name": None, "choice": None, "site": None, "seconds": 0.1}
    page.route("**/v1/recognise", lambda route: route.fulfill(json={**answer, "tray": tray}))
    page.set_input_files("#file", photo)
    labs.wait(lambda: page.inner_text("#verdict") == "No dish found", 20)
    assert page.inner_text("#remark") == sentence
    assert "absent" in page.get_attribute("#verdict", "class")
