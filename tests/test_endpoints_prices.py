"""Tokens and money: bounds that hold, estimates in order, and usage that no body can break."""

import pytest

from dishvl_lib.endpoints import client, prices

PHOTO = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "菜" * 100},
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + "A" * 10**6}},
        ],
    }
]


def test_the_bound_counts_bytes_photos_and_the_longest_answer_but_not_the_photos_bytes():
    most = prices.most_usage(PHOTO, {"a": 1}, 500)
    likely = prices.likely_usage(PHOTO, {"a": 1}, 200)
    assert most == {
        "prompt_tokens": 300 + 8 + prices.MESSAGE_TOKENS + prices.MOST_IMAGE_TOKENS,
        "completion_tokens": 500,
    }
    assert likely == {
        "prompt_tokens": 103 + prices.MESSAGE_TOKENS + prices.IMAGE_TOKENS,
        "completion_tokens": 200,
    }
    assert (
        prices.most_usage([{"role": "user", "content": "abc"}], None, 1)["prompt_tokens"]
        == 3 + prices.MESSAGE_TOKENS
    )


@pytest.mark.parametrize(
    "body, usage",
    [
        (
            '{"usage": {"prompt_tokens": 5, "completion_tokens": null}}',
            {"prompt_tokens": 5, "completion_tokens": 0},
        ),
        (
            '{"usage": {"prompt_tokens": -5, "completion_tokens": 2.9}}',
            {"prompt_tokens": 0, "completion_tokens": 2},
        ),
        ('{"usage": null}', {}),
        ('{"usage": {"prompt_tokens": 5}}', {}),
        ("<html>", {}),
        ("[]", {}),
        ('{"usage": {"prompt_tokens": "x", "completion_tokens": 1}}', {}),
        ('{"usage": {"prompt_tokens": 1e999, "completion_tokens": 1}}', {}),
    ],
)
def test_usage_from_any_body(body, usage):
    assert prices.usage_of(body) == usage


def test_an_estimate_by_hand():
    given = {
        "base_url": "http://x/v1",
        "model": "m",
        "price_input": 2.0,
        "price_output": 8.0,
        "currency": "CNY",
    }
    live = {"name": "live", "concurrency": 10, "tokens_per_minute": 10_000}
    connected = client.connect(
        [
            given | live,
            given | {"name": "batch", "batch": True, "batch_discount": 0.4},
            given | {"name": "slow", "requests_per_minute": 2},
        ]
    )
    table = prices.estimate(
        connected,
        [
            (100, {"prompt_tokens": 1000, "completion_tokens": 100}),
            (50, {"prompt_tokens": 0, "completion_tokens": 200}),
        ],
    )
    likely = (100 * (1000 * 2 + 100 * 8) + 50 * 200 * 8) / 1e6
    assert table.columns.tolist() == prices.COLUMNS
    assert table.requests.tolist() == [150] * 3
    assert table.tokens.tolist() == [120_000] * 3
    assert table.likely.tolist() == pytest.approx([likely, 0.4 * likely, likely])
    assert (table.low < table.likely).all()
    assert (table.likely < table.high).all()
    assert table.minutes.tolist() == [12.0, 24 * 60, 75.0]
    assert set(table.currency) == {"CNY"}
    assert prices.estimate([], []).empty
