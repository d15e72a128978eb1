"""Files and batches of the local server, as the official client sees them."""

import json

import openai
import pytest

from dishvl_lib.demo.annotator import BuiltinAnnotator
from dishvl_lib.demo.batches import BadRequest

ORDER = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
TEXTS = {
    "response_format": {"type": "json_schema", "json_schema": {"name": "dish_texts", "schema": {}}}
}


@pytest.fixture
def server():
    with BuiltinAnnotator(batch_s=0.3) as annotator:
        yield annotator


@pytest.fixture
def api(server):
    return openai.OpenAI(
        base_url=server.base_url,
        api_key="any",
        max_retries=0,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    )


def lines(*contents):
    bodies = [
        {"model": "m", "messages": [{"role": "user", "content": content}], **TEXTS}
        for content in contents
    ]
    return "".join(
        json.dumps(
            {"custom_id": f"c{i}", "method": "POST", "url": ORDER["endpoint"], "body": body},
            ensure_ascii=False,
        )
        + "\n"
        for i, body in enumerate(bodies)
    ).encode()


def test_a_file_comes_back_as_it_was_sent(api):
    content = lines("菜品卡片：{}", "第二行\r\n--还有") + bytes(range(256))
    file = api.files.create(file=("in.jsonl", content), purpose="batch")
    assert api.files.content(file.id).content == content
    assert file.bytes == len(content)


def test_a_batch_takes_its_time_and_answers_line_by_line(api, server):
    file = api.files.create(file=("in.jsonl", lines("菜品卡片：{}", "no card")), purpose="batch")
    batch = api.batches.create(input_file_id=file.id, metadata={"mark": "1"}, **ORDER)
    assert batch.status == "in_progress" == api.batches.retrieve(batch.id).status
    assert batch.metadata == {"mark": "1"}
    server.desk.batches[batch.id]["ready_at"] = 0
    done = api.batches.retrieve(batch.id)
    (good,), (bad,) = (
        [json.loads(line) for line in api.files.content(file_id).text.splitlines()]
        for file_id in (done.output_file_id, done.error_file_id)
    )
    assert done.status == "completed"
    assert (good["custom_id"], good["response"]["status_code"]) == ("c0", 200)
    assert good["response"]["body"]["choices"]
    assert (bad["custom_id"], bad["response"]["status_code"]) == ("c1", 400)
    assert "菜品卡片" in bad["response"]["body"]["error"]["message"]
    assert api.batches.retrieve(batch.id).output_file_id == done.output_file_id, (
        "it is answered once"
    )


def test_batches_are_listed_newest_first_over_pages(api):
    file = api.files.create(file=("in.jsonl", lines("菜品卡片：{}")), purpose="batch")
    ids = [
        api.batches.create(input_file_id=file.id, metadata={"n": str(i)}, **ORDER).id
        for i in range(5)
    ]
    assert [batch.id for batch in api.batches.list(limit=2)] == ids[::-1]


def test_a_form_whose_file_is_a_form_itself_is_refused(server):
    inner = 'Content-Type: multipart/mixed; boundary="in"\r\n\r\n--in\r\n\r\nx\r\n--in--\r\n'
    head = '--out\r\nContent-Disposition: form-data; name="file"\r\n'
    body = f"{head}{inner}--out--\r\n".encode()
    with pytest.raises(BadRequest, match="parts of its own"):
        server.desk.upload('multipart/form-data; boundary="out"', body)


def test_what_is_not_there_is_404_and_what_is_wrong_400(api):
    for call in (
        lambda: api.batches.retrieve("x"),
        lambda: api.files.content("x"),
        lambda: api.files.retrieve("x"),
    ):
        with pytest.raises(openai.NotFoundError):
            call()
    with pytest.raises(openai.BadRequestError, match="input_file_id 'x' is not an uploaded file"):
        api.batches.create(input_file_id="x", **ORDER)
    with pytest.raises(openai.BadRequestError, match="no part called file"):
        api.post("/files", body={"purpose": "batch"}, cast_to=object)
