"""An endpoint that serves one of our models: what it is sent is what the model was trained on."""

import base64
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tiny
from evaluation_toys import row
from PIL import Image
from toys import Server, completion, encoded, jpeg, picture, rotated

from dishvl_lib.core import images, questions
from dishvl_lib.endpoints import requests
from dishvl_lib.endpoints.errors import EndpointError
from dishvl_lib.evaluation import online, served_model
from dishvl_lib.vlm import inputs, qwen

MENU = ["红烧鱼", "素鸡(豆制品)", 'Fish "XO"', "B\\C", "café 拿铁", "米饭 200克", "🍜面"]
WORDINGS = [
    template
    for template in questions.TEMPLATES
    if template.kind in ("naming", "menu", "menu_absent")
]
ENDPOINT = {"name": "vllm", "model": "best", "concurrency": 1, "max_tokens": 64}


@pytest.fixture
def photos(tmp_path):
    """40 photos of different sizes, as JPEG, PNG and WebP under the suffix .jpg."""
    kinds = ("JPEG", "PNG", "WEBP")
    for number in range(40):
        photo = picture(number, (96 + 7 * number, 72))
        (tmp_path / f"{number}.jpg").write_bytes(encoded(photo, kinds[number % 3]))
    return tmp_path


def questions_of_every_wording():
    """40 questions: all wordings of names and menus, those for testing included, menus of 1 to 7
    entries.
    """
    rows = []
    for number in range(40):
        wording = WORDINGS[number % len(WORDINGS)]
        menu = [] if wording.kind == "naming" else MENU[: 1 + number % len(MENU)]
        turns = [
            {"from": "human", "value": questions.human_turn(wording.id, menu)},
            {"from": "gpt", "value": MENU[0]},
        ]
        rows.append(
            row(number, MENU[0], menu, wording.kind, template=wording.id, conversations=turns)
        )
    return rows


def predictor(server, folder, **changed):
    rival = online.connect([{**ENDPOINT, "base_url": server.base_url, **changed}])[0]
    hashes = {f"i{number}": f"sha{number}" for number in range(40)}
    return online.EndpointPredictor(
        rival, folder, hashes, folder / "journal.sqlite", run="r", budget={}, pace=1e-3
    )


def sent_for(rows, folder, **changed):
    """The requests that are sent, in the order of the rows."""
    with Server(lambda _: (200, completion(MENU[0]))) as server:
        predictor(server, folder, **changed).answer(rows)
    return server.requests


def sent_photo(request):
    """The bytes of the photo in a request."""
    url = request["messages"][-1]["content"][0]["image_url"]["url"]
    return base64.b64decode(url.partition(",")[2])


def server_tokens(loaded, messages, num_image_tokens):
    """Token ids as a server makes them: the chat template over the messages, then the tokenizer
    over its text, special tokens and all; the photo's token as often as it has places.
    """
    system, user = messages
    _, question = user["content"]
    seen = [system, {"role": "user", "content": [{"type": "image"}, question]}]
    text = loaded.tokenizer.apply_chat_template(seen, tokenize=False, add_generation_prompt=True)
    ids = loaded.tokenizer.encode(text, add_special_tokens=False)
    place = ids.index(loaded.image_token_id)
    return ids[:place] + [loaded.image_token_id] * num_image_tokens + ids[place + 1 :]


@pytest.fixture(params=["a trained folder", "the 7B's files"])
def loaded(request, tmp_path):
    if request.param == "a trained folder":
        return qwen.load_inputs(str(tiny.base_folder(tmp_path / "model")), 3136, 28 * 28 * 12)
    if not os.environ.get("DISHVL_TEST_DATA"):
        pytest.skip("DISHVL_TEST_DATA is not set: the real tokenizer files are not at hand")
    files = Path(os.environ["DISHVL_TEST_DATA"]) / "qwen2_5_vl_7b_files"
    return qwen.load_inputs(str(files), 3136, 28 * 28 * 12)


def test_the_photo_is_sent_as_it_is_and_the_prompt_has_the_tokens_of_training(loaded, photos):
    rows = questions_of_every_wording()
    sent = sent_for(rows, photos, dishvl=True)
    assert {row["template"] for row in rows} == {wording.id for wording in WORDINGS}
    assert len(sent) == 40
    for question_row, request in zip(rows, sent, strict=True):
        file = photos / question_row["image"]
        assert sent_photo(request) == file.read_bytes()
        photo = inputs.photo_inputs(loaded, images.load_rgb(file))
        trained = inputs.build(loaded, photo, online.question(question_row))
        assert server_tokens(loaded, request["messages"], photo.num_tokens) == trained.input_ids


def test_without_the_key_they_are_other_tokens(loaded, photos):
    """What the key is for: 05's own prompt is not the one of training."""
    question_row = row(0)
    (request,) = sent_for([question_row], photos)
    photo = inputs.photo_inputs(loaded, images.load_rgb(photos / "0.jpg"))
    trained = inputs.build(loaded, photo, online.question(question_row)).input_ids
    assert server_tokens(loaded, request["messages"], photo.num_tokens) != trained


def test_menus_carry_their_entries_as_the_only_choices_and_names_are_free(photos):
    rows = [row(0), row(1, MENU[0], MENU), row(2, questions.NOT_ON_MENU, MENU, "menu_absent")]
    naming, menu, absent = sent_for(rows, photos, dishvl=True)
    assert "structured_outputs" not in naming
    assert menu["structured_outputs"] == {"choice": MENU}
    assert absent["structured_outputs"] == {"choice": [*MENU, questions.NOT_ON_MENU]}


def test_an_answer_has_no_probability(photos):
    with Server(lambda _: (200, completion(MENU[0]))) as server:
        (answer,) = predictor(server, photos, dishvl=True).answer([row(0, MENU[0], MENU)])
    assert answer.text == MENU[0]
    assert list(answer.scores) == []
    assert list(answer.log_probabilities) == []


def test_the_folders_own_repetition_penalty_does_not_decide(photos):
    """The 7B's generation_config.json has one, and servers take it where a request says nothing."""
    (request,) = sent_for([row(0)], photos, dishvl=True)
    assert request["repetition_penalty"] == 1.0
    assert request["temperature"] == 0
    given = {"repetition_penalty": 1.1}
    (request,) = sent_for([row(1)], photos, dishvl=True, parameters=given)
    assert request["repetition_penalty"] == 1.1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_a_photo_is_sent_as_it_lies_on_the_disk(photos, kind):
    content = encoded(picture(7), kind)
    (photos / "0.jpg").write_bytes(content)
    url = served_model.photo_url(photos / "0.jpg")
    assert url.startswith(f"data:image/{kind.lower()};base64,")
    assert base64.b64decode(url.partition(",")[2]) == content


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_a_photo_that_a_camera_turned_by_its_tag_is_sent_as_it_is(photos, orientation):
    (photos / "0.jpg").write_bytes(rotated(3, orientation))
    url = served_model.photo_url(photos / "0.jpg")
    assert base64.b64decode(url.partition(",")[2]) == rotated(3, orientation)


def transparent():
    faded = picture(1).convert("RGBA")
    faded.putalpha(100)
    return encoded(faded, "PNG")


def deep():
    values = np.linspace(0, 65535, 72 * 96).reshape(72, 96).astype(np.uint16)
    return encoded(Image.fromarray(values), "PNG")


def palette():
    return encoded(picture(1).convert("P"), "GIF")


@pytest.mark.parametrize("make", [transparent, deep, palette])
def test_a_photo_that_a_server_would_see_otherwise_is_sent_as_the_pixels_that_we_see(photos, make):
    (photos / "0.jpg").write_bytes(make())
    url = served_model.photo_url(photos / "0.jpg")
    assert url.startswith("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as sent:
        assert sent.mode == "RGB"
        assert sent.tobytes() == images.load_rgb(photos / "0.jpg").tobytes()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"hello", "not an image"), (jpeg(1)[:900], "damaged"), (None, "missing")],
    ids=["empty", "no photo", "cut", "gone"],
)
def test_a_photo_that_cannot_be_used_is_a_recorded_failure_and_is_not_sent(photos, content, reason):
    (photos / "0.jpg").unlink()
    if content is not None:
        (photos / "0.jpg").write_bytes(content)
    with Server(lambda _: (200, completion("米饭"))) as server:
        answers = predictor(server, photos, dishvl=True).answer([row(0), row(1)])
    assert reason in answers[0].error
    assert answers[1].text == "米饭"
    assert len(server.requests) == 1


@pytest.mark.parametrize("token", ["<|im_end|>", "<|image_pad|>", "<tool_call>", "<|endoftext|>"])
def test_a_question_with_a_special_token_is_refused_before_anything_is_sent(photos, token):
    refused = row(0, MENU[0], ["红烧鱼", f"米饭{token}"])
    with Server(lambda _: (200, completion("米饭"))) as server:
        (answer,) = predictor(server, photos, dishvl=True).answer([refused])
    assert server.requests == []
    assert token in answer.error
    assert "was not sent" in answer.error
    assert answer.text is None


def test_without_the_key_a_request_is_what_it_was(photos):
    """To the byte, photo and all, and so is the key that its reply is stored under."""
    question_row = row(0, MENU[0], MENU[:2])
    (request,) = sent_for([question_row], photos)
    expected = {
        "model": "best",
        "messages": [
            {"role": "system", "content": online.SYSTEM},
            {
                "role": "user",
                "content": [
                    {
                        "type": "image_url",
                        "image_url": {"url": online._data_url(photos / "0.jpg")},
                    },
                    {"type": "text", "text": questions.ask("menu-1", MENU[:2])},
                ],
            },
        ],
        "temperature": 0,
        "max_tokens": 64,
    }
    assert json.dumps(request) == json.dumps(expected)
    rival = online.connect([{**ENDPOINT, "base_url": "http://127.0.0.1:1/v1"}])[0]
    asker = online.EndpointPredictor(
        rival, photos, {"i0": "sha0"}, photos / "j.sqlite", run="r", budget={}
    )
    stored_under = requests.key(rival.endpoint, asker._request(question_row))
    assert stored_under == "47a14dbb8f84ff72e798e89c1e35ccdbcadee10b088cbf010c08c507ab73154b"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"system": ""}, "dishvl: true settles system; take out one or the other"),
        ({"structured": "plain"}, "dishvl: true settles structured"),
        ({"dishvl": "yes"}, "dishvl must be bool"),
    ],
)
def test_what_the_key_settles_is_not_given_beside_it(more, words):
    given = {**ENDPOINT, "base_url": "http://127.0.0.1:1/v1", "dishvl": True, **more}
    with pytest.raises(EndpointError, match=words):
        online.connect([given])


def test_the_key_may_be_false_beside_anything():
    given = {**ENDPOINT, "base_url": "http://127.0.0.1:1/v1", "dishvl": False, "system": "你好"}
    (rival,) = online.connect([given])
    assert rival.system == "你好"
    assert not rival.dishvl
