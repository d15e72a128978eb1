"""Questions: what is asked, in the file's form and as the model reads it, and how an answer is
marked.
"""

import pytest

from dishvl_lib.core import questions


@pytest.mark.parametrize("kind", questions.KINDS)
def test_several_wordings_of_each_kind_and_two_kept_for_testing(kind):
    trained = questions.templates(kind)
    unseen = questions.templates(kind, trained=False)
    assert len(trained) >= 8
    assert len(unseen) == 2
    assert {t.kind for t in trained + unseen} == {kind}
    assert (
        len({t.text for t in questions.TEMPLATES})
        == len({t.id for t in questions.TEMPLATES})
        == len(questions.TEMPLATES)
    )


@pytest.mark.parametrize("template", questions.TEMPLATES, ids=lambda t: t.id)
def test_every_wording_shows_its_menu_in_the_reference_form(template):
    menu = ["红烧鱼", "素鸡(豆制品)", "{0}%s"]
    text = questions.ask(template.id, menu)
    assert ("（红烧鱼、素鸡(豆制品)、{0}%s）" in text) is template.kind.startswith("menu")
    assert "{menu}" not in text
    assert "{dish}" not in text
    assert questions.IMAGE_MARK not in text


def test_a_menu_question_without_a_menu_is_refused():
    with pytest.raises(ValueError, match="menu-1 needs a menu"):
        questions.ask("menu-1", [])


def test_the_file_form_and_what_the_model_reads():
    written = questions.human_turn("naming-1")
    assert written == "<image>\n图中的菜品是什么？"
    assert questions.question_of(written) == questions.ask("naming-1") == "图中的菜品是什么？"
    assert questions.question_of("没有图") == "没有图"


def test_marking_is_strict_and_the_lenient_mark_stands_beside_it():
    assert questions.mark("红烧鱼", "红烧鱼")
    assert not questions.mark("红烧鱼 ", "红烧鱼")
    assert not questions.mark(None, "红烧鱼")
    assert questions.mark_normalised("红烧鱼。", "红烧鱼")
    assert not questions.mark_normalised("红烧鱼块", "红烧鱼")
    assert not questions.mark_normalised(None, "红烧鱼")


def test_a_dish_called_like_a_placeholder_stays_as_it_is():
    assert "（{dish}、{menu}、x）" in questions.ask("menu-1", ["{dish}", "{menu}", "x"])


def test_knowledge_is_asked_of_the_photo_or_of_the_name():
    assert questions.human_turn("knowledge-3") == "<image>\n图中的菜主要用了哪些食材？"
    assert questions.field_of("knowledge-3") == "ingredients"
    assert questions.human_turn("knowledge-3", dish="凉拌鸡胗") == "“凉拌鸡胗”主要用了哪些食材？"
    assert questions.field_of("menu-1") == ""


@pytest.mark.parametrize(
    "field, value, text",
    [
        ("ingredients", ["鸡胗", "香菜"], "鸡胗、香菜"),
        ("calories", 130.0, "约 130 千卡"),
        ("cuisine", "川菜", "川菜"),
        ("allergens", [], ""),
        ("calories", None, ""),
        ("recipe", "", ""),
    ],
)
def test_facts_as_answers(field, value, text):
    assert questions.fact(field, value) == text


@pytest.mark.parametrize(
    "answer, score",
    [
        ("鸡胗、香菜", 1.0),
        ("香菜、鸡胗", 1.0),
        ("鸡胗", 2 / 3),
        ("鱼", 0.0),
        (None, 0.0),
        ("", 0.0),
    ],
)
def test_facts_are_marked_by_their_entries(answer, score):
    assert questions.mark_fact(answer, "鸡胗、香菜") == pytest.approx(score)
