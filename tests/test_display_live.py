"""Live curves: one place on the page however often they are drawn, and none in batch."""

import pytest

from dishvl_lib.display import live

ROWS = [
    {"step": 10, "max_steps": 40, "loss": 2.0, "eta_s": 30.0},
    {"step": 20, "max_steps": 40, "loss": 1.0, "eval_loss": 1.2, "eval_naming_accuracy": 0.5},
]


@pytest.fixture
def shown(monkeypatch):
    """What was displayed and updated, in order."""
    seen = []

    class Handle:
        def update(self, figure):
            seen.append(("update", figure))

    monkeypatch.setattr(
        live, "display", lambda figure, display_id: seen.append(("display", figure)) or Handle()
    )
    return seen


def test_the_second_drawing_takes_the_place_of_the_first(shown):
    curves = live.Curves()
    curves(ROWS[:1])
    curves(ROWS)
    assert [what for what, _ in shown] == ["display", "update"]
    first, second = (figure for _, figure in shown)
    assert first.get_suptitle() == "10 / 40, about 30 s left"
    assert second.get_suptitle() == "20 / 40"
    assert len(second.axes) > len(first.axes)


def test_only_where_a_notebook_is_open(monkeypatch):
    monkeypatch.delenv(live.SESSION, raising=False)
    assert live.curves() is None
    monkeypatch.setenv(live.SESSION, "04_training.ipynb")
    assert isinstance(live.curves("zh"), live.Curves)
