"""Columns and rows that several rooms read."""

from dishvl_lib.core import artefacts


def test_names_by_dish():
    dishes = [{"dish_id": "a", "name": "鱼"}, {"dish_id": "b", "name": "肉"}]
    assert artefacts.names_by_dish(dishes) == {"a": "鱼", "b": "肉"}
