"""The card of a question: what was removed around an answer stands under it."""

from evaluation_toys import prediction

from dishvl_lib.display import cards
from dishvl_lib.display.words import Words


def test_what_was_removed_is_shown_and_escaped():
    row = prediction(0, "红烧鱼", removed="<think>像鱼</think>")
    shown = str(cards.answer_card(row, None, Words("en")))
    assert "removed: &lt;think&gt;像鱼&lt;/think&gt;" in shown


def test_a_row_without_it_says_nothing():
    assert "removed" not in str(cards.answer_card(prediction(0, "红烧鱼"), None, Words("en")))
