"""The builtin annotator: it speaks the protocol, knows its drawn photos by sight and says nothing
it cannot know.
"""

import base64
import http.client
import io
import json
import socket

import numpy as np
import pytest
from PIL import Image

from dishvl_lib.core.images import load_rgb
from dishvl_lib.core.names import clean_folder_name
from dishvl_lib.demo.annotator import MAX_DIFFERENCE, BuiltinAnnotator
from dishvl_lib.demo.cards import DISHES, dish_card, empty_card
from dishvl_lib.demo.dishes import draw_demo_photos

SOME = ("红烧鱼", "红烧鱼块", "土豆丝", "米饭", "素鸡(豆制品)")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("annotator") / "set"
    draw_demo_photos(folder, photos_per_dish=3, seed=3, processes=1, dishes=SOME)
    return folder


@pytest.fixture(scope="module")
def annotator(drawn):
    with BuiltinAnnotator(drawn) as server:
        yield server


def send(server, body, *, path="/v1/chat/completions", method="POST", key="any"):
    connection = http.client.HTTPConnection(
        "127.0.0.1", int(server.base_url.split(":")[2].split("/")[0]), timeout=10
    )
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, data, {"Authorization": f"Bearer {key}"} if key else {})
    reply = connection.getresponse()
    return reply.status, json.loads(reply.read())


def request(wanted, text, photo=None):
    parts = [{"type": "text", "text": text}]
    if photo is not None:
        url = "data:image/jpeg;base64," + base64.b64encode(photo).decode()
        parts.append({"type": "image_url", "image_url": {"url": url}})
    messages = [{"role": "system", "content": "你是营养师。"}, {"role": "user", "content": parts}]
    return {
        "model": "some-model",
        "messages": messages,
        "response_format": {"type": "json_schema", "json_schema": {"name": wanted, "schema": {}}},
    }


def answer(reply):
    return json.loads(reply["choices"][0]["message"]["content"])


def jpeg(image, side=224, quality=60):
    data = io.BytesIO()
    image.resize((side, side)).save(data, "JPEG", quality=quality)
    return data.getvalue()


def test_it_knows_every_drawn_photo_downscaled_and_recompressed_whatever_the_folder_says(
    drawn, annotator
):
    planted = json.loads((drawn / "planted.json").read_text(encoding="utf-8"))
    stored = np.load(drawn / "thumbnails.npz")
    for path, name in zip(stored["paths"], stored["names"], strict=True):
        if path != planted["truncated"]:
            body = request(
                "dish_card",
                "看图填写卡片。\n文件夹名（可能有误）：GX4_6\n",
                jpeg(load_rgb(drawn / path)),
            )
            status, reply = send(annotator, body)
            assert status == 200, path
            assert answer(reply) == DISHES[name].card, path


def test_a_photo_it_did_not_draw_gets_the_cleaned_folder_name_and_nothing_else(annotator):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    status, reply = send(
        annotator, request("dish_card", "文件夹名（可能有误）：红烧鱼1@HGD_20211221", jpeg(noise))
    )
    assert clean_folder_name("红烧鱼1@HGD_20211221") == "红烧鱼" in DISHES
    assert status == 200
    assert answer(reply) == empty_card("红烧鱼")
    assert empty_card("红烧鱼").keys() == dish_card("红烧鱼").keys()


def test_recognition_needs_the_thumbnail_to_be_near(drawn, annotator):
    path = str(np.load(drawn / "thumbnails.npz")["paths"][-2])
    photo = load_rgb(drawn / path)
    darker = photo.point(lambda value: max(0, value - round(3 * MAX_DIFFERENCE)))
    assert annotator.recognise(jpeg(photo)) is not None
    assert annotator.recognise(jpeg(darker)) is None


def test_without_photos_it_knows_none():
    with BuiltinAnnotator() as server:
        grey = jpeg(Image.new("RGB", (40, 40), "grey"))
        _, reply = send(server, request("dish_card", "文件夹名（可能有误）：GX4_6", grey))
    assert answer(reply)["name"] == "GX4_6"
    assert answer(reply)["ingredients"] == []


def test_texts_come_for_known_dishes_with_a_full_card_only(annotator):
    dish = DISHES["红烧鱼"]

    def texts(card):
        prompt = f"写介绍。\n菜品卡片：{json.dumps(card, ensure_ascii=False)}\n"
        return answer(send(annotator, request("dish_texts", prompt))[1])

    assert texts(dish.card) == {"introduction": dish.introduction, "recipe": dish.recipe}
    nothing = {"introduction": "", "recipe": ""}
    assert texts(empty_card("没有的菜")) == nothing
    assert texts(dish.card | {"ingredients": []}) == nothing, (
        "an empty card means that nobody saw the dish"
    )


def test_a_reply_has_the_protocols_form_and_its_counts_add_up(annotator):
    status, reply = send(annotator, request("dish_texts", "菜品卡片：{}"))
    assert status == 200
    assert reply["object"] == "chat.completion"
    assert reply["id"].startswith("chatcmpl-")
    assert reply["model"] == "some-model"
    assert reply["choices"][0]["finish_reason"] == "stop"
    usage = reply["usage"]
    assert usage["prompt_tokens"] > 0
    assert usage["completion_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    status, models = send(annotator, b"", path="/v1/models", method="GET")
    assert status == 200
    assert models["object"] == "list"
    assert models["data"][0]["object"] == "model"


GOOD = request("dish_texts", "菜品卡片：{}")


@pytest.mark.parametrize(
    "body, message",
    [
        (b"{not json", "property name"),
        ([], "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hello"]}, "messages"),
        ({"messages": GOOD["messages"]}, "json_schema"),
        (GOOD | {"response_format": {"json_schema": {"name": "poem"}}}, "poem"),
        (GOOD | {"messages": [{"role": "user", "content": 3}]}, "content"),
        (request("dish_texts", "no card here"), "菜品卡片"),
        (request("dish_texts", "菜品卡片：[1]"), "JSON object"),
        (request("dish_card", "no photo here"), "image_url"),
        (request("dish_card", "x", b"not a photo"), "decoded"),
        (
            GOOD
            | {
                "messages": [
                    {"content": [{"type": "image_url", "image_url": {"url": "http://x/z.jpg"}}]}
                ]
            },
            "data URL",
        ),
    ],
)
def test_a_malformed_request_is_a_400_that_says_what_is_wrong(annotator, body, message):
    status, reply = send(annotator, body)
    assert status == 400
    assert message in reply["error"]["message"]
    assert reply["error"]["type"] == "invalid_request_error"


def test_no_key_is_401_and_another_path_404(annotator):
    assert send(annotator, GOOD, key="")[0] == 401
    assert send(annotator, GOOD, path="/v1/embeddings")[0] == 404


def test_a_port_in_use_is_one_clear_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} is in use"):
            BuiltinAnnotator(port=port)


def test_latency_is_waited_and_stop_frees_the_port():
    server = BuiltinAnnotator(latency_s=0.2).start()
    port = int(server.base_url.split(":")[2].split("/")[0])
    status, _ = send(server, GOOD)
    server.stop()
    assert status == 200
    BuiltinAnnotator(port=port).stop()
