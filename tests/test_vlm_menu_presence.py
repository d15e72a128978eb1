"""Whether a dish is on the menu: what is drawn, fitted, stored, and said of a photo."""

import numpy as np
import pytest
import tiny

from dishvl_lib.core import images, questions, records
from dishvl_lib.vlm import calibration, choose, menu_presence, qwen
from dishvl_lib.vlm.answers import Choice
from dishvl_lib.vlm.menu_presence import MenuPresence
from dishvl_lib.vlm.recognizer import METADATA, Recognizer, checked_metadata

PRESENCE = MenuPresence(weight=2.0, bias=3.0, threshold=0.5, menu_sizes=(1, 2, 3), n=40)
NAMES = [f"菜{letter}" for letter in "甲乙丙丁戊己庚辛"]


def rows(n=40, menu_size=3):
    """Menu questions about n photos whose dishes take turns."""
    made = []
    for number in range(n):
        truth = NAMES[number % len(NAMES)]
        menu = [NAMES[(number + step) % len(NAMES)] for step in range(menu_size)]
        turns = [
            {"from": "human", "value": questions.human_turn("menu-1", menu)},
            {"from": "gpt", "value": truth},
        ]
        made.append(
            {
                "id": f"q{number}",
                "image": f"{number}.png",
                "kind": "menu",
                "menu": menu,
                "template": "menu-1",
                "conversations": turns,
            }
        )
    return made


def separable(n=50, seed=0):
    """Masses of n menus with the dish and n without it, which overlap a little."""
    rng = np.random.default_rng(seed)
    masses = np.concatenate([rng.normal(-0.5, 0.4, n), rng.normal(-4, 1.5, n)])
    return masses, np.arange(2 * n) < n


def test_sizes_are_those_that_the_names_can_fill():
    assert menu_presence.sizes_for(8) == [1, 2, 3, 5, 7]
    assert menu_presence.sizes_for(4000) == list(menu_presence.MENU_SIZES)
    assert menu_presence.sizes_for(1) == []


def test_menus_of_every_size_are_drawn_with_and_without_the_dish():
    sizes = menu_presence.sizes_for(len(NAMES))
    drawn = menu_presence.sized_menus(rows(), sizes)
    assert {menu.size for menu in drawn} == set(sizes)
    for menu in drawn:
        assert menu.with_dish.count(menu.truth) == 1
        assert menu.truth not in menu.without_dish
        assert len(set(menu.with_dish)) == len(set(menu.without_dish)) == menu.size


def test_look_alikes_come_first():
    """A row's own menu holds them; other names only fill up."""
    for menu in menu_presence.sized_menus(rows(menu_size=5), [3]):
        assert set(menu.with_dish) <= set(menu.row["menu"])
        assert set(menu.without_dish) <= set(menu.row["menu"])


def test_the_place_of_the_dish_is_no_clue():
    drawn = menu_presence.sized_menus(rows(400), [5])
    places = [menu.with_dish.index(menu.truth) for menu in drawn]
    assert np.bincount(places, minlength=5).min() > 40


def test_of_a_single_name_nothing_is_drawn():
    of_one = [row for row in rows() if row["conversations"][1]["value"] == NAMES[0]]
    assert menu_presence.sized_menus(of_one, [1]) == []


def test_the_mass_is_the_sum_of_the_entries_probabilities():
    assert menu_presence.mass_of(np.log([0.5, 0.25])) == pytest.approx(np.log(0.75))


def test_what_is_fitted_tells_them_apart():
    masses, present = separable()
    presence = menu_presence.fit(masses, present, [1, 5] * 50)
    sure = np.array([presence.probability(mass) for mass in masses])
    assert (sure[present] >= presence.threshold).mean() > 0.9
    assert (sure[~present] < presence.threshold).mean() > 0.9
    assert presence.menu_sizes == (1, 5)
    assert presence.n == 100


def test_the_probabilities_are_honest():
    masses, present = separable(4000)
    presence = menu_presence.fit(masses, present, [3] * 8000)
    sure = np.array([presence.probability(mass) for mass in masses])
    assert calibration.calibration_error(sure, present) < 0.05


def test_masses_that_tell_all_leave_the_numbers_finite():
    masses = np.repeat([-0.01, -9.0], 30)
    presence = menu_presence.fit(masses, masses > -1, [3] * 60)
    assert 0 < presence.weight < 100
    assert presence.probability(-9.0) < presence.threshold < presence.probability(-0.01)


@pytest.mark.parametrize("n", [0, 19])
def test_few_menus_fit_nothing(n):
    masses, present = separable(n)
    assert menu_presence.fit(masses, present, [3] * len(masses)) is None


def test_a_mass_that_speaks_against_the_dish_fits_nothing():
    masses, present = separable()
    assert menu_presence.fit(-masses, present, [3] * 100) is None


def test_the_threshold_errs_alike_on_both_sides():
    present = np.array([0.2, 0.6, 0.7, 0.8, 0.9])
    absent = np.array([0.1, 0.2, 0.3, 0.4, 0.65])
    assert menu_presence.balanced_threshold(present, absent) == pytest.approx(0.5)


def test_where_a_range_of_thresholds_is_as_good_its_middle_is_taken():
    threshold = menu_presence.balanced_threshold(np.array([0.8, 0.9]), np.array([0.1, 0.2]))
    assert threshold == pytest.approx(0.5)


def test_a_record_is_read_as_it_was_written():
    assert MenuPresence.from_record(PRESENCE.as_record()) == PRESENCE


@pytest.mark.parametrize(
    "change",
    [
        {"weight": -1.0},
        {"weight": 0},
        {"weight": "much"},
        {"menu_sizes": []},
        {"menu_sizes": None},
        {"n": None},
    ],
)
def test_a_record_that_cannot_be_is_refused_with_the_remedy(tmp_path, change):
    file = tmp_path / METADATA
    records.write_json(file, {"on_menu": {**PRESENCE.as_record(), **change}})
    with pytest.raises(qwen.ModelError, match="on_menu.*run stage 04 again"):
        checked_metadata(file)


def test_an_answer_says_how_likely_the_dish_is_on_the_menu():
    recognizer = Recognizer(tiny.model(), {"on_menu": PRESENCE.as_record()})
    scores = recognizer.recognise(tiny.photo(), [list(tiny.NAMES)], naming="").choices[0]
    assert 0 < scores.on_menu < 1
    assert scores.threshold == PRESENCE.threshold


@pytest.mark.parametrize("n_entries", [1, 4])
@pytest.mark.parametrize("bias, is_there", [(1000.0, True), (-1000.0, False)])
def test_there_is_an_answer_exactly_when_the_dish_is_likely_there(n_entries, bias, is_there):
    """Menus of one entry too, whose only entry has all of the probability within the menu."""
    record = {**PRESENCE.as_record(), "bias": bias}
    recognizer = Recognizer(tiny.model(), {"on_menu": record, "off_menu_threshold": 0.9999})
    choice = recognizer.choose(tiny.photo(), list(tiny.NAMES)[:n_entries])
    assert (choice.answer is not None) == is_there
    assert (choice.on_menu >= choice.threshold) == is_there
    assert ("not on the menu" in str(choice)) != is_there


def test_the_mass_of_a_photo_is_that_of_its_exact_scores():
    loaded = tiny.model()
    menu = list(tiny.NAMES)
    recognizer = Recognizer(loaded, {"on_menu": PRESENCE.as_record(), "temperature": 3.0})
    choice = recognizer.choose(tiny.photo(), menu)
    pixels = recognizer.pixels(tiny.photo())
    question = questions.ask("menu-1", menu)
    scores = choose.log_probabilities(loaded, pixels, question, menu)
    mass = menu_presence.mass_of(scores.numpy())
    assert choice.on_menu == pytest.approx(PRESENCE.probability(mass), rel=1e-4)


def test_a_folder_without_the_fields_answers_as_before():
    choice = Recognizer(tiny.model(), {}).choose(tiny.photo(), list(tiny.NAMES))
    assert choice.on_menu is None
    assert choice.answer == choice.entries[0][0]


def test_a_menu_larger_than_those_fitted_on_is_said():
    recognizer = Recognizer(tiny.model(), {"on_menu": PRESENCE.as_record()})
    larger = recognizer.choose(tiny.photo(), list(tiny.NAMES)[:4])
    assert "4 entries" in larger.remark
    assert larger.remark in str(larger)
    assert recognizer.choose(tiny.photo(), list(tiny.NAMES)[:3]).remark == ""


def test_the_printed_line_says_by_what_it_was_decided():
    entries = (("鱼", 0.9), ("米饭", 0.1))
    answered = Choice("鱼", entries, 0.5, 0.97)
    assert str(answered) == "鱼 90.0%  米饭 10.0%  (on the menu: 97.0%)"
    refused = Choice(None, entries, 0.5, 0.02)
    assert str(refused) == "not on the menu (2.0%, below 50.0%): 鱼 90.0%  米饭 10.0%"
    by_best_entry = Choice(None, entries, 0.95)
    assert str(by_best_entry).startswith("not on the menu (best entry below 95.0%): 鱼")


@pytest.fixture
def best(tmp_path):
    """A model folder beside the photos of `rows`, of which one cannot be read."""
    folder = tmp_path / "best"
    qwen.save(tiny.model(), folder)
    records.write_json(folder / METADATA, {"temperature": 1.0})
    for number in range(40):
        tiny.photo(number).save(tmp_path / f"{number}.png")
    (tmp_path / "7.png").write_bytes(b"no photo")
    return folder


def test_calibration_fits_both_and_stores_them(best, tmp_path):
    fitted = calibration.calibrate(best, rows(), tmp_path)
    stored = records.read_json(best / METADATA)
    assert fitted["skipped"] == 1
    assert fitted["n"] == 39
    assert stored["temperature"] == fitted["temperature"]
    if "note" in fitted["on_menu"]:  # an untrained model's mass may not tell
        assert "on_menu" not in stored
    else:
        assert MenuPresence.from_record(stored["on_menu"]).n == 78


def test_the_menus_in_one_pass_score_as_each_alone(best, tmp_path):
    recognizer = Recognizer.load(best)
    chosen = rows(5)
    scored = calibration.score(recognizer, chosen, tmp_path, seed=3)
    pairs = menu_presence.sized_menus(chosen, menu_presence.sizes_for(5), seed=3)
    for number, pair in enumerate(pairs):
        pixels = recognizer.pixels(images.load_rgb(tmp_path / pair.row["image"]))
        for offset, (question, menu) in enumerate(pair.questions()):
            alone = choose.log_probabilities(recognizer.qwen, pixels, question, menu)
            together = scored.of_sizes[2 * number + offset].scores
            np.testing.assert_allclose(together, alone.numpy(), atol=1e-4)
    assert len(scored.rows) == 5
