"""What is shown is said in both languages, and is as wide as its place."""

import pandas as pd

from dishvl_lib.display.words import (
    _ENGLISH_CHINESE,
    QUESTIONS,
    Words,
    missing,
    shorten,
    width,
    wrapped,
)


def test_words_are_there_in_both_languages():
    assert all(
        Words("en")(word) == word and Words("zh")(word) == chinese
        for word, chinese in _ENGLISH_CHINESE.items()
    )
    assert Words("zh").answer(None) == "没有回答"
    assert Words("zh").answer("not a dish") == "不是菜名"
    assert Words("zh").answer("米饭") == "米饭"


def test_texts_are_cut_by_their_width():
    assert shorten("红烧鱼块", 8) == "红烧鱼块"
    assert shorten("红烧鱼块", 7) == "红烧鱼…"
    assert missing(None)
    assert missing(float("nan"))
    assert missing(pd.NA)
    assert not missing([])
    assert not missing("")


def test_evidence_is_wrapped_by_width():
    lines = wrapped("鱼" * 50 + " and words that follow, one after another", 20)
    assert all(width(line) <= 20 for line in lines)
    assert "".join(lines).replace(" ", "") == "鱼" * 50 + "andwordsthatfollow,oneafteranother"


def test_every_suspicion_has_a_question_in_both_languages():
    for kind in QUESTIONS:
        assert Words("zh").known(kind) != kind
        assert Words("zh").question(kind) != Words("en").question(kind) != ""
