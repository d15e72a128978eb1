"""The journal of paid replies: an SQLite file shared by all runs, written before anything is sent or parsed.

Many threads write at once. One writer takes what has gathered, commits it together (one fsync for all) and only then
lets the callers go on, so that a slow disk costs each of them a few milliseconds, not a queue of them.
"""

import json
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dishvl_lib.endpoints.errors import JournalError

_TABLES = """
CREATE TABLE IF NOT EXISTS attempts (
    key TEXT NOT NULL, attempt INTEGER NOT NULL, endpoint TEXT NOT NULL, model TEXT NOT NULL, sent_at REAL NOT NULL,
    seconds REAL, status TEXT NOT NULL, http_status INTEGER, body TEXT, usage TEXT, PRIMARY KEY (key, attempt));
CREATE TABLE IF NOT EXISTS capabilities (server TEXT NOT NULL, model TEXT NOT NULL, mode TEXT NOT NULL, PRIMARY KEY (server, model));
CREATE TABLE IF NOT EXISTS batches (
    mark TEXT PRIMARY KEY, server TEXT NOT NULL, model TEXT NOT NULL, run TEXT NOT NULL, mode TEXT NOT NULL, reserved REAL NOT NULL,
    requests TEXT NOT NULL, batch_id TEXT NOT NULL, state TEXT NOT NULL, created_at REAL NOT NULL);
"""
# A file of an earlier version gets these; every row that was paid for stays.
_LATER_COLUMNS = {
    "run": "TEXT NOT NULL DEFAULT ''",
    "currency": "TEXT NOT NULL DEFAULT ''",
    "reserved": "REAL NOT NULL DEFAULT 0",
    "cost": "REAL NOT NULL DEFAULT 0",
    "final": "INTEGER NOT NULL DEFAULT 0",
}
_MOST_TOGETHER = 512


@dataclass(frozen=True)
class Intent:
    """A request that is about to be sent. `reserved`: the most it can cost, in `currency`."""

    key: str
    run: str
    endpoint: str
    model: str
    currency: str = ""
    reserved: float = 0.0


@dataclass(frozen=True)
class History:
    """What the journal knows of a key: the reply that counts (`body` None: there is none), and all it took.

    `attempt`: its number; `final`: it was judged; `cost`: what this run paid; `usage` and `seconds`: sums over every
    attempt of any run.
    """

    attempt: int = 0
    final: bool = False
    http_status: int | None = None
    body: str | None = None
    cost: float = 0.0
    usage: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


class Journal:
    """Every request by its key: the intent before sending, the raw body and usage after. Safe for threads and processes.

    status of an attempt: `sent` (no reply seen: it may have been paid), `received` (not judged yet), `ok`, `refusal`,
    `content_filter`, `length`, `empty`, `malformed`, `schema_violation`, `failed`. `final` marks a reply that is never
    asked for again. `cost` is what a reply cost, `reserved` what an attempt may have cost beyond that.
    Raises `JournalError` when the file cannot be used.
    """

    def __init__(self, path: str | Path):
        self.path, self._lock, self._jobs = Path(path), threading.Lock(), queue.SimpleQueue()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._reader = self._open()
            _prepare(self._reader)
            self._db = self._open()
        except sqlite3.Error as error:
            raise JournalError(f"{self.path} cannot be opened ({error}); move it aside if it is damaged: the replies in it are paid for") from None
        self._writer = threading.Thread(target=self._write_on, name="journal", daemon=True)
        self._writer.start()

    def history(self, key: str, run: str = "") -> History:
        """The reply to use for a key, and what its attempts cost `run`."""
        rows = self._read("SELECT attempt, final, http_status, body, status, run, cost, usage, seconds FROM attempts WHERE key = ? ORDER BY attempt", (key,))
        attempt, final, http_status, body = next((row[:4] for row in reversed(rows) if row[1] or row[4] == "received"), (0, False, None, None))
        usages = [json.loads(row[7] or "{}") for row in rows]
        usage = {name: sum(one.get(name, 0) for one in usages) for name in ("prompt_tokens", "completion_tokens")}
        cost, seconds = sum(row[6] for row in rows if row[5] == run), sum(row[8] or 0.0 for row in rows)
        return History(attempt, bool(final), http_status, body, cost, usage, seconds)

    def intend(self, intent: Intent) -> int:
        """Note on the disk that a request is about to be sent; returns the attempt's number."""
        return self._write(lambda db: _insert(db, intent))

    def settle(
        self, key: str, attempt: int, *, status: str, http_status: int | None, body: str, usage: dict[str, int], cost: float, reserved: float, seconds: float
    ) -> None:
        """Store what came back for an attempt; on the disk when this returns. `reserved`: what it may have cost beyond `cost`."""
        values = (status, http_status, body, json.dumps(usage), cost, reserved, seconds, key, attempt)
        sql = "UPDATE attempts SET status = ?, http_status = ?, body = ?, usage = ?, cost = ?, reserved = ?, seconds = ? WHERE key = ? AND attempt = ?"
        self._write(lambda db: db.execute(sql, values))

    def label(self, key: str, attempt: int, status: str, final: bool) -> None:
        """Judge a stored reply. Does not wait for the disk: an unjudged reply is simply judged again."""
        sql = "UPDATE attempts SET status = ?, final = ? WHERE key = ? AND attempt = ?"
        self._jobs.put((lambda db: db.execute(sql, (status, int(final), key, attempt)), Future()))

    def spent(self, run: str) -> dict[str, float]:
        """What a run has paid or may have paid so far, by currency."""
        return dict(self._read("SELECT currency, SUM(cost + reserved) FROM attempts WHERE run = ? GROUP BY currency", (run,)))

    def mode(self, server: str, model: str) -> str:
        """How this model was found to take a schema; '' when nobody has asked it yet."""
        rows = self._read("SELECT mode FROM capabilities WHERE server = ? AND model = ?", (server, model))
        return rows[0][0] if rows else ""

    def set_mode(self, server: str, model: str, mode: str) -> None:
        self._write(lambda db: db.execute("INSERT OR REPLACE INTO capabilities VALUES (?, ?, ?)", (server, model, mode)))

    def begin_batch(self, mark: str, server: str, model: str, mode: str, intents: list[Intent]) -> None:
        """Note a batch and all its requests before it is created. `mode`: how its requests ask for their schema."""

        def job(db: sqlite3.Connection) -> None:
            numbers = {intent.key: _insert(db, intent) for intent in intents}
            row = (mark, server, model, intents[0].run, mode, sum(one.reserved for one in intents), json.dumps(numbers), "", "prepared", time.time())
            db.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

        self._write(job)

    def update_batch(self, mark: str, state: str, batch_id: str = "") -> None:
        """state: prepared, submitted, collected, abandoned."""
        sql = "UPDATE batches SET state = ?, batch_id = CASE WHEN ? = '' THEN batch_id ELSE ? END WHERE mark = ?"
        self._write(lambda db: db.execute(sql, (state, batch_id, batch_id, mark)))

    def open_batches(self, server: str, model: str) -> list[dict[str, Any]]:
        """Batches whose results are not in yet, oldest first: {mark, run, mode, reserved, batch_id, requests: {key: attempt}}."""
        names = ("mark", "run", "mode", "reserved", "batch_id", "requests")
        sql = f"SELECT {', '.join(names)} FROM batches WHERE server = ? AND model = ? AND state IN ('prepared', 'submitted') ORDER BY created_at"
        rows = [dict(zip(names, row, strict=True)) for row in self._read(sql, (server, model))]
        return [{**row, "requests": json.loads(row["requests"])} for row in rows]

    def close(self) -> None:
        """Write what is left and let go of the file."""
        self._jobs.put(None)
        self._writer.join()
        self._reader.close()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        return db

    def _read(self, sql: str, values: tuple) -> list[tuple]:
        with self._lock:
            return self._reader.execute(sql, values).fetchall()

    def _write(self, job: Callable[[sqlite3.Connection], Any]) -> Any:
        done: Future = Future()
        self._jobs.put((job, done))
        return done.result()

    def _write_on(self) -> None:
        ended = False
        while not ended:
            jobs = [self._jobs.get()]
            while len(jobs) < _MOST_TOGETHER and not self._jobs.empty():
                jobs.append(self._jobs.get())
            ended = None in jobs
            self._commit(self._db, [job for job in jobs if job])
        self._db.close()

    def _commit(self, db: sqlite3.Connection, jobs: list[tuple[Callable, Future]]) -> None:
        try:
            db.execute("BEGIN IMMEDIATE")
            results = [job(db) for job, _ in jobs]
            db.execute("COMMIT")
        except Exception as error:  # whatever it is, those who wait must hear of it
            if db.in_transaction:
                db.execute("ROLLBACK")
            failure = JournalError(f"{self.path} cannot be written ({error}); free space or check the disk and run again: what is in it stays paid for")
            for _, done in jobs:
                done.set_exception(failure)
            return
        for (_, done), result in zip(jobs, results, strict=True):
            done.set_result(result)


def _prepare(db: sqlite3.Connection) -> None:
    db.executescript(_TABLES)
    db.execute("BEGIN IMMEDIATE")
    there = {row[1] for row in db.execute("PRAGMA table_info(attempts)")}
    for name, kind in _LATER_COLUMNS.items():
        if name not in there:
            db.execute(f"ALTER TABLE attempts ADD COLUMN {name} {kind}")
    if "final" not in there:
        db.execute("UPDATE attempts SET final = 1 WHERE status = 'ok'")
    db.execute("CREATE INDEX IF NOT EXISTS attempts_of_run ON attempts (run)")
    db.execute("COMMIT")


def _insert(db: sqlite3.Connection, one: Intent) -> int:
    sql = """INSERT INTO attempts (key, attempt, run, endpoint, model, currency, reserved, sent_at, status)
        SELECT ?, COALESCE(MAX(attempt), 0) + 1, ?, ?, ?, ?, ?, ?, 'sent' FROM attempts WHERE key = ? RETURNING attempt"""
    return db.execute(sql, (one.key, one.run, one.endpoint, one.model, one.currency, one.reserved, time.time(), one.key)).fetchone()[0]
