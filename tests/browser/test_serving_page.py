"""The till's page in Chromium, on a wide screen and on a phone, with a service of its own."""

import sys

import labs
import pytest

from dishvl_lib.core import paths

sys.path.insert(0, str(paths.PROJECT_ROOT / "tests"))
pytest.importorskip("paddle")
import serving_toys
from gallery_toys import striped

TOKEN = "a-token-of-the-test"
WIDE = {"width": 1400, "height": 1000}
PHONE = {"width": 390, "height": 844}
HURT = "<img src=x onerror=window.hurt=1>"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("till")


@pytest.fixture(scope="module")
def photos(home):
    """Files of photos: of three dishes of the gallery, and one that is no photo."""
    files = []
    for dish in range(3):
        striped(dish, 50).resize((720, 560)).save(home / f"{dish}.jpg", quality=95)
        files.append(str(home / f"{dish}.jpg"))
    (home / "text.jpg").write_text("no photo", "utf-8")
    return [*files, str(home / "text.jpg")]


@pytest.fixture(scope="module")
def address(home):
    """A service without a token; its outputs lie in `home`."""
    serving_toys.model_folder(home / "outputs" / "canteen")
    with serving_toys.command("canteen", outputs=home / "outputs") as (at, _):
        yield at


@pytest.fixture
def opened(chromium, address, request):
    """A page of the service, in English; what it complains about in its console fails the test."""
    size = getattr(request, "param", WIDE)
    context = chromium.new_context(viewport=size, locale="en-GB")
    page = context.new_page()
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    asked = []
    page.on("request", lambda sent: asked.append(sent.url))
    page.goto(address)
    page.wait_for_selector("#state:not(:empty)")
    page.faults = faults
    yield page
    assert all(url.startswith((address, "blob:", "data:")) for url in asked)
    assert page.evaluate("window.hurt") is None
    context.close()


def until(page, expression):
    """Waits by asking again and again: the page's policy lets nobody evaluate text inside it."""
    labs.wait(lambda: page.evaluate(expression), 20)


def save_menu(page, site, entries):
    page.fill("#site", site)
    page.locator("#site").blur()
    page.fill("#menu", "\n".join(entries))
    page.click("#save")
    until(page, "document.getElementById('state').textContent.startsWith('saved')")


def answered(page, photo, camera=False):
    page.set_input_files("#camera" if camera else "#file", photo)
    page.wait_for_selector("#bars li, #problem:visible")


def fits(page):
    """Whether nothing reaches beyond the screen's side."""
    width = page.evaluate("document.documentElement.scrollWidth")
    return width <= page.viewport_size["width"]


@pytest.mark.parametrize("opened", [WIDE, PHONE], indirect=True, ids=["wide", "phone"])
def test_a_menu_is_saved_and_a_photo_is_answered_from_it(opened, photos, home):
    page = opened
    save_menu(page, "north", serving_toys.WRITTEN_MENU)
    answered(page, photos[1], camera=True)
    assert page.inner_text("#verdict") == "2. 米饭 1元"
    assert page.locator("#bars li").count() == 3
    assert page.evaluate("document.getElementById('photo').naturalWidth") == 720
    assert page.locator("#recent li").count() == 1
    assert fits(page)
    page.screenshot(path=str(home / f"answer_{page.viewport_size['width']}.png"), full_page=True)
    page.reload()
    page.wait_for_selector("#state:not(:empty)")
    until(page, "document.getElementById('menu').value.includes('米饭')")
    assert page.input_value("#menu") == "\n".join(serving_toys.WRITTEN_MENU)
    assert page.locator("#recent li").count() == 0, "photos are in the page's memory only"
    assert not page.faults


@pytest.mark.parametrize("opened", [WIDE, PHONE], indirect=True, ids=["wide", "phone"])
def test_it_speaks_chinese_and_english(opened, home):
    page = opened
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.inner_text("h2 >> nth=0") == "Today's menu"
    page.click("#language")
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    assert page.inner_text("h2 >> nth=0") == "今日菜单"
    missing = page.evaluate(
        "[...document.querySelectorAll('[data-word]')].filter(e => !e.textContent"
        " || e.textContent === e.dataset.word).length"
    )
    assert missing == 0
    assert fits(page)
    page.screenshot(path=str(home / f"zh_{page.viewport_size['width']}.png"), full_page=True)
    page.reload()
    assert page.inner_text("h2 >> nth=0") == "今日菜单", "the language is kept"


@pytest.mark.parametrize("opened", [WIDE, PHONE], indirect=True, ids=["wide", "phone"])
def test_a_correction_asks_before_it_stores(opened, photos, home):
    page = opened
    corrections = home / "outputs" / "canteen" / "corrections"
    dish = f"新菜{page.viewport_size['width']}"
    save_menu(page, "north", serving_toys.WRITTEN_MENU)
    answered(page, photos[0])
    page.click("#wrong")
    page.wait_for_selector("#correction:visible")
    assert page.is_disabled("#store")
    offered = page.locator("#entries option").evaluate_all("all => all.map(option => option.value)")
    assert sorted(offered) == sorted(serving_toys.MENU), "each dish once, as the model reads it"
    page.fill("#right", dish)
    assert dish in page.inner_text("#question")
    assert not (corrections / dish).exists(), "nothing is stored before it is confirmed"
    page.screenshot(path=str(home / f"asks_{page.viewport_size['width']}.png"), full_page=True)
    page.click("#cancel")
    assert page.is_hidden("#correction")
    page.click("#wrong")
    page.wait_for_selector("#correction:visible")
    page.fill("#right", dish)
    page.click("#store")
    page.wait_for_selector("#stored:visible")
    assert page.inner_text("#stored") == f"kept as {dish}"
    assert len(list((corrections / dish).iterdir())) == 1
    assert dish in page.inner_text("#recent li >> nth=0")
    assert not page.faults


def test_a_photo_that_is_none_is_said_and_the_next_is_answered(opened, photos, home):
    page = opened
    save_menu(page, "north", serving_toys.WRITTEN_MENU)
    answered(page, photos[3])
    assert "not an image" in page.inner_text("#problem")
    assert page.is_hidden("#answer")
    page.screenshot(path=str(home / "problem.png"), full_page=True)
    answered(page, photos[2])
    page.wait_for_selector("#bars li")
    assert page.is_hidden("#problem")


def test_the_last_twenty_are_kept_and_shown_again(opened, photos):
    page = opened
    save_menu(page, "north", serving_toys.WRITTEN_MENU)
    for number in range(22):
        page.set_input_files("#file", photos[number % 3])
        rows = min(number + 1, 20)
        until(
            page,
            f"document.querySelectorAll('#recent li').length === {rows}"
            " && document.querySelectorAll('#bars li').length === 3",
        )
    first = page.inner_text("#recent li >> nth=1 >> span")
    page.click("#recent li >> nth=1 >> button")
    assert page.inner_text("#verdict") == first


def test_what_stands_in_the_menu_is_asked_though_it_is_not_saved(opened, photos):
    page = opened
    save_menu(page, "south", ["红烧鱼", "米饭"])
    page.fill("#menu", f"米饭\n{HURT.replace('<', '＜')}\n番茄炒蛋")
    assert "changed" in page.inner_text("#state")
    answered(page, photos[1])
    assert page.inner_text("#verdict") == "米饭"
    assert page.locator("#bars li").count() == 3
    assert page.locator("#bars img").count() == 0


def test_of_two_sites_the_one_chosen_last_counts(opened):
    page = opened
    save_menu(page, "second", ["番茄炒蛋"])
    save_menu(page, "first", ["红烧鱼", "米饭"])
    held = []
    page.route("**/v1/menus/first", lambda route: held.append(route))
    page.reload()
    labs.wait(lambda: page.evaluate("document.readyState") == "complete" and held, 20)
    assert page.evaluate("document.getElementById('menu').readOnly"), "nobody writes to it now"
    page.fill("#site", "second")
    page.locator("#site").blur()
    until(page, "document.getElementById('menu').value === '番茄炒蛋'")
    with page.expect_response("**/v1/menus/first"):
        held[0].continue_()
    page.wait_for_timeout(300)
    assert page.input_value("#menu") == "番茄炒蛋"
    assert page.is_editable("#menu")


def test_what_is_not_on_the_menu_is_said(opened, photos, home):
    page = opened
    page.route(
        "**/v1/recognise",
        lambda route: route.fulfill(
            json={
                "request_id": "r",
                "name": "凉拌鸡胗",
                "site": None,
                "seconds": 0.1,
                "choice": {
                    "answer": None,
                    "on_menu": 0.0312,
                    "threshold": 0.5,
                    "remark": "",
                    "entries": [
                        {"entry": HURT, "name": HURT, "probability": 0.61},
                        {"entry": "米饭", "name": "米饭", "probability": 0.39},
                    ],
                },
            }
        ),
    )
    answered(page, photos[0])
    assert page.inner_text("#verdict") == "Not on the menu"
    assert page.inner_text("#presence") == "on the menu with probability 3.1%"
    assert page.inner_text("#name") == "the model's own name: 凉拌鸡胗"
    assert page.inner_text(".bars .entry >> nth=0") == HURT
    page.screenshot(path=str(home / "absent.png"), full_page=True)


def test_a_busy_service_is_asked_again(opened, photos):
    page = opened
    save_menu(page, "north", serving_toys.WRITTEN_MENU)
    refusals = []

    def refuse_once(route):
        if refusals:
            route.continue_()
            return
        refusals.append(1)
        error = {"code": "busy", "message": "busy", "request_id": "r"}
        route.fulfill(status=503, headers={"Retry-After": "1"}, json={"error": error})

    page.route("**/v1/recognise", refuse_once)
    answered(page, photos[1])
    assert page.inner_text("#verdict") == "2. 米饭 1元"
    assert refusals


def test_it_is_used_by_keyboard(opened):
    page = opened
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert reached[:6] == ["language", "camera", "file", "site", "menu", "save"]


def test_the_token_is_asked_for_once_and_kept_for_the_session(chromium, photos, home):
    outputs = home / "guarded"
    serving_toys.model_folder(outputs / "canteen", with_gallery=False)
    with serving_toys.command("canteen", outputs=outputs, token=TOKEN) as (address, _):
        context = chromium.new_context(viewport=PHONE, locale="en-GB")
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector("#asking[open]")
        page.screenshot(path=str(home / "token.png"))
        assert page.is_hidden("#refused")
        page.fill("#token", "wrong")
        page.click("#enter")
        page.wait_for_selector("#refused:visible")
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        save_menu(page, "north", serving_toys.MENU)
        answered(page, photos[0])
        assert page.locator("#bars li").count() == 3
        assert page.evaluate("sessionStorage.getItem('dishvl.token')") == TOKEN
        assert page.evaluate("Object.values({...localStorage}).join()") == "north"
        page.reload()
        until(page, "document.getElementById('menu').value !== ''")
        assert page.locator("#asking[open]").count() == 0
        context.close()
