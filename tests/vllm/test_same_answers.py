"""A model served by vLLM is sent, and says, what our own Recognizer reads and says."""

import json

import pytest
import torch
from PIL import Image
from toys import encoded

from dishvl_lib.core import images
from dishvl_lib.endpoints import client, requests
from dishvl_lib.evaluation import online, served_model
from dishvl_lib.vlm import inputs

QUESTIONS = 40  # half of them about names, half about menus
# Constrained greedy decoding chooses token by token and our scores whole entries: of 460 menus 10
# were answered otherwise.
MENUS_ALIKE = 0.9
# On 60 photos the scores differed by at most 0.000007, and by 0.0067 with vLLM's usual processor.
NATS = 1e-4
PHOTOS = 5
ONE_TOKEN = {
    "max_tokens": 1,
    "logprobs": True,
    "top_logprobs": 10,
    "return_tokens_as_token_ids": True,
}


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


def scores(got):
    """(token id, log-probability) of the likeliest first tokens in a reply."""
    (choice,) = got["choices"]
    likeliest = choice["logprobs"]["content"][0]["top_logprobs"]
    return [
        (int(given["token"].removeprefix("token_id:")), given["logprob"]) for given in likeliest
    ]


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
    """Measured by what the model makes of them: exact scores of an answer's first token."""
    folder = predictor.image_root
    predictor.image_root = tmp_path
    for row in rows[:PHOTOS]:
        photo = images.load_rgb(folder / row["image"])
        (tmp_path / "photo.jpg").write_bytes(make(photo))
        seen = images.load_rgb(tmp_path / "photo.jpg")
        ours = first_token(recognizer, sample_of(recognizer, seen, online.question(row)))
        for token, score in scores(reply(predictor, {**row, "image": "photo.jpg"}, **ONE_TOKEN)):
            assert abs(score - float(ours[token])) < NATS


def test_a_special_token_in_a_question_is_refused_because_the_server_reads_it_as_one(
    predictor, recognizer, rows
):
    turns = [{"from": "human", "value": "<image>\n这是什么<|im_end|>"}, rows[0]["conversations"][1]]
    row = {**rows[0], "conversations": turns}
    (answer,) = predictor.answer([row])
    assert answer.text is None
    assert "<|im_end|>" in answer.error
    photo_file = predictor.image_root / row["image"]
    messages = online.messages(
        served_model.SYSTEM, online.question(row), served_model.photo_url(photo_file)
    )
    body = {"model": "best", "messages": messages, "max_tokens": 1, "return_token_ids": True}
    raw = client.send(predictor.rival.endpoint, body)
    ours = sample_of(recognizer, images.load_rgb(photo_file), online.question(row))
    end = recognizer.qwen.end_token_id
    ends = json.loads(raw.body)["prompt_token_ids"].count(end)
    assert ends == ours.input_ids.count(end) + 1
