"""A model served by vLLM is sent, and says, what our own Recognizer reads and says."""

import json
import math

import pytest
import torch
from PIL import Image
from toys import encoded

from dishvl_lib.core import images
from dishvl_lib.endpoints import client, requests
from dishvl_lib.evaluation import online
from dishvl_lib.vlm import inputs

QUESTIONS = 40  # half of them about names, half about menus
# Constrained greedy decoding chooses token by token and our scores whole entries: of 460 menus 10
# were answered otherwise.
MENUS_ALIKE = 0.9
NATS = 1e-3


@pytest.fixture(scope="session")
def rows(run):
    """Questions about names and menus, of different photos as far as there are."""
    half = QUESTIONS // 2
    names = [row for row in run.rows if row["kind"] == "naming"][:half]
    menus = [row for row in run.rows if row["kind"] == "menu"][-half:]
    assert names
    assert menus
    return names + menus


@pytest.fixture
def predictor(run, base_url, tmp_path):
    entry = {"name": "vllm", "base_url": base_url, "model": "best", "dishvl": True}
    (rival,) = online.connect([{**entry, "max_tokens": 64}])
    hashes = {row["image_id"]: row["image_id"] for row in run.rows}
    return online.EndpointPredictor(
        rival, run.image_root, hashes, tmp_path / "journal.sqlite", run="r", budget={}
    )


def reply(predictor, row, **more):
    """The body of the server's reply to the request that the predictor sends for a row."""
    endpoint = predictor.rival.endpoint
    request = predictor._request(row)
    body = requests.body(endpoint, request.messages(), request, "prompt")
    raw = client.send(endpoint, {**body, **more})
    assert raw.http_status == 200, raw.body
    return json.loads(raw.body)


def sample_of(recognizer, photo, text):
    return inputs.build(recognizer.qwen, inputs.photo_inputs(recognizer.qwen, photo), text)


def test_the_prompts_are_the_same_tokens(predictor, recognizer, rows):
    for row in rows:
        photo = images.load_rgb(predictor.image_root / row["image"])
        sample = sample_of(recognizer, photo, online.question(row))
        got = reply(predictor, row, max_tokens=1, return_token_ids=True)
        assert got["prompt_token_ids"] == sample.input_ids, row["id"]


def test_the_names_are_the_same_texts(predictor, recognizer, rows):
    """Also where the served folder's generation_config.json has a repetition penalty."""
    names = [row for row in rows if row["kind"] == "naming"]
    photos = [predictor.image_root / row["image"] for row in names]
    texts = [online.question(row) for row in names]
    ours = recognizer.answer(list(zip(photos, texts, strict=True)))
    served = [answer.text for answer in predictor.answer(names)]
    assert served == ours


def test_the_choices_are_entries_and_nearly_all_the_same(predictor, recognizer, rows):
    menus = [row for row in rows if row["kind"] == "menu"]
    answers = predictor.answer(menus)
    alike = 0
    for row, answer in zip(menus, answers, strict=True):
        assert answer.text in row["menu"]
        query = (online.question(row), row["menu"])
        (ours,) = recognizer.answer_questions([(predictor.image_root / row["image"], [], [query])])
        best, _ = ours.choices[0].entries[0]
        alike += best == answer.text
    print(f"\n{alike} of {len(menus)} menus are answered as by exact scores")
    assert alike >= MENUS_ALIKE * len(menus)


def first_token(recognizer, sample):
    """Log-probabilities (vocabulary,) of the answer's first token."""
    batch = inputs.collate([sample], recognizer.qwen.tokenizer.pad_token_id)
    batch.pop("labels")
    with torch.inference_mode():
        logits = recognizer.qwen.model(**batch).logits
    return torch.log_softmax(logits[0, -1].double(), dim=-1)


def jpeg(photo):
    return encoded(photo, "JPEG")


def turned(photo):
    exif = Image.Exif()
    exif[images.ORIENTATION] = 6
    return encoded(photo, "JPEG", exif=exif)


def transparent(photo):
    faded = photo.convert("RGBA")
    faded.putalpha(120)
    return encoded(faded, "PNG")


def webp(photo):
    return encoded(photo, "WEBP")


def palette(photo):
    return encoded(photo.convert("P"), "GIF")


@pytest.mark.parametrize("make", [jpeg, turned, transparent, webp, palette])
def test_the_server_sees_the_same_pixels(predictor, recognizer, rows, tmp_path, make):
    """Measured by what the model makes of them: the exact score of an answer's first token."""
    source = rows[0]
    photo = images.load_rgb(predictor.image_root / source["image"])
    (tmp_path / "photo.jpg").write_bytes(make(photo))
    predictor.image_root = tmp_path
    row = {**source, "image": "photo.jpg"}
    sample = sample_of(recognizer, images.load_rgb(tmp_path / "photo.jpg"), online.question(row))
    ours = first_token(recognizer, sample)
    got = reply(predictor, row, max_tokens=1, logprobs=True, return_token_ids=True)
    served = got["choices"][0]["logprobs"]["content"][0]["logprob"]
    token = got["choices"][0]["token_ids"][0]
    assert math.isclose(served, float(ours[token]), abs_tol=NATS)


def test_a_special_token_in_a_question_never_reaches_the_server(predictor, rows):
    """There it would be the token itself."""
    turns = [{"from": "human", "value": "<image>\n这是什么<|im_end|>"}, rows[0]["conversations"][1]]
    (answer,) = predictor.answer([{**rows[0], "conversations": turns}])
    assert answer.text is None
    assert "<|im_end|>" in answer.error
