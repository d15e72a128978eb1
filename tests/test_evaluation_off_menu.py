"""Menus of every size with and without the dish: which are drawn, and what the shares count."""

import numpy as np
import pytest
import tiny
from evaluation_toys import row

from dishvl_lib.core import questions
from dishvl_lib.evaluation import off_menu
from dishvl_lib.vlm import calibration, choose, menu_presence
from dishvl_lib.vlm.menu_presence import MenuPresence, SizedScores
from dishvl_lib.vlm.recognizer import Recognizer

PRESENCE = MenuPresence(weight=2.0, bias=3.0, threshold=0.5, menu_sizes=(1, 2, 3), n=40)


def questions_about(n):
    """Menu questions of n photos, whose dishes take turns."""
    rows = []
    for number in range(n):
        truth = tiny.NAMES[number % len(tiny.NAMES)]
        rows.append(row(number, truth, menu=list(tiny.NAMES), image=f"{number}.png"))
    return rows


def scored(size, present, *scores):
    return SizedScores(size, present, np.array(scores), 0 if present else -1)


def by_size(signal, menus):
    summary = off_menu.summary(menus, [signal])
    return {found["menu_size"]: found for found in summary["by_size"]}


BEST_LOG = off_menu.Signal("best log", lambda scores: float(np.exp(scores.max())), 0.5)


def test_shares_are_counted_by_menu_size():
    menus = [
        scored(1, True, np.log(0.9)),
        scored(1, True, np.log(0.4)),
        scored(1, False, np.log(0.1)),
        scored(3, True, np.log(0.8), -9, -9),
        scored(3, False, np.log(0.7), -9, -9),
        scored(3, False, np.log(0.2), -9, -9),
    ]
    found = by_size(BEST_LOG, menus)
    assert found[1]["answered"] == 0.5
    assert found[1]["refused"] == 1.0
    assert found[3]["answered"] == 1.0
    assert found[3]["refused"] == 0.5
    assert found[3]["auroc"] == 1.0
    assert found[1]["n"] == 2


def test_the_calibration_error_is_that_of_the_signal_as_a_probability():
    menus = [scored(3, True, np.log(0.9)), scored(3, False, np.log(0.9))]
    worth = off_menu.summary(menus * 20, [BEST_LOG])["signals"]["best log"]
    assert worth["ece"] == pytest.approx(0.4)
    low, high = worth["ece_ci95"]
    assert low <= worth["ece"] <= high


def test_the_table_and_the_sentence_say_the_least_share():
    menus = [scored(3, True, np.log(0.9)), scored(3, False, np.log(0.1))]
    menus += [scored(5, True, np.log(0.9)), scored(5, False, np.log(0.9))]
    summary = off_menu.summary(menus, [BEST_LOG])
    assert "at least 1.00 of the dishes on them are answered" in off_menu.sentence(summary)
    assert "at least 0.00 of those that are not are refused" in off_menu.sentence(summary)
    assert off_menu.shown(summary)["answered"].str.startswith("1.000 [").all()


def test_without_menus_nothing_is_claimed():
    summary = off_menu.summary([], [BEST_LOG])
    assert off_menu.sentence(summary) == ""
    assert off_menu.shown(summary).empty
    assert summary["signals"]["best log"]["ece"] is None


def test_a_folder_without_the_fields_is_judged_by_its_best_entry():
    names = [signal.name for signal in off_menu.signals({"temperature": 2.0})]
    assert names == [off_menu.BEST_ENTRY]


def test_signals_are_what_a_recognizer_decides_by():
    metadata = {"on_menu": PRESENCE.as_record(), "temperature": 2.0, "off_menu_threshold": 0.3}
    on_menu, best_entry = off_menu.signals(metadata)
    recognizer = Recognizer(tiny.model(), metadata)
    menu = list(tiny.NAMES)
    choice = recognizer.choose(tiny.photo(), menu)
    question = questions.ask("menu-1", menu)
    pixels = recognizer.pixels(tiny.photo())
    scores = choose.log_probabilities(recognizer.qwen, pixels, question, menu).numpy()
    assert on_menu.of_menu(scores) == pytest.approx(choice.on_menu, rel=1e-4)
    assert on_menu.threshold == choice.threshold
    assert best_entry.of_menu(scores) == pytest.approx(choice.entries[0][1], rel=1e-4)


def test_every_readable_photo_is_scored_as_if_alone(tmp_path):
    for number in range(6):
        tiny.photo(number).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"no photo")
    recognizer = Recognizer(tiny.model(), {})
    menus = off_menu.drawn_menus(questions_about(6), seed=0)
    together = off_menu.score(recognizer, menus, tmp_path)
    assert len(together) == 10
    readable = [pair for pair in menus if pair.row["image"] != "2.png"]
    for place, pair in enumerate(readable):
        pixels = recognizer.pixels(tmp_path / pair.row["image"])
        alone = choose.log_probabilities_many(recognizer.qwen, pixels, pair.questions())
        for scores, expected in zip(together[2 * place : 2 * place + 2], alone, strict=True):
            np.testing.assert_allclose(scores.scores, expected.numpy(), atol=1e-4)


def test_the_largest_menus_hold_all_other_names():
    menus = off_menu.drawn_menus(questions_about(40), seed=0)
    sizes = {menu.size for menu in menus}
    assert sizes == set(menu_presence.sizes_for(len(tiny.NAMES)))
    assert max(sizes) == len(tiny.NAMES) - 1


def test_at_most_so_many_photos_are_asked_about(monkeypatch):
    monkeypatch.setattr(off_menu, "PHOTOS", 7)
    assert len(off_menu.drawn_menus(questions_about(40), seed=0)) == 7


def test_the_best_entry_is_judged_at_the_temperature():
    (signal,) = off_menu.signals({"temperature": 2.0})
    scores = np.array([-1.0, -3.0])
    assert signal.of_menu(scores) == pytest.approx(calibration.probabilities(scores, 2.0).max())
