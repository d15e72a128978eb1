"""One pass for naming and menus of several photos: the answers of separate passes, whatever the
company; and constrained generation.
"""

import io
import random

import pytest
import tiny
import torch

from dishvl_lib.core import questions
from dishvl_lib.vlm import choose, decoding, inputs
from dishvl_lib.vlm.photo_questions import PhotoQuestions
from dishvl_lib.vlm.recognizer import Recognizer

SIZES = [(64, 48), (48, 64), (120, 40), (56, 56), (40, 150)]
PHOTOS = [tiny.photo(seed, size) for seed, size in enumerate(SIZES)]
MENUS = [list(tiny.NAMES), ["红烧鱼块", "红烧鱼", "红烧"], ["麻婆豆腐"]]


@pytest.fixture(scope="module", params=[0, 2])
def recognizer(request):
    return Recognizer(tiny.model(request.param), {})


def close(first, second):
    assert first.answer == second.answer
    assert [entry for entry, _ in first.entries] == [entry for entry, _ in second.entries]
    assert [share for _, share in first.entries] == pytest.approx(
        [share for _, share in second.entries], abs=1e-4
    )


def test_one_pass_says_what_separate_passes_say(recognizer):
    recognitions = recognizer.recognise(PHOTOS, MENUS)
    assert [recognition.name for recognition in recognitions] == recognizer.name(PHOTOS)
    assert len({recognition.name for recognition in recognitions}) > 1
    for recognition, photo in zip(recognitions, PHOTOS, strict=True):
        for choice, menu in zip(recognition.choices, MENUS, strict=True):
            close(choice, recognizer.choose(photo, menu))


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_batch_size_and_company_change_nothing(recognizer, batch_size):
    whole = recognizer.recognise(PHOTOS, MENUS[:1], batch_size=3)
    backwards = recognizer.recognise(PHOTOS[::-1], MENUS[:1], batch_size=batch_size)[::-1]
    for recognition, other in zip(whole, backwards, strict=True):
        assert recognition.name == other.name
        close(recognition.choices[0], other.choices[0])
    assert recognizer.name(PHOTOS, batch_size=batch_size) == [
        recognition.name for recognition in whole
    ]


def test_questions_may_differ_from_photo_to_photo(recognizer):
    first = questions.ask("naming-1")
    second = questions.ask("naming-2")
    queries = [
        (PHOTOS[0], [second], []),
        (PHOTOS[1], [], [(questions.ask("menu-2", MENUS[0]), MENUS[0])]),
        (PHOTOS[2], [], []),
        (PHOTOS[3], [first, second], [(questions.ask("menu-1", menu), menu) for menu in MENUS]),
    ]
    recognitions = recognizer.answer_questions(queries)
    alone = {
        (number, template): recognizer.name(PHOTOS[number], template=template)
        for number in (0, 3)
        for template in ("naming-1", "naming-2")
    }
    assert [recognition.names for recognition in recognitions] == [
        (alone[0, "naming-2"],),
        (),
        (),
        (alone[3, "naming-1"], alone[3, "naming-2"]),
    ]
    assert recognitions[0].name == alone[0, "naming-2"]
    assert recognitions[1].name is None
    assert [len(recognition.choices) for recognition in recognitions] == [0, 1, 0, 3]
    close(recognitions[1].choices[0], recognizer.choose(PHOTOS[1], MENUS[0], template="menu-2"))
    assert recognizer.answer_questions([]) == []
    assert recognizer.recognise([], MENUS) == []


def test_photos_with_other_menus_share_a_pass_and_answer_as_alone(recognizer):
    """What a service does: whoever asks at the same time has a menu of his own."""
    asked = [
        PhotoQuestions([MENUS[0]], top_k=9),
        PhotoQuestions([MENUS[1], MENUS[2]], top_k=9),
        PhotoQuestions(naming="naming-1"),
        PhotoQuestions([["2. 红烧鱼 ￥12", "麻婆豆腐"]], naming="naming-2", top_k=1),
    ]
    pairs = list(zip(PHOTOS, asked, strict=False))
    prepared = [recognizer.prepare(photo, of_photo) for photo, of_photo in pairs]
    together = recognizer.answer_prepared(prepared)
    for recognition, ready in zip(together, prepared, strict=True):
        (alone,) = recognizer.answer_prepared([ready])
        assert recognition.names == alone.names
        for choice, other in zip(recognition.choices, alone.choices, strict=True):
            assert choice.answer == other.answer
            assert dict(choice.entries) == pytest.approx(dict(other.entries), abs=1e-5)
    assert together[3].choices[0].entries[0][0] in ("2. 红烧鱼 ￥12", "麻婆豆腐")
    assert len(together[3].choices[0].entries) == 1


def test_where_much_would_be_padding_photos_of_like_length_have_a_pass_of_their_own(
    recognizer, monkeypatch
):
    asked = [
        PhotoQuestions([MENUS[0]], naming="naming-1", top_k=9),
        PhotoQuestions([[f"第{number}道菜" for number in range(60)]], top_k=60),
        PhotoQuestions(naming="naming-2"),
        PhotoQuestions([MENUS[0]], top_k=9),
    ]
    pairs = list(zip(PHOTOS, asked, strict=False))
    prepared = [recognizer.prepare(photo, of_photo) for photo, of_photo in pairs]
    monkeypatch.setattr(choose, "ON_CPU", choose.ON_GPU)
    in_one = recognizer.answer_prepared(prepared)
    passes = []
    prefill = decoding.prefill

    def counted(qwen, photos, *rest, **options):
        passes.append(len(photos))
        return prefill(qwen, photos, *rest, **options)

    monkeypatch.setattr(decoding, "prefill", counted)
    monkeypatch.setattr(choose, "ON_CPU", choose.PassLimits(padding=200, places=10_000))
    in_several = recognizer.answer_prepared(prepared)
    assert sorted(passes) == [1, 3]
    for first, second in zip(in_one, in_several, strict=True):
        assert first.names == second.names
        for choice, other in zip(first.choices, second.choices, strict=True):
            assert dict(choice.entries) == pytest.approx(dict(other.entries), abs=1e-5)


@pytest.mark.parametrize(
    ("lengths", "groups"),
    [
        ([], []),
        ([5], [[0]]),
        ([100, 3000, 90, 2900], [[1, 3], [0, 2]]),
        ([100] * 4, [[0, 1, 2, 3]]),
        ([3000, 1000, 952, 951], [[0, 1], [2, 3]]),
    ],
)
def test_sequences_of_like_length_share_a_pass(lengths, groups):
    assert choose.groups_of_like_length(lengths) == groups


def test_paths_bytes_and_images_are_the_same_photo(recognizer, tmp_path):
    PHOTOS[0].save(tmp_path / "a.png")
    buffer = io.BytesIO()
    PHOTOS[0].save(buffer, "PNG")
    sources = [tmp_path / "a.png", str(tmp_path / "a.png"), buffer.getvalue(), PHOTOS[0]]
    assert len(set(recognizer.name(sources))) == 1
    first, *others = recognizer.choose(sources, MENUS[0])
    for other in others:
        close(first, other)


def test_results_print_well(recognizer):
    shown = str(recognizer.recognise(PHOTOS[0], MENUS[:2]))
    assert shown.count(" | ") == 2
    assert "%" in shown
    assert shown.startswith(recognizer.name(PHOTOS[0]))


def test_a_name_ends_at_its_end_token_or_the_limit():
    """An end token that is certain gives an empty name; one that never comes gives MAX_NEW_TOKENS
    tokens.
    """
    loaded = tiny.model()
    photo = inputs.photo_inputs(loaded, PHOTOS[0])
    for bias, n in ((1e4, 0), (-1e4, decoding.MAX_NEW_TOKENS)):
        head = loaded.model.lm_head
        shifted = torch.zeros(head.out_features)
        shifted[loaded.end_token_id] = bias
        head.bias = torch.nn.Parameter(shifted)
        (answer,) = choose.answer_together(
            loaded, [choose.PhotoQuery(photo, [questions.ask("naming-1")])]
        )
        assert (
            len(loaded.tokenizer.encode(answer.names[0])) >= n // 2 if n else answer.names == [""]
        )
        head.bias = None


def random_menu(rng):
    """1 to 200 entries; many are another one with something added, as 红烧鱼 and 红烧鱼块 are."""
    characters = "红烧鱼块番茄炒蛋麻婆豆腐素鸡制品"
    menu: set[str] = set()
    wanted = rng.choice((1, 2, 5, 20, 20, 50, 200))
    while len(menu) < wanted:
        entry = "".join(rng.choices(characters, k=rng.randint(1, 5)))
        menu |= {entry, entry + rng.choice(characters)} if rng.random() < 0.5 else {entry}
    return rng.sample(sorted(menu), wanted)


def walk(trie, scores):
    """The entry that is reached by the most probable child at every node."""
    at = -1
    path = []
    while children := [node for node, parent in enumerate(trie.parent) if parent == at]:
        at = max(children, key=lambda node: float(scores[node]))
        path.append(at)
    return trie.path.index(path)


def constrained(loaded, photo, question, trie):
    """transformers' own generation, where only the trie's tokens are allowed."""
    batch = inputs.collate([inputs.build(loaded, photo, question)], loaded.tokenizer.pad_token_id)
    batch.pop("labels")
    start = batch["input_ids"].shape[1]

    def allowed(_, ids):
        at = -1
        for token in ids[start:].tolist():
            at = next(
                node
                for node, parent in enumerate(trie.parent)
                if parent == at and trie.token[node] == token
            )
        return [trie.token[node] for node, parent in enumerate(trie.parent) if parent == at]

    generated = loaded.model.generate(
        **batch,
        max_new_tokens=16,
        do_sample=False,
        prefix_allowed_tokens_fn=allowed,
        eos_token_id=loaded.end_token_id,
    )
    return generated[0, start:].tolist()


def test_the_greedy_walk_is_constrained_generation_on_200_menus():
    loaded = tiny.model(3)
    rng = random.Random(0)
    answers = []
    for number in range(200):
        menu = random_menu(rng)
        photo = inputs.photo_inputs(loaded, tiny.photo(number, (56, 56)))
        question = questions.ask("menu-1", menu[:20])
        trie = choose.build_trie([inputs.answer_tokens(loaded, entry) for entry in menu])
        grown = choose.grow([inputs.build(loaded, photo, question)], [trie])
        with torch.no_grad():
            passed = decoding.prefill(
                loaded,
                [photo],
                [inputs.build(loaded, photo, question).image_start],
                [grown],
                keep=False,
            )
            chosen = walk(trie, choose.node_scores(loaded, passed.hidden[0], grown, [trie])[0])
            assert constrained(loaded, photo, question, trie) == inputs.answer_tokens(
                loaded, menu[chosen]
            ), (number, menu)
        answers.append((len(menu), chosen))
    assert {1, 200} <= {n for n, _ in answers}
    assert len({place for _, place in answers}) > 10
