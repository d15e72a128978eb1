"""The model and the gallery together: who counts how much, entries that one of the two does not
know, dishes that the model was never trained on.
"""

import numpy as np
import pytest

from dishvl_lib.gallery import fusion
from dishvl_lib.gallery.fusion import FittedMenu, Fusion

NOTHING_NEW = np.zeros(3, bool)
NONE_KNOWN = np.full(3, np.nan)


def menus(model_margin, gallery_margin, n=200, entries=8, seed=0):
    """Menus on which the truth's log-probability and similarity are so much above the others' mean,
    in units of their spread.
    """
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(n):
        truth = int(rng.integers(entries))
        scores = rng.standard_normal(entries)
        scores[truth] += model_margin
        similar = rng.standard_normal(entries)
        similar[truth] += gallery_margin
        logs = scores - np.logaddexp.reduce(scores)
        few = 0.5 + 0.1 * (similar + 0.3 * rng.standard_normal(entries))
        drawn.append(FittedMenu(logs, 0.5 + 0.1 * similar, few, truth))
    return drawn


def accuracy(numbers, drawn):
    right = 0
    for menu in drawn:
        nothing_new = np.zeros(len(menu.logs), bool)
        logs = numbers.log_probabilities(menu.logs, menu.similarities, nothing_new)
        right += logs.argmax() == menu.truth
    return right / len(drawn)


def test_probabilities_add_up_to_one():
    numbers = Fusion(gallery=5.0)
    logs = numbers.log_probabilities(
        np.log([0.7, 0.2, 0.1]), np.array([0.1, 0.9, 0.2]), NOTHING_NEW
    )
    assert np.exp(logs).sum() == pytest.approx(1)


def test_without_a_fit_the_model_alone_answers():
    shares = np.array([0.7, 0.2, 0.1])
    logs = Fusion().log_probabilities(np.log(shares), np.array([0.1, 0.9, 0.2]), NOTHING_NEW)
    assert np.exp(logs) == pytest.approx(shares)


def test_what_the_gallery_knows_can_turn_a_close_answer():
    close = np.log([0.5, 0.4, 0.1])
    logs = Fusion(gallery=10.0).log_probabilities(close, np.array([0.3, 0.8, 0.3]), NOTHING_NEW)
    assert logs.argmax() == 1


def test_with_nothing_registered_the_model_alone_answers():
    shares = np.array([0.7, 0.2, 0.1])
    numbers = Fusion(gallery=10.0, unknown=0.4)
    logs = numbers.log_probabilities(np.log(shares), NONE_KNOWN, NOTHING_NEW)
    assert np.exp(logs) == pytest.approx(shares)


def test_an_entry_that_is_not_registered_is_neither_favoured_nor_punished_on_average():
    """Over entries that are not the truth, the evidence of one that is not registered is the
    mean.
    """
    drawn = menus(2.0, 2.0)
    numbers = fusion.fit(drawn, "x")
    others = np.concatenate([np.delete(menu.similarities, menu.truth) for menu in drawn])
    evidence = np.exp(numbers.gallery * (others - numbers.unknown))
    assert evidence.mean() == pytest.approx(1)


def test_an_unregistered_truth_is_still_found_when_the_model_is_sure():
    drawn = menus(6.0, 2.0)
    numbers = fusion.fit(drawn, "x")
    unregistered = []
    for menu in drawn:
        similarities = menu.similarities.copy()
        similarities[menu.truth] = np.nan
        unregistered.append(FittedMenu(menu.logs, similarities, similarities, menu.truth))
    alone = accuracy(Fusion(), drawn)
    assert accuracy(numbers, unregistered) >= alone - 0.05


@pytest.mark.parametrize(("model", "gallery"), [(1.0, 3.0), (3.0, 1.0), (2.0, 2.0), (5.0, 5.0)])
def test_together_they_are_at_least_as_good_as_the_better_on_other_menus(model, gallery):
    numbers = fusion.fit(menus(model, gallery), "x")
    unseen = menus(model, gallery, n=1000, seed=1)
    better = max(accuracy(Fusion(), unseen), accuracy(Fusion(vlm=0.0, gallery=1.0), unseen))
    assert accuracy(numbers, unseen) >= better - 0.005


def test_a_gallery_of_noise_counts_for_almost_nothing():
    numbers = fusion.fit(menus(3.0, 0.0, n=500), "x")
    unseen = menus(3.0, 0.0, n=1000, seed=1)
    assert accuracy(numbers, unseen) >= accuracy(Fusion(), unseen) - 0.01


def test_a_gallery_that_is_wrong_is_not_turned_around():
    assert fusion.fit(menus(3.0, -2.0), "x").gallery == 0


def test_weights_stay_finite_where_every_menu_is_answered_rightly():
    numbers = fusion.fit(menus(30.0, 30.0), "x")
    assert 0.02 < numbers.vlm < 2
    assert 0.2 < numbers.gallery < 20


def test_where_both_are_always_right_neither_is_silenced():
    """On disagreements each wins about as often, the surer one."""
    numbers = fusion.fit(menus(6.0, 6.0), "x")
    disagreeing = [
        FittedMenu(first.logs, second.similarities, second.similarities_of_few, first.truth)
        for first, second in zip(menus(6.0, 6.0, seed=1), menus(6.0, 6.0, seed=2), strict=True)
        if first.truth != second.truth
    ]
    assert 0.2 < accuracy(numbers, disagreeing) < 0.8


def test_a_few_menus_leave_both_about_as_they_are_alone():
    numbers = fusion.fit(menus(3.0, 3.0, n=5), "x")
    assert numbers.vlm > 0.1
    assert numbers.gallery > 1


def test_without_menus_nothing_is_fitted():
    assert fusion.fit([], "x") == Fusion(fitted_on="x")


def test_with_few_menus_there_is_no_threshold():
    drawn = menus(3.0, 3.0, n=fusion.FEWEST_MENUS - 1)
    numbers = fusion.with_threshold(fusion.fit(drawn, "x"), drawn, lambda *_: (0.5, 1.0, 1.0))
    assert numbers.threshold == 0


def test_what_the_model_says_of_a_dish_it_was_never_trained_on_is_no_evidence():
    numbers = Fusion(gallery=10.0, new=1.0)
    similar = np.array([0.3, 0.9, 0.3])
    new = np.array([False, True, False])
    ranked = []
    for share in (1e-12, 0.3):
        logs = numbers.log_probabilities(np.log([0.6, share, 0.1]), similar, new)
        ranked.append(logs - logs[0])
    assert ranked[0] == pytest.approx(ranked[1])
    assert ranked[0].argmax() == 1


def test_a_new_dish_that_the_photo_does_not_look_like_costs_a_known_one_nothing():
    numbers = Fusion(gallery=10.0, new=1.0)
    new = np.array([False, True, False])
    logs = numbers.log_probabilities(np.log([0.9, 0.05, 0.05]), np.array([0.8, 0.4, 0.3]), new)
    assert logs.argmax() == 0


def test_among_new_dishes_alone_the_gallery_decides():
    numbers = Fusion(gallery=10.0, new=1.0)
    logs = numbers.log_probabilities(
        np.log([0.9, 0.05, 0.05]), np.array([0.4, 0.8, 0.3]), ~NOTHING_NEW
    )
    assert logs.argmax() == 1


def test_the_fitted_cost_of_a_new_dish_balances_finding_it_and_mistaking_others_for_it():
    drawn = menus(4.0, 4.0, n=400)
    numbers = fusion.fit(drawn, "x")
    found = 0
    mistaken = 0
    for menu in drawn:
        other = (menu.truth + 1) % len(menu.logs)
        for place in (menu.truth, other):
            similar = menu.similarities.copy()
            similar[place] = menu.similarities_of_few[place]
            new = np.arange(len(menu.logs)) == place
            answer = numbers.log_probabilities(menu.logs, similar, new).argmax()
            found += place == menu.truth and answer == place
            mistaken += place == other and answer == place
    assert found / len(drawn) > 0.9
    assert mistaken / len(drawn) < 0.1


def test_menus_of_other_sizes_and_one_entry_do_no_harm():
    alone = FittedMenu(np.zeros(1), np.array([0.5]), np.array([0.5]), 0)
    unregistered = FittedMenu(np.log([0.5, 0.5]), np.full(2, np.nan), np.full(2, np.nan), 1)
    numbers = fusion.fit([*menus(3.0, 3.0, n=40), alone, unregistered], "x")
    assert np.isfinite([numbers.vlm, numbers.gallery, numbers.new, numbers.unknown]).all()


def test_the_threshold_is_of_the_two_together():
    drawn = menus(3.0, 3.0, n=40)
    seen = {}

    def threshold_for(present, absent):
        seen["present"] = present
        seen["absent"] = absent
        return 0.3, 0.95, 0.5

    numbers = fusion.with_threshold(fusion.fit(drawn, "x"), drawn, threshold_for)
    assert numbers.threshold == 0.3
    assert len(seen["absent"]) == 40
    assert len(seen["present"]) == 80, "each menu as it is, and as if its dish were new"
    assert seen["present"].mean() > seen["absent"].mean()


def test_the_numbers_come_back_from_their_record():
    numbers = fusion.fit(menus(3.0, 3.0), "x")
    assert Fusion(**numbers.as_record()) == numbers
