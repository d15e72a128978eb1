"""Batch mode against the local server: half price, resumed after a kill, submitted again when cut
short, refused where there is none.
"""

import json
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import BaseModel, Field
from toys import Server, completion

from dishvl_lib.core import paths
from dishvl_lib.demo.annotator import BuiltinAnnotator
from dishvl_lib.demo.batches import BadRequest, BatchDesk
from dishvl_lib.endpoints import batches, client
from dishvl_lib.endpoints.asking import ask_all
from dishvl_lib.endpoints.budget import Budget
from dishvl_lib.endpoints.errors import BudgetError, EndpointError
from dishvl_lib.endpoints.journal import Journal
from dishvl_lib.endpoints.requests import Request

SMALL = {"prompt_tokens": 40, "completion_tokens": 100}
PRICE = (40 * 2 + 100 * 8) / 1e6 / 2


class Dish(BaseModel):
    name: str
    calories: float = Field(default=0.0, le=900)


def text_of(body):
    return next(message["content"] for message in body["messages"] if message["role"] == "user")


class Provider(BuiltinAnnotator):
    """The local server with answers of its own; keeps what it was asked live and in batches."""

    def __init__(self, answer=lambda text: {"name": text}, desk=BatchDesk):
        super().__init__()
        self.answer = answer
        self.live = []
        self.desk = desk(self.in_batch)
        self.batched = []

    def complete(self, body):
        self.live.append(body)
        return self._reply(body)

    def in_batch(self, body):
        self.batched.append(text_of(body))
        return self._reply(body)

    def _reply(self, body):
        answer = self.answer(text_of(body)) if len(body["messages"]) == 1 else {"name": "mended"}
        if isinstance(answer, Exception):
            raise answer
        return completion(answer, SMALL)


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


def endpoint(server, **changed):
    given = {
        "name": "toy",
        "base_url": server.base_url,
        "model": "m",
        "price_input": 2.0,
        "price_output": 8.0,
        "max_tokens": 100,
        "batch": True,
    }
    return client.connect([given | changed])[0]


def ask(server, journal, *texts, budget=None, **changed):
    all_requests = [
        Request(text, text, lambda text=text: [{"role": "user", "content": text}], Dish)
        for text in texts
    ]
    return ask_all(
        endpoint(server, **changed),
        all_requests,
        journal,
        run="r",
        budget=budget or Budget({"USD": 100.0}),
        pace=1e-3,
    )


def test_everything_comes_by_batch_at_half_the_price(journal):
    with Provider() as server:
        answers = ask(server, journal, "鱼", "肉", "菜")
        again = ask(server, journal, "鱼", "肉", "菜")
    assert [answer.value.name for answer in answers] == ["鱼", "肉", "菜"]
    assert [answer.cost for answer in answers] == pytest.approx([PRICE] * 3)
    assert server.live == []
    assert server.batched == ["鱼", "肉", "菜"]
    assert len(server.desk.batches) == 1
    assert all(answer.from_journal for answer in again)
    assert journal.spent("r") == {"USD": pytest.approx(3 * PRICE)}
    assert journal.open_batches("toy", "m") == []
    (batch,) = server.desk.batches.values()
    line = json.loads(server.desk.files[batch["input_file_id"]].splitlines()[0])
    assert line["url"] == "/v1/chat/completions"
    assert line["body"]["response_format"]["type"] == "json_schema"
    assert len(batch["metadata"][batches.MARK]) == 32


def test_repairs_run_live_at_the_full_price(journal):
    with Provider(
        lambda text: {"name": text, "calories": 5000} if text == "bad" else {"name": text}
    ) as server:
        good, mended = ask(server, journal, "good", "bad")
    assert good.value.name == "good"
    assert mended.value.name == "mended"
    assert len(server.live) == 1
    assert mended.cost == pytest.approx(3 * PRICE)


def test_a_line_that_failed_is_asked_again_and_put_aside_with_its_reason(journal):
    with Provider(
        lambda text: BadRequest("no such photo") if text == "bad" else {"name": text}
    ) as server:
        good, bad = ask(server, journal, "good", "bad")
    assert good.status == "ok"
    assert bad.status == "failed"
    assert "no such photo" in bad.problem
    assert server.batched.count("good") == 1


def test_files_are_cut_by_number_and_size(journal, monkeypatch):
    monkeypatch.setattr(batches, "MOST_REQUESTS", 3)
    with Provider() as server:
        ask(server, journal, *map(str, range(7)))
        assert [content.count(b"custom_id") for content in _inputs(server)] == [3, 3, 1]
    monkeypatch.setattr(batches, "MOST_BYTES", 1500)
    with Provider() as server:
        ask(server, journal, *map(str, range(7)), model="other")
        assert len(_inputs(server)) > 3
        assert all(len(content) <= 1500 for content in _inputs(server))


def _inputs(server):
    return [server.desk.files[batch["input_file_id"]] for batch in server.desk.batches.values()]


class Expiring(BatchDesk):
    """The first `times` batches answer their first line only and expire."""

    times = 1

    def finish(self, content):
        if len(self.batches) > self.times:
            return super().finish(content)
        return super().finish(content.splitlines(keepends=True)[0]) | {
            "status": "expired",
            "errors": {"object": "list", "data": [{"message": "too slow"}]},
        }


def test_what_an_expired_batch_left_is_submitted_again_and_nothing_twice(journal):
    with Provider(desk=Expiring) as server:
        answers = ask(server, journal, *"abcd")
    assert [answer.value.name for answer in answers] == list("abcd")
    assert server.batched == list("abcd")
    assert server.live == []
    assert journal.spent("r") == {"USD": pytest.approx(4 * PRICE)}
    assert len(server.desk.batches) == 2


def test_batches_that_never_finish_do_not_end_at_the_full_price(journal):
    class Always(Expiring):
        times = 99

    with (
        Provider(desk=Always) as server,
        pytest.raises(
            EndpointError,
            match="4 requests were not answered in 4 rounds .*expired: too slow.*set batch: false",
        ),
    ):
        ask(server, journal, *"abcdefgh")
    assert server.live == []
    assert len(server.desk.batches) == batches.ROUNDS


def test_a_provider_without_batches_is_refused_by_name_before_anything_is_sent(journal):
    with (
        Server(lambda _: (200, completion({"name": "x"}))) as server,
        pytest.raises(
            EndpointError, match="toy at http.*has no batches .HTTP 501.*set batch: false"
        ),
    ):
        ask(server, journal, "a")
    assert server.requests == []
    assert journal.spent("r") == {}


def test_a_budget_that_holds_a_part_sends_part_after_part(journal):
    with Provider() as server:
        answers = ask(
            server, journal, *map(str, range(8)), budget=Budget({"USD": 8 * PRICE + 0.0007})
        )
        assert all(answer.status == "ok" for answer in answers)
        assert len(server.desk.batches) > 1
        with pytest.raises(BudgetError):
            ask(server, journal, *map(str, range(8)), budget=Budget({"USD": 0.0001}), model="other")
        assert server.live == []


def test_the_ladder_is_climbed_down_once_for_a_whole_batch(journal):
    class Choosy(Provider):
        def in_batch(self, body):
            if body.get("response_format", {}).get("type") == "json_schema":
                raise BadRequest("response_format json_schema is not supported")
            return super().in_batch(body)

    with Choosy() as server:
        answers = ask(server, journal, *"abc")
    assert all(answer.status == "ok" for answer in answers)
    assert server.live == []
    assert journal.mode("toy", "m") == "json_object"


KILLED = """
import os, sys
from dishvl_lib.endpoints import batches
sys.path.insert(0, "tests")
import test_endpoints_batches as toys
moment, base_url, file = sys.argv[1:]
class Here: pass
server = Here(); server.base_url = base_url
die = lambda *_: os.kill(os.getpid(), 9)
if moment == "before creating":
    batches.BatchRunner._order = die
elif moment == "before noting":
    made = batches.BatchRunner._order
    batches.BatchRunner._order = lambda *given: (made(*given), die())
elif moment == "while waiting":
    batches.BatchRunner._wait = die
elif moment == "while storing":
    store, count = batches.BatchRunner._store_reply, []
    def store_two_and_die(*given):
        count.append(1)
        return die() if len(count) > 2 else store(*given)
    batches.BatchRunner._store_reply = store_two_and_die
toys.ask(server, toys.Journal(file), *"abcde")
"""


@pytest.mark.parametrize(
    "moment, created",
    [("before creating", 0), ("before noting", 1), ("while waiting", 1), ("while storing", 1)],
)
def test_a_killed_run_finds_its_batch_and_never_pays_for_a_second(tmp_path, moment, created):
    with Provider() as server:
        done = subprocess.run(
            [sys.executable, "-c", KILLED, moment, server.base_url, str(tmp_path / "j.sqlite")],
            cwd=paths.PROJECT_ROOT,
            timeout=60,
        )
        assert done.returncode == -9
        assert len(server.desk.batches) == created
        journal = Journal(tmp_path / "j.sqlite")
        answers = ask(server, journal, *"abcde")
        assert [answer.value.name for answer in answers] == list("abcde")
        assert sorted(server.batched) == list("abcde")
        assert len(server.desk.batches) == 1
        assert journal.spent("r") == {"USD": pytest.approx(5 * PRICE)}
        assert [answer.cost for answer in answers] == pytest.approx([PRICE] * 5)
        journal.close()


def test_a_batch_that_the_provider_no_longer_knows_is_submitted_again_and_may_have_been_paid(
    tmp_path,
):
    with Provider() as server:
        subprocess.run(
            [
                sys.executable,
                "-c",
                KILLED,
                "while waiting",
                server.base_url,
                str(tmp_path / "j.sqlite"),
            ],
            cwd=paths.PROJECT_ROOT,
            timeout=60,
        )
        server.desk.batches.clear()
        journal = Journal(tmp_path / "j.sqlite")
        before = journal.spent("r")["USD"]
        assert [answer.value.name for answer in ask(server, journal, *"abcde")] == list("abcde")
        assert len(server.desk.batches) == 1
        assert journal.spent("r")["USD"] == pytest.approx(before + 5 * PRICE)
        assert journal.open_batches("toy", "m") == []
        journal.close()


def test_a_lost_answer_to_the_creation_is_looked_for_not_repeated(journal, monkeypatch):
    with Provider() as server:
        create = server.desk.create
        lost = []

        def create_and_break(order):
            batch = create(order)
            lost.append(batch["id"])
            raise BrokenPipeError

        server.desk.create = create_and_break
        monkeypatch.setattr(server._server, "handle_error", lambda *_: None)
        answers = ask(server, journal, *"ab")
    assert len(lost) == 1
    assert [answer.value.name for answer in answers] == list("ab")
    assert server.batched == list("ab")


def test_a_broken_line_while_waiting_is_sat_out(journal, monkeypatch):
    class Flaky(BatchDesk):
        broken = 0

        def show(self, batch_id):
            self.broken += 1
            if self.broken < 4:
                raise BrokenPipeError
            return super().show(batch_id)

    with Provider(desk=Flaky) as server:
        monkeypatch.setattr(server._server, "handle_error", lambda *_: None)
        assert ask(server, journal, "a")[0].value.name == "a"
        assert server.desk.broken == 4
        assert server.batched == ["a"]


def test_an_exhausted_quota_in_a_batch_stops_after_its_results_are_stored(journal):
    class Broke(BatchDesk):
        def _line(self, line):
            if text_of(line["body"]) != "a":
                return {
                    "custom_id": line["custom_id"],
                    "response": {
                        "status_code": 429,
                        "body": {"error": {"code": "insufficient_quota", "message": "no money"}},
                    },
                }
            return super()._line(line)

    with Provider(desk=Broke) as server, pytest.raises(EndpointError, match="quota is used up"):
        ask(server, journal, *"abc")
    assert server.live == []
    assert journal.spent("r") == {"USD": pytest.approx(PRICE)}
    assert journal.open_batches("toy", "m") == []
    with sqlite3.connect(journal.path) as db:
        assert db.execute(
            "SELECT COUNT(*) FROM attempts WHERE body LIKE '%choices%'"
        ).fetchone() == (1,)


def test_a_batch_of_another_process_is_named_waited_for_and_shared(tmp_path, monkeypatch, capsys):
    """Two journals on one file are what two processes have."""
    ordered = threading.Event()
    create = batches.BatchRunner._order

    def slowly(desk, *given):
        ordered.set()
        time.sleep(0.3)
        return create(desk, *given)

    monkeypatch.setattr(batches.BatchRunner, "_order", slowly)
    first = Journal(tmp_path / "j.sqlite")
    second = Journal(tmp_path / "j.sqlite")
    with Provider() as server, ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(ask, server, first, *"abc")
        assert ordered.wait(10)
        theirs = ask(server, second, *"abcd")
        ours = under_way.result(60)
    assert [answer.value.name for answer in ours] == list("abc")
    assert [answer.value.name for answer in theirs] == list("abcd")
    assert sorted(server.batched) == list("abcd"), "nothing is in two batches"
    assert server.live == []
    output = capsys.readouterr().out
    assert "batch (being created) of run r with 3 requests is out, and process" in output
    assert "its replies are shared" in output
    first.close()
    second.close()
