"""What servers' errors say, in all the bodies they come in."""

import json

import pytest

from dishvl_lib.endpoints import server_errors


def error(message="no", **more):
    return {"error": {"message": message, **more}}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (error("too big", code="x"), "too big"),
        ({"error": "too big"}, "too big"),
        ({"error": json.dumps(error("too big"))}, "too big"),
        ({"errors": [{"message": "too big"}]}, "too big"),
        ([error("too big", code=400)], "too big"),
        ({"object": "error", "message": "too big", "code": 400}, "too big"),
        ({"code": "InvalidParameter", "message": "too big"}, "too big"),
        ({"detail": "too big"}, "too big"),
        ({"detail": [{"loc": ["body", "n"], "msg": "too big"}]}, "n: too big"),
        ({"detail": {"error": {"message": "too big"}}}, "too big"),
        ({"base_resp": {"status_code": 1002, "status_msg": "too big"}}, "too big"),
        ({"error_code": 336003, "error_msg": "too big"}, "too big"),
        (
            "<html><head><title>502 Bad Gateway</title></head><body>x</body></html>",
            "502 Bad Gateway",
        ),
        ("upstream connect error", "upstream connect error"),
        ("", ""),
        ({"error": [1]}, ""),
    ],
)
def test_the_servers_own_sentence(body, sentence):
    text = body if isinstance(body, str) else json.dumps(body)
    assert server_errors.read(text).sentence == sentence


def test_what_a_gateway_passes_on_is_said_too():
    raw = json.dumps(error("bad image"))
    body = error("Provider returned error", code=400, metadata={"raw": raw})
    assert server_errors.read(json.dumps(body)).sentence == "Provider returned error; bad image"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (error(code="x", type="y"), "x"),
        (error(type="exceeded_current_quota_error"), "exceeded_current_quota_error"),
        (error(code="1113"), "1113"),
        (error(code=400, status="INVALID_ARGUMENT"), "INVALID_ARGUMENT"),
        ({"message": "no", "code": 400, "type": "BadRequestError"}, "BadRequestError"),
        (error(), ""),
    ],
)
def test_the_code_to_show_is_more_than_a_status(body, code):
    assert server_errors.read(json.dumps(body)).code == code


@pytest.mark.parametrize(
    "body",
    [
        error(code="insufficient_quota"),
        error(type="exceeded_current_quota_error"),
        error("余额不足或无可用资源包,请充值。", code="1113"),
        error("Access denied, please make sure your account is in good standing."),
        error(code="Arrearage"),
        error(code="AllocationQuota.FreeTierOnly"),
        error(code="AccountOverdueError"),
        error(code="insufficient_user_quota", message="用户额度不足"),
        error("Insufficient Balance", code="invalid_request_error"),
        error("Your credit balance is too low to access the API"),
        error("You exceeded your current quota, please check your plan and billing details."),
        {"code": 30001, "message": "Sorry, your account balance is insufficient"},
        {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
    ],
)
def test_an_empty_account_however_it_is_said(body):
    assert server_errors.read(json.dumps(body)).kind == server_errors.NO_MONEY


@pytest.mark.parametrize(
    "body",
    [
        error("Rate limit reached for requests per minute", code="rate_limit_exceeded"),
        error("You exceeded your current quota. Please retry in 12s", status="RESOURCE_EXHAUSTED"),
        error("exceeded token rate limit of your pricing tier; increase the quota", code="429"),
        error("Allocated quota exceeded", code="Throttling.AllocationQuota"),
        error("您当前使用该API的并发数过高", code="1302"),
    ],
)
def test_a_limit_that_passes_is_no_empty_account(body):
    assert server_errors.read(json.dumps(body)).kind != server_errors.NO_MONEY


@pytest.mark.parametrize(
    "body",
    [
        error(code="content_filter"),
        error(code="data_inspection_failed"),
        error("Input data may contain inappropriate content.", code="DataInspectionFailed"),
        error("系统检测到输入或生成内容可能包含不安全或敏感内容", code="1301"),
        error(code="InputImageSensitiveContentDetected"),
        error("Content Exists Risk", code="invalid_request_error"),
        error("The response was filtered", innererror={"code": "ResponsibleAIPolicyViolation"}),
        error("Your input was flagged"),
        {"base_resp": {"status_code": 1026, "status_msg": "new_sensitive"}},
    ],
)
def test_a_content_filter_however_it_is_said(body):
    assert server_errors.read(json.dumps(body)).kind == server_errors.FILTERED


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (error("not supported", param="response_format"), "response_format"),
        (error("guided decoding is off: json_schema is not supported"), "response_format"),
        ({"error": "'response_format.type' must be 'json_object' or 'text'"}, "response_format"),
        (error("Unsupported value", param="temperature"), "temperature"),
        (error("'temperature' does not support 0 with this model"), "temperature"),
        (
            error("'max_tokens' is not supported. Use 'max_completion_tokens' instead."),
            "max_tokens",
        ),
        (
            {"detail": [{"loc": ["body", "max_tokens"], "msg": "extra fields not permitted"}]},
            "max_tokens",
        ),
    ],
)
def test_the_field_that_is_refused(body, field):
    error_read = server_errors.read(json.dumps(body))
    assert error_read.kind == server_errors.REFUSED_FIELD
    assert error_read.field == field


@pytest.mark.parametrize(
    "body",
    [
        {"detail": [{"loc": ["body", "max_tokens"], "msg": "ensure this value is less than 1024"}]},
        error("Range of max_tokens should be [1, 8192]"),
        error("'max_tokens' or 'max_completion_tokens' is too large: 9000"),
    ],
)
def test_an_answer_that_may_not_be_so_long_is_no_refused_field(body):
    assert server_errors.read(json.dumps(body)).kind == server_errors.TOO_LONG


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ([error("API key not valid. Please pass a valid API key.")], server_errors.BAD_KEY),
        (error("Incorrect API key provided", code="invalid_api_key"), server_errors.BAD_KEY),
        (error("Model Not Exist"), server_errors.NO_MODEL),
        (error("无可用渠道", code="model_not_found"), server_errors.NO_MODEL),
        (error("Model does not support images."), server_errors.OTHER),
    ],
)
def test_other_kinds(body, kind):
    assert server_errors.read(json.dumps(body)).kind == kind


@pytest.mark.parametrize(
    "body",
    [
        {"choices": None},
        {"choices": None, "usage": None, "id": "x"},
        {"base_resp": {"status_code": 0, "status_msg": ""}, "choices": []},
        {"error": None},
        [],
        3,
        None,
    ],
)
def test_a_reply_without_an_error_has_none(body):
    assert server_errors.envelope(body) is None


def test_a_field_that_is_only_mentioned_is_not_refused():
    sentence = "cannot decode the image in {'temperature': 0, 'max_tokens': 9}"
    assert server_errors.read(json.dumps(error(sentence))).kind == server_errors.OTHER


def test_an_error_in_the_place_of_a_completion():
    assert server_errors.envelope(error("oops", code=502)).http_status == 502
    assert server_errors.envelope({"code": 500, "msg": "oops"}).sentence == "oops"


@pytest.mark.parametrize(
    "body", ['data: {"choices": []}\n\n', "event: error\ndata: {}", ": ping\ndata: x"]
)
def test_an_event_stream_is_known(body):
    assert server_errors.is_event_stream(body)


@pytest.mark.parametrize("body", ['{"data": 1}', "<html>", "", "database: down"])
def test_other_bodies_are_no_event_stream(body):
    assert not server_errors.is_event_stream(body)
