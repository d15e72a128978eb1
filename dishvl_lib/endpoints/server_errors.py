"""What a server's error says, in whatever body it comes: its codes, its own sentence, the field of
the request that it is about, and which of the known kinds it is.
"""

import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dishvl_lib.core.types import RecordView

NO_MONEY = "no money"
FILTERED = "filtered"
BAD_KEY = "bad key"
NO_MODEL = "no model"
TOO_FAST = "too fast"
REFUSED_FIELD = "refused field"
TOO_LONG = "too long"
OTHER = "other"

RESPONSE_FORMAT = "response_format"
# Fields that we send and a model may refuse. Of two in one sentence the first counts: "max_tokens
# is not supported, use max_completion_tokens".
FIELDS = (RESPONSE_FORMAT, "temperature", "max_tokens", "max_completion_tokens")

_ENVELOPES = ("error", "errors", "base_resp", "detail", "fault", "Error")
_SENTENCES = (
    "message",
    "msg",
    "detail",
    "error_description",
    "error_message",
    "error_msg",
    "errorMessage",
    "errorMsg",
    "status_msg",
    "title",
    "reason",
)
_CODES = ("code", "error_code", "errorCode", "status_code", "type", "status", "reason")
_FINE_CODES = ("", "0", "200", "ok", "success", "none", "null", "error")

# Moonshot, Zhipu (1113), DashScope, Ark, MiniMax (1008), SiliconFlow (30001), one-api and others.
_NO_MONEY_CODES = (
    "insufficient_quota",
    "insufficient_user_quota",
    "insufficient_balance",
    "insufficientbalance",
    "insufficient_credits",
    "exceeded_current_quota",
    "billing_hard_limit",
    "billing_not_active",
    "accountoverdue",
    "account_overdue",
    "arrearage",
    "freetieronly",
    "billoverdue",
    "notpurchased",
    "packageexhausted",
    "packexhausted",
    "pre_consume_token_quota_failed",
    "quota_not_enough",
    "quota_exhausted",
    "setlimitexceeded",
)
_NO_MONEY_NUMBERS = ("1113", "1008", "30001")
_NO_MONEY_WORDS = re.compile(
    "insufficient (?:account )?(?:balance|credit|quota|funds)|(?:credit )?balance is (?:too low"
    "|insufficient|not enough)|out of credits|no credits|available credits|payment required"
    "|please recharge|top up your|in arrears|overdue|in good standing|free tier of the model"
    "|free quota|billing (?:is )?(?:not|disabled)|check your plan and billing"
    "|余额不足|额度不足|额度已用|欠费|请充值|余额已|免费额度",
)
# A limit of the minute may speak of the plan, too; whoever says when to come back has money for us.
_PASSES = re.compile("retry in|try again in|per minute|per second|per day|rate limit|rpm|tpm|qps")
_FILTER_CODES = (
    "content_filter",
    "contentfilter",
    "content_policy",
    "sensitive",
    "safety_",
    "_safety",
    "data_inspection",
    "datainspection",
    "censorship",
    "moderation",
    "prohibited_content",
    "responsibleai",
    "risk_detected",
    "riskdetection",
    "new_sensitive",
)
_FILTER_NUMBERS = ("1301", "1026", "1027", "10013", "10014", "451")
_FILTER_WORDS = re.compile(
    "content exists risk|inappropriate content|content (?:management )?policy|content filter"
    "|safety system|safety filter|sensitive (?:content|information|word)|was flagged|moderation"
    "|敏感|不安全|违规内容|内容安全|审核不通过|审核未通过|安全审核",
)
_KEY_CODES = ("invalid_api_key", "api_key_invalid", "invalidapikey", "authentication_error")
_KEY_WORDS = re.compile(
    "api[ _-]?key (?:is )?(?:not valid|invalid|incorrect|missing|expired)|(?:invalid|incorrect"
    "|missing|no) api[ _-]?key|pass a valid api key|令牌无效|无效的令牌|密钥(?:无效|错误)"
)
_NO_MODEL_CODES = ("model_not_found", "modelnotfound", "model_not_exist", "endpointormodel")
_NO_MODEL_NUMBERS = ("1211",)
_NO_MODEL_WORDS = re.compile("model (?:does )?not exist|模型不存在")
_TOO_FAST_CODES = ("rate_limit", "ratelimit", "too_many_requests", "throttling")
_TOO_FAST_NUMBERS = ("1302", "1303", "1305")
_TOO_FAST_WORDS = re.compile("rate limit|too many requests|too fast|请求过于频繁|速率限制")
# The first that fits counts.
_KINDS = (
    (FILTERED, _FILTER_CODES, _FILTER_NUMBERS, _FILTER_WORDS),
    (BAD_KEY, _KEY_CODES, (), _KEY_WORDS),
    (NO_MODEL, _NO_MODEL_CODES, _NO_MODEL_NUMBERS, _NO_MODEL_WORDS),
    (TOO_FAST, _TOO_FAST_CODES, _TOO_FAST_NUMBERS, _TOO_FAST_WORDS),
)
_FORMAT_WORDS = re.compile(
    "response_?format|json_?schema|json_?object|structured[ _]outputs?|json mode|guided[ _]"
    "|结构化输出"
)
# A field that is only mentioned, as where a request is repeated, is not refused.
_REFUSING = (
    "unsupported|not support|does not|must|invalid|only|should|range|unknown|unrecogni[sz]ed"
    "|unexpected|not (?:permitted|allowed)|instead|deprecated|greater|less|at most|too (?:large"
    "|high)|不支持|范围|无效"
)
_FIELD_WORDS = {RESPONSE_FORMAT: _FORMAT_WORDS} | {
    field: re.compile(
        rf"\b{field}\b(?=[^{{}}。]{{0,60}}(?:{_REFUSING}))|(?:{_REFUSING})[^{{}}。]{{0,60}}\b{field}\b"
    )
    for field in FIELDS[1:]
}
_LENGTH_WORDS = re.compile(
    "less than|greater than|at most|at least|should be in|range|too (?:large|high|big)|exceed"
    "|larger than|maximum|between|不能超过|不能大于|范围"
)
_UNKNOWN_WORDS = re.compile(
    "unsupported|not support|instead|unknown|unrecognized|unexpected|not (?:permitted|allowed)"
    "|deprecated|不支持"
)
_TAGS = re.compile(r"<(style|script)\b.*?</\1>|<[^>]+>", re.DOTALL | re.IGNORECASE)
_TITLE = re.compile(r"<(title|h1)\b[^>]*>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
_MOST_DEPTH = 8


@dataclass(frozen=True)
class ServerError:
    """codes: what the server calls it, the plainest first; sentence: its own words; fields: the
    parts of the request that it names.
    """

    codes: tuple[str, ...] = ()
    sentence: str = ""
    fields: tuple[str, ...] = ()

    @property
    def code(self) -> str:
        """The code to show: the first that is more than a status."""
        named = [code for code in self.codes if not re.fullmatch(r"[2-5]\d\d", code)]
        return named[0] if named else ""

    @property
    def http_status(self) -> int | None:
        """The status that the body itself gives; None when it gives none."""
        given = [int(code) for code in self.codes if re.fullmatch(r"[45]\d\d", code)]
        return given[0] if given else None

    @property
    def kind(self) -> str:
        """One of NO_MONEY, FILTERED, BAD_KEY, NO_MODEL, TOO_FAST, REFUSED_FIELD, TOO_LONG,
        OTHER.
        """
        if self._is_about_money():
            return NO_MONEY
        codes = self._folded()
        sentence = self.sentence.casefold()
        for kind, known, numbers, words in _KINDS:
            if _holds(codes, known) or _is_among(codes, numbers) or words.search(sentence):
                return kind
        if self.field in ("max_tokens", "max_completion_tokens") and self._is_about_size():
            return TOO_LONG
        return REFUSED_FIELD if self.field else OTHER

    @property
    def field(self) -> str:
        """The field of ours that the server does not take; '' when it names none."""
        for named in self.fields:
            known = next((field for field in FIELDS if named.startswith(field)), "")
            if known:
                return known
        text = f"{' '.join(self.codes)} {self.sentence}".casefold()
        matches = [(field, words.search(text)) for field, words in _FIELD_WORDS.items()]
        places = {field: place.start() for field, place in matches if place}
        return min(places, key=lambda field: places[field], default="")

    def _is_about_money(self) -> bool:
        codes = self._folded()
        if _holds(codes, _NO_MONEY_CODES) or _is_among(codes, _NO_MONEY_NUMBERS):
            return True
        sentence = self.sentence.casefold()
        passes = _PASSES.search(sentence) or "resource_exhausted" in codes
        return bool(_NO_MONEY_WORDS.search(sentence)) and not passes

    def _is_about_size(self) -> bool:
        sentence = self.sentence.casefold()
        return bool(_LENGTH_WORDS.search(sentence)) and not _UNKNOWN_WORDS.search(sentence)

    def _folded(self) -> list[str]:
        return [code.casefold() for code in self.codes]


def read(body: str) -> ServerError:
    """The error in a body: an object, a text or a list under `error`, a message at top level,
    FastAPI's `detail`, a page of HTML, or plain text.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ServerError(sentence=_words(body))
    return _merged(list(_errors(value, 0)))


def envelope(value: Any) -> ServerError | None:
    """The error that stands in a reply where a completion was due; None when there is none."""
    if isinstance(value, list):
        value = {"error": value}
    if not isinstance(value, Mapping):
        return None
    known = [key for key in _ENVELOPES if value.get(key)]
    sentences = [value.get(key) for key in _SENTENCES]
    has_sentence = any(isinstance(sentence, str) and sentence for sentence in sentences)
    if not known and not has_sentence:
        return None
    error = _merged(list(_errors(value, 0)))
    is_fine = all(code.casefold() in _FINE_CODES for code in error.codes)
    return None if is_fine and not error.sentence else error


def is_event_stream(body: str) -> bool:
    """Whether a body is a stream of events, which nobody asked for."""
    return re.match(r"\s*(?:event|data|id|retry)?:", body) is not None


def _errors(value: Any, depth: int) -> Iterator[ServerError]:
    """The errors in a value, the inner ones first: they know best."""
    if depth > _MOST_DEPTH:
        return
    if isinstance(value, str):
        yield from _errors_in_text(value, depth)
    if isinstance(value, list):
        for inner in value:
            yield from _errors(inner, depth + 1)
    if not isinstance(value, Mapping):
        return
    for key in _ENVELOPES:
        if value.get(key):
            yield from _errors(value[key], depth + 1)
    codes = tuple(filter(None, (_as_code(value.get(key)) for key in _CODES)))
    sentences = [value[key] for key in _SENTENCES if _is_text(value.get(key))]
    sentence = sentences[0] if sentences else ""
    yield ServerError(codes, sentence, tuple(_named_fields(value)))
    yield from _upstream(value, depth)


def _errors_in_text(text: str, depth: int) -> Iterator[ServerError]:
    """A text that holds JSON again is read; any other is the sentence."""
    try:
        inner = json.loads(text) if text.lstrip()[:1] in ("{", "[") else None
    except (ValueError, RecursionError):
        inner = None
    if inner is None:
        yield ServerError(sentence=_words(text))
    else:
        yield from _errors(inner, depth + 1)


def _upstream(value: RecordView, depth: int) -> Iterator[ServerError]:
    """What a gateway passes on of the server behind it, and Azure's inner error."""
    for key in ("innererror", "inner_error", "metadata", "raw", "details"):
        if value.get(key):
            yield from _errors(value[key], depth + 1)


def _named_fields(value: RecordView) -> Iterator[str]:
    """The field that an error is about: OpenAI's param, FastAPI's loc."""
    if _is_text(value.get("param")):
        yield value["param"]
    if isinstance(value.get("loc"), list):
        yield ".".join(str(part) for part in value["loc"] if part != "body")


def _merged(errors: list[ServerError]) -> ServerError:
    codes: list[str] = []
    fields: list[str] = []
    sentences = []
    for error in errors:
        codes += error.codes
        fields += error.fields
        where = next(iter(error.fields), "")
        missing = where and where not in error.sentence
        sentences.append(f"{where}: {error.sentence}" if missing else error.sentence)
    sentence = "; ".join(dict.fromkeys(filter(None, sentences)))
    return ServerError(tuple(dict.fromkeys(codes)), sentence, tuple(fields))


def _words(body: str) -> str:
    """The words of a page: its title, or all of it without tags."""
    title = _TITLE.search(body)
    text = title[2] if title else body
    return " ".join(html.unescape(_TAGS.sub(" ", text)).split())


def _as_code(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    code = str(value)
    return code if len(code) <= 80 else ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _holds(codes: list[str], known: tuple[str, ...]) -> bool:
    return any(word in code for code in codes for word in known)


def _is_among(codes: list[str], known: tuple[str, ...]) -> bool:
    return any(code in known for code in codes)
