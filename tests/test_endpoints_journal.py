"""The journal: the intent before, the reply after, and good replies found again by anyone."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

from dishvl_lib.endpoints.journal import Journal


def attempts(file):
    with sqlite3.connect(file) as db:
        return db.execute("SELECT key, attempt, status, http_status, body FROM attempts ORDER BY key, attempt").fetchall()


def test_a_good_reply_is_found_again_after_reopening(tmp_path):
    file = tmp_path / "deep" / "journal.sqlite"
    journal = Journal(file)
    assert journal.reply("k") is None
    number = journal.intend("k", "server", "model")
    assert number == 1 and attempts(file) == [("k", 1, "sent", None, None)], "the intent is on the disk before anything is sent"
    assert journal.reply("k") is None
    journal.settle("k", 1, "ok", 200, '{"名": 1}', {"prompt_tokens": 5}, 1.5)
    journal.close()
    again = Journal(file)
    assert again.reply("k") == {"body": '{"名": 1}', "usage": {"prompt_tokens": 5}, "seconds": 1.5} and again.reply("other") is None
    again.close()


def test_a_failed_attempt_is_kept_and_is_no_reply(tmp_path):
    journal = Journal(tmp_path / "j.sqlite")
    journal.settle("k", journal.intend("k", "s", "m"), "failed", 500, "oops", {}, 0.1)
    assert journal.reply("k") is None
    second = journal.intend("k", "s", "m")
    journal.settle("k", second, "ok", 200, "good", {}, 0.1)
    assert second == 2 and journal.reply("k")["body"] == "good"
    assert attempts(tmp_path / "j.sqlite") == [("k", 1, "failed", 500, "oops"), ("k", 2, "ok", 200, "good")]
    journal.close()


def test_threads_and_two_runs_at_once_number_their_attempts_apart(tmp_path):
    journals = [Journal(tmp_path / "j.sqlite") for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda i: journals[i % 2].intend("k", "s", "m"), range(40)))
    assert sorted(numbers) == list(range(1, 41)) and len(attempts(tmp_path / "j.sqlite")) == 40
    for journal in journals:
        journal.close()
