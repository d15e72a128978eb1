"""The journal: the intent before, the reply after, nothing lost, and many writers that share one
commit.
"""

import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dishvl_lib.core import paths
from dishvl_lib.endpoints import journal as journals
from dishvl_lib.endpoints.errors import JournalError
from dishvl_lib.endpoints.journal import Intent, Journal

OLD_TABLE = """CREATE TABLE attempts (
    key TEXT NOT NULL, attempt INTEGER NOT NULL, endpoint TEXT NOT NULL, model TEXT NOT NULL, sent_at REAL NOT NULL,
    seconds REAL, status TEXT NOT NULL, http_status INTEGER, body TEXT, usage TEXT, PRIMARY KEY (key, attempt));"""


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "deep" / "journal.sqlite")
    yield opened
    opened.close()


def rows(journal, columns="key, attempt, status, http_status, body"):
    with sqlite3.connect(journal.path) as db:
        return db.execute(f"SELECT {columns} FROM attempts ORDER BY key, attempt").fetchall()


def intend(journal, key="k", run="r", reserved=0.5, currency="USD"):
    """Note a request as sent, whoever else has it; returns its attempt."""
    return journal._write(
        lambda db: journal._insert(db, Intent(key, run, "server", "model", currency, reserved))
    )


def settle(
    journal, attempt=1, key="k", status="received", body="{}", cost=0.1, reserved=0.0, usage=None
):
    journal.settle(
        key,
        attempt,
        status=status,
        http_status=200,
        body=body,
        usage=usage or {},
        cost=cost,
        reserved=reserved,
        seconds=1.5,
    )


def test_the_intent_is_on_the_disk_before_and_the_reply_after(journal):
    assert journal.history("k").body is None
    assert intend(journal) == 1
    assert rows(journal) == [("k", 1, "sent", None, None)]
    assert journal.history("k").body is None
    settle(journal, body='{"名": 1}', usage={"prompt_tokens": 5})
    history = journal.history("k", "r")
    assert (
        history.attempt,
        history.final,
        history.http_status,
        history.body,
        history.cost,
        history.seconds,
    ) == (1, False, 200, '{"名": 1}', 0.1, 1.5)
    assert history.usage == {"prompt_tokens": 5, "completion_tokens": 0}


def test_a_final_reply_is_found_again_after_reopening_and_by_another_run(tmp_path):
    journal = Journal(tmp_path / "j.sqlite")
    settle(journal, intend(journal), body="good")
    journal.label("k", 1, "ok", True)
    journal.close()
    again = Journal(tmp_path / "j.sqlite")
    history = again.history("k", "other")
    assert history.body == "good"
    assert history.final
    assert history.cost == 0.0
    assert again.history("unknown").body is None
    again.close()


def test_a_reply_that_does_not_count_is_kept_and_paid_for(journal):
    settle(journal, intend(journal), body="<html>", cost=0.0, reserved=0.5)
    journal.label("k", 1, "malformed", False)
    second = intend(journal)
    settle(journal, second, body="good", cost=0.2)
    journal.label("k", second, "ok", True)
    assert second == 2
    assert journal.history("k", "r").body == "good"
    assert journal.history("k", "r").cost == 0.2
    assert journal.spent("r") == {"USD": pytest.approx(0.7)}, (
        "what may have been paid is counted too"
    )


def test_what_a_killed_run_may_have_paid_is_counted_by_currency(journal):
    intend(journal, "a")
    intend(journal, "b", currency="CNY", reserved=2.0)
    intend(journal, "c", run="other", reserved=9.0)
    settle(journal, intend(journal, "d"), key="d", cost=0.25)
    assert journal.spent("r") == {"USD": 0.75, "CNY": 2.0}
    assert journal.spent("new") == {}


def test_threads_and_two_journals_at_once_number_their_attempts_apart(tmp_path):
    journals = [Journal(tmp_path / "j.sqlite") for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda i: intend(journals[i % 2]), range(40)))
    assert sorted(numbers) == list(range(1, 41))
    assert len(rows(journals[0])) == 40
    for journal in journals:
        journal.close()


def test_many_callers_share_a_commit_and_each_waits_for_its_own(journal, monkeypatch):
    commits = []
    commit = journal._commit

    def slow(db, jobs):
        time.sleep(0.05)
        commits.append(len(jobs))
        commit(db, jobs)

    monkeypatch.setattr(journal, "_commit", slow)
    started = threading.Barrier(32)

    def write(number):
        started.wait()
        intend(journal, f"k{number}")
        return journal._read("SELECT COUNT(*) FROM attempts WHERE key = ?", (f"k{number}",))[0][0]

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(write, range(32))) == [1] * 32
    assert sum(commits) == 32
    assert len(commits) <= 4


def test_the_disk_is_waited_for(journal):
    assert journal._reader.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal._reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_killed_process_loses_nothing_that_was_let_go_on(tmp_path):
    code = """
import os, sys
from dishvl_lib.endpoints.journal import Intent, Journal
journal = Journal(sys.argv[1])
for number in range(20):
    attempt = journal.claim(Intent(f"k{number:02d}", "r", "s", "m"), 1.0).attempt
    reply = dict(status="received", http_status=200, body=str(number), usage={}, cost=0.0)
    journal.settle(f"k{number:02d}", attempt, reserved=0.0, seconds=0.0, **reply)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "j.sqlite")], cwd=paths.PROJECT_ROOT, timeout=60
    )
    journal = Journal(tmp_path / "j.sqlite")
    assert done.returncode == -9
    assert [journal.history(f"k{number:02d}").body for number in range(20)] == [
        str(number) for number in range(20)
    ]
    journal.close()


def test_a_file_of_the_first_version_keeps_what_was_paid(tmp_path):
    with sqlite3.connect(tmp_path / "j.sqlite") as db:
        db.execute(OLD_TABLE)
        db.execute(
            "INSERT INTO attempts VALUES ('k', 1, 's', 'm', 1.0, 0.5, 'ok', 200, 'paid', "
            "'{\"prompt_tokens\": 3}')"
        )
        db.execute(
            "INSERT INTO attempts VALUES ('l', 1, 's', 'm', 1.0, 0.5, 'failed', 500, '', '{}')"
        )
    db.close()
    for _ in range(2):
        journal = Journal(tmp_path / "j.sqlite")
        assert journal.history("k").body == "paid"
        assert journal.history("k").final
        assert journal.history("l").body is None
        journal.close()


def test_how_a_model_takes_a_schema_is_kept(journal):
    assert journal.mode("host", "m") == ""
    journal.set_mode("host", "m", "json_object")
    journal.set_mode("host", "m", "prompt")
    assert journal.mode("host", "m") == "prompt"
    assert journal.mode("host", "n") == ""


def test_batches_are_noted_with_their_requests_and_found_until_collected(journal):
    settle(journal, intend(journal, "a"), key="a", status="failed")
    assert (
        journal.begin_batch(
            "mark",
            "host",
            "m",
            "prompt",
            [Intent(key, "r", "s", "m", "USD", 0.5) for key in "ab"],
            9.0,
        )
        == []
    )
    expected = {
        "mark": "mark",
        "run": "r",
        "mode": "prompt",
        "reserved": 1.0,
        "batch_id": "",
        "requests": {"a": 2, "b": 1},
        "waiting": "",
    }
    assert journal.open_batches("host", "m") == [expected]
    assert journal.open_batches("host", "n") == []
    journal.update_batch("mark", "submitted", "batch_1")
    assert journal.open_batches("host", "m") == [expected | {"batch_id": "batch_1"}]
    journal.update_batch("mark", "collected")
    assert journal.open_batches("host", "m") == []
    assert [row[:3] for row in rows(journal)] == [
        ("a", 1, "failed"),
        ("a", 2, "sent"),
        ("b", 1, "sent"),
    ]


def test_what_cannot_be_stored_is_said_and_the_journal_goes_on(journal):
    with pytest.raises(JournalError, match="cannot be written"):
        settle(journal, intend(journal), body="鱼\ud83d")
    settle(journal, intend(journal), body="good")
    assert journal.history("k").body == "good"


def damaged(file):
    """A journal whose pages are overwritten in the middle."""
    journal = Journal(file)
    for number in range(200):
        settle(journal, intend(journal, f"k{number}"), key=f"k{number}", body="x" * 2000)
    journal.close()
    content = bytearray(file.read_bytes())
    content[4096:40960] = b"\xff" * (40960 - 4096)
    file.write_bytes(content)


def other_program(file):
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE attempts (who TEXT, what TEXT)")
    db.close()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda file: file.write_bytes(b"this is no database at all, not even a short one" * 30),
            "is damaged .*move it aside: then what is in it is paid for again",
        ),
        (damaged, "is damaged .*budgets count from nothing"),
        (lambda file: file.mkdir(), "cannot be used .*it is no file"),
        (other_program, "is no journal of this version"),
        (
            lambda file: file.symlink_to(file.with_name("nowhere") / "deep" / "j"),
            "cannot be used .*it is no file, or its folder",
        ),
        (
            lambda file: file.parent.joinpath("j.sqlite.senders").write_text(
                "a file where a folder must be"
            ),
            "cannot be used .*check the path",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path, make, words):
    file = tmp_path / "j.sqlite"
    make(file)
    with pytest.raises(JournalError, match=words) as refused:
        journal = Journal(file)
        journal.history("k0")
        journal.claim(Intent("k", "r", "s", "m"), 1.0)
    assert ("move it aside" in str(refused.value)) == ("is damaged" in str(refused.value))


def test_a_table_that_vanishes_while_it_is_used_is_said(journal):
    with sqlite3.connect(journal.path) as db:
        db.execute("DROP TABLE attempts")
    with pytest.raises(JournalError, match="is no journal of this version"):
        intend(journal)


def test_a_locked_journal_is_waited_for_and_who_holds_it_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(journals, "_PATIENCE_S", 0.05)
    journal = Journal(tmp_path / "j.sqlite")
    other = Journal(tmp_path / "j.sqlite")
    viewer = sqlite3.connect(journal.path, isolation_level=None, check_same_thread=False)
    viewer.execute("BEGIN IMMEDIATE")
    threading.Timer(0.5, viewer.close).start()
    assert intend(journal) == 1
    assert "is locked by process" in capsys.readouterr().out
    journal.close()
    other.close()


def test_a_request_under_way_elsewhere_is_not_sent_until_its_process_is_gone(tmp_path):
    mine = Journal(tmp_path / "j.sqlite")
    other = Journal(tmp_path / "j.sqlite")
    wish = Intent("k", "r", "s", "m", "USD", 0.5)
    assert other.claim(wish, 9.0).attempt == 1
    assert mine.claim(wish, 9.0).under_way.startswith("process ")
    assert mine.look(wish, 9.0).under_way.startswith("process ")
    settle(other, 1)
    assert mine.claim(wish, 9.0).answered
    other.label("k", 1, "empty", False)
    assert other.claim(wish, 9.0).attempt == 2
    other.close()
    assert mine.claim(wish, 9.0).attempt == 3, "who had it is gone"
    mine.close()


def test_a_request_in_a_batch_is_named_by_its_batch(tmp_path):
    mine = Journal(tmp_path / "j.sqlite")
    other = Journal(tmp_path / "j.sqlite")
    wish = Intent("k", "r", "s", "m", "USD", 0.5)
    assert other.begin_batch("mark", "host", "m", "prompt", [wish], 1.0) == []
    other.update_batch("mark", "submitted", "batch_7")
    assert mine.claim(wish, 9.0).under_way == "batch batch_7 of run r"
    assert mine.begin_batch(
        "second", "host", "m", "prompt", [Intent("l", "r", "s", "m", "USD", 0.1), wish], 9.0
    ) == ["k"]
    assert mine.begin_batch(
        "second", "host", "m", "prompt", [Intent("l", "r", "s", "m", "USD", 0.6)], 1.0
    ) == ["l"], "no room beside what is out"
    assert mine.open_batches("host", "m")[0]["waiting"].startswith("process ")
    other.close()
    assert mine.open_batches("host", "m")[0]["waiting"] == ""
    mine.close()


def test_what_is_spent_is_what_the_attempts_say(journal):
    for number in range(50):
        attempt = intend(journal, f"k{number % 7}", reserved=0.3)
        settle(journal, attempt, key=f"k{number % 7}", cost=number / 100, reserved=0.01)
    with sqlite3.connect(journal.path) as db:
        (total,) = db.execute("SELECT SUM(cost + reserved) FROM attempts").fetchone()
    assert journal.spent("r")["USD"] == pytest.approx(total)
