"""Menu scoring: exact equality with one plain forward per entry, and with the greedy walk."""

import pytest
import tiny
import torch

from dishvl_lib.core import questions
from dishvl_lib.vlm import choose, inputs, qwen, trees
from dishvl_lib.vlm.recognizer import Recognizer
from dishvl_lib.vlm.written_menus import check_menu

MENUS = [
    list(tiny.NAMES),
    ["红烧鱼块", "红烧鱼", "红", "红烧"],
    ["麻婆豆腐"],
    [f"菜{i}" for i in range(40)],
]


@pytest.fixture(scope="module")
def loaded():
    return tiny.model()


def plain_score(loaded, photo, question, entry):
    """The summed log-probability of one entry by transformers' own forward."""
    batch = inputs.collate([inputs.build(loaded, photo, question, entry)], 0)
    labels = batch.pop("labels")[:, 1:]
    with torch.no_grad():
        logits = loaded.model(**batch).logits[:, :-1].log_softmax(-1)
    rows = labels != inputs.IGNORE
    return logits[rows].gather(1, labels[rows][:, None]).sum()


@pytest.mark.parametrize("menu", MENUS, ids=len)
@pytest.mark.parametrize("size", [(64, 48), (90, 40)])
def test_every_entry_scores_as_in_a_forward_of_its_own(loaded, menu, size):
    photo = inputs.photo_inputs(loaded, tiny.photo(7, size))
    question = questions.ask("menu-1", menu)
    scores = choose.log_probabilities(loaded, photo, question, menu)
    plain = torch.stack([plain_score(loaded, photo, question, entry) for entry in menu])
    torch.testing.assert_close(scores, plain, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(64, 48), (90, 40)])
def test_several_menus_on_one_photo_score_as_each_alone(loaded, size):
    photo = inputs.photo_inputs(loaded, tiny.photo(7, size))
    menus = [
        (questions.ask(f"menu-{number}", menu), menu) for number, menu in enumerate(MENUS, start=1)
    ]
    together = choose.log_probabilities_many(loaded, photo, menus)
    for (question, menu), scores in zip(menus, together, strict=True):
        torch.testing.assert_close(
            scores,
            torch.stack([plain_score(loaded, photo, question, entry) for entry in menu]),
            atol=1e-4,
            rtol=0,
        )


def test_a_long_menu_in_parts_scores_as_in_one(loaded, monkeypatch):
    photo = inputs.photo_inputs(loaded, tiny.photo(7))
    question = questions.ask("menu-1", MENUS[3])
    whole = choose.log_probabilities(loaded, photo, question, MENUS[3])
    monkeypatch.setattr(choose, "ROWS", 3)
    torch.testing.assert_close(
        choose.log_probabilities(loaded, photo, question, MENUS[3]), whole, atol=1e-5, rtol=0
    )


def test_branch_by_branch_scores_as_under_one_mask(loaded):
    photo = inputs.photo_inputs(loaded, tiny.photo(7))
    menus = [(questions.ask("menu-1", menu), menu) for menu in MENUS]
    config = loaded.model.model.language_model.config
    config._attn_implementation = "sdpa"
    under_one_mask = choose.log_probabilities_many(loaded, photo, menus)
    trees.bind_attention(loaded.model)
    by_branch = choose.log_probabilities_many(loaded, photo, menus)
    config._attn_implementation = "sdpa"
    torch.testing.assert_close(by_branch, under_one_mask, atol=1e-5, rtol=0)


def test_places_see_their_own_way_only(loaded):
    photo = inputs.photo_inputs(loaded, tiny.photo())
    menus = [("甲", ["红烧鱼", "红烧鱼块"]), ("乙", ["麻婆豆腐"])]
    grown = choose.grow(
        [inputs.build(loaded, photo, question) for question, _ in menus],
        [
            choose.build_trie([inputs.answer_tokens(loaded, entry) for entry in menu])
            for _, menu in menus
        ],
    )
    mask = grown.mask()[0, 0]
    assert mask.diagonal().all()
    assert not torch.triu(mask, 1).any()
    second = range(grown.ends[0] + 1 + len(grown.nodes[0]), len(grown.token))
    assert not mask[second.start :, grown.first : second.start].any(), (
        "the second question sees nothing of the first"
    )
    assert (
        mask.sum(dim=1)[grown.first :]
        == grown.positions[0, grown.first :] - grown.positions[0, grown.first] + 1 + grown.first
    ).all()


def test_a_photo_changes_the_scores(loaded):
    first, second = (
        choose.log_probabilities(
            loaded, inputs.photo_inputs(loaded, tiny.photo(seed)), "什么菜？", tiny.NAMES
        )
        for seed in (1, 2)
    )
    assert (first - second).abs().max() > 1e-3


def test_the_trie_shares_prefixes_and_keeps_every_entry():
    trie = choose.build_trie([[1, 2, 9], [1, 9], [1, 2, 3, 9]])
    assert len(trie.token) == 6
    assert [[trie.token[node] for node in path] for path in trie.path] == [
        [1, 2, 9],
        [1, 9],
        [1, 2, 3, 9],
    ]
    inner, place = trie.inner()
    assert (
        [trie.token[node] for node in sorted(place)]
        == inner.token
        == [
            1,
            2,
            3,
        ]
    )
    assert inner.parent == [-1, 0, 1]


def test_bad_tries_are_refused():
    with pytest.raises(ValueError, match="same to the tokenizer"):
        choose.build_trie([[1, 9], [1, 9]])
    with pytest.raises(ValueError, match="at least one entry"):
        choose.build_trie([])


def test_choose_ranks_the_menu_and_answers_only_from_it(loaded):
    recognizer = Recognizer(loaded, {})
    choice = recognizer.choose(tiny.photo(), tiny.NAMES, top_k=5)
    shares = [share for _, share in choice.entries]
    assert choice.answer == choice.entries[0][0]
    assert {entry for entry, _ in choice.entries} == set(tiny.NAMES)
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)


def test_choose_many_equals_single_menus(loaded):
    recognizer = Recognizer(loaded, {})
    together = recognizer.choose_many(tiny.photo(), MENUS[:2])
    alone = [recognizer.choose(tiny.photo(), menu) for menu in MENUS[:2]]
    for choice, other in zip(together, alone, strict=True):
        assert choice.answer == other.answer
        assert [entry for entry, _ in choice.entries] == [entry for entry, _ in other.entries]
        assert [share for _, share in choice.entries] == pytest.approx(
            [share for _, share in other.entries], abs=1e-4
        )
    assert recognizer.choose_many(tiny.photo(), []) == []


def test_the_entry_comes_back_as_it_was_written(loaded):
    assert (
        Recognizer(loaded, {}).choose(tiny.photo(), ["素鸡（豆制品）"]).answer == "素鸡（豆制品）"
    )


@pytest.mark.parametrize(
    ("menu", "words"),
    [
        ([], "empty"),
        (["红烧鱼", "红烧鱼 "], "twice"),
        (["a、b"], "、"),
        (["长" * 500], "500 characters.*change it on the menu"),
        ("红烧鱼", "list of names"),
        ((name for name in tiny.NAMES), "list of names"),
        (["红烧鱼", None], "entry 2 is None"),
    ],
)
def test_menus_that_cannot_be(menu, words):
    """Among them a generator, which would be used up by the check."""
    with pytest.raises(ValueError, match=words):
        check_menu(menu)


def test_any_collection_of_names_is_a_menu(loaded):
    import pandas as pd

    recognizer = Recognizer(loaded, {})
    wanted = recognizer.choose(tiny.photo(), list(tiny.NAMES))
    for menu in (dict.fromkeys(tiny.NAMES), pd.Series(tiny.NAMES, index=range(5, 10))):
        assert recognizer.choose(tiny.photo(), menu) == wanted
    with pytest.raises(ValueError, match="top_k is 0"):
        recognizer.choose(tiny.photo(), wanted, top_k=0)


def test_scores_that_are_no_numbers_are_not_an_answer():
    broken = tiny.model()
    with torch.no_grad():
        broken.model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(qwen.ModelError, match="scores are not numbers"):
        Recognizer(broken, {}).choose(tiny.photo(), list(tiny.NAMES))


def test_names_do_not_depend_on_the_company(loaded):
    recognizer = Recognizer(loaded, {})
    photos = [tiny.photo(seed, size) for seed, size in enumerate([(64, 48), (48, 64), (120, 40)])]
    assert recognizer.name(photos) == [recognizer.name(photo) for photo in photos]


def test_below_the_threshold_the_answer_is_that_it_is_not_on_the_menu(loaded):
    menu = list(tiny.NAMES)
    sure, unsure = (
        Recognizer(loaded, {"off_menu_threshold": limit}).choose(tiny.photo(), menu)
        for limit in (0.0, 0.9999)
    )
    assert sure.answer == sure.entries[0][0]
    assert unsure.answer is None
    assert unsure.entries == sure.entries
    assert "not on the menu" in str(unsure)
    assert "99" in str(unsure)
    assert (
        Recognizer(loaded, {"off_menu_threshold": 0.9999}).choose(tiny.photo(), menu[:1]).answer
        == menu[0]
    ), "of one entry nothing can be said"


def test_the_temperature_changes_probabilities_and_not_their_order(loaded):
    menu = list(tiny.NAMES)
    plain, warm = (
        Recognizer(loaded, {"temperature": value}).choose(tiny.photo(), menu, top_k=len(menu))
        for value in (1.0, 3.0)
    )
    assert [entry for entry, _ in plain.entries] == [entry for entry, _ in warm.entries]
    assert warm.entries[0][1] < plain.entries[0][1]
