"""The journal of paid replies: an SQLite file shared by all runs, written before anything is sent
or parsed.

Many threads and processes write at once. A thread of its own takes what has gathered in a process,
commits it together (one fsync for all) and only then lets the callers go on, so that a slow disk
costs each of them a few milliseconds, not a queue of them. Looking a request up, reserving its cost
and noting it as sent is one transaction (`claim`), so that two processes never send the same
request, nor pass a budget together.
"""

import contextlib
import json
import queue
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dishvl_lib.core import locks
from dishvl_lib.core.types import AnyPath, Records
from dishvl_lib.endpoints.errors import JournalError

if TYPE_CHECKING:
    from dishvl_lib.endpoints.client import Raw

_TABLES = """
CREATE TABLE IF NOT EXISTS attempts (
    key TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    sent_at REAL NOT NULL,
    seconds REAL,
    status TEXT NOT NULL,
    http_status INTEGER,
    body TEXT,
    usage TEXT,
    PRIMARY KEY (key, attempt)
);
CREATE TABLE IF NOT EXISTS capabilities (
    server TEXT NOT NULL,
    model TEXT NOT NULL,
    mode TEXT NOT NULL,
    PRIMARY KEY (server, model)
);
CREATE TABLE IF NOT EXISTS refused_fields (
    server TEXT NOT NULL,
    model TEXT NOT NULL,
    field TEXT NOT NULL,
    PRIMARY KEY (server, model, field)
);
CREATE TABLE IF NOT EXISTS batches (
    mark TEXT PRIMARY KEY,
    server TEXT NOT NULL,
    model TEXT NOT NULL,
    run TEXT NOT NULL,
    mode TEXT NOT NULL,
    reserved REAL NOT NULL,
    requests TEXT NOT NULL,
    batch_id TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at REAL NOT NULL
);
"""
# What each run has paid or may have paid, kept by the database itself: a sum over all attempts
# would cost more each time.
_TOTALS = """
CREATE TABLE spent (run TEXT NOT NULL, currency TEXT NOT NULL, amount REAL NOT NULL, PRIMARY KEY (run, currency));
INSERT INTO spent SELECT run, currency, SUM(cost + reserved) FROM attempts GROUP BY run, currency;
CREATE TRIGGER attempt_added AFTER INSERT ON attempts BEGIN
    INSERT INTO spent VALUES (NEW.run, NEW.currency, NEW.cost + NEW.reserved)
    ON CONFLICT (run, currency) DO UPDATE SET amount = amount + excluded.amount;
END;
CREATE TRIGGER attempt_changed AFTER UPDATE OF cost, reserved ON attempts BEGIN
    UPDATE spent SET amount = amount + NEW.cost + NEW.reserved - OLD.cost - OLD.reserved
    WHERE run = NEW.run AND currency = NEW.currency;
END;
"""
# A file of an earlier version gets these; every row that was paid for stays.
_LATER_COLUMNS = {
    "run": "TEXT NOT NULL DEFAULT ''",
    "currency": "TEXT NOT NULL DEFAULT ''",
    "reserved": "REAL NOT NULL DEFAULT 0",
    "cost": "REAL NOT NULL DEFAULT 0",
    "final": "INTEGER NOT NULL DEFAULT 0",
    "sender": "TEXT NOT NULL DEFAULT ''",
    "making": "TEXT NOT NULL DEFAULT ''",
}
_MOST_TOGETHER = 512  # writes that share a commit
_ROUNDING = 1e-9  # what a sum of costs may miss its exact value by
# How long SQLite waits for another program's lock before it is said who holds it; then it waits on.
_PATIENCE_S = 10
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_REMEDIES = {
    sqlite3.SQLITE_CANTOPEN: "it is no file, or its folder may not be written to; give this user "
    "the right to write there",
    sqlite3.SQLITE_READONLY: "it may only be read; give this user the right to write to it and to "
    "its folder",
    sqlite3.SQLITE_PERM: "it may only be read; give this user the right to write to it and to its "
    "folder",
    sqlite3.SQLITE_FULL: "its disk is full; free space and run again",
    sqlite3.SQLITE_IOERR: "its disk refuses; check it and run again",
}


@dataclass(frozen=True)
class Intent:
    """A request that is about to be sent. `reserved`: the most it can cost, in `currency`;
    `making`: for what making of a stage.
    """

    key: str
    run: str
    endpoint: str
    model: str
    currency: str = ""
    reserved: float = 0.0
    making: str = ""


@dataclass(frozen=True)
class Claim:
    """What a look at the journal came to: exactly one of these holds.

    `attempt` above 0: the request is noted as sent, with its cost reserved; it must be sent now.
    `answered`: a reply is there. `under_way`: who sends the request now, or with `in_batch` the
    batch it is in, in words for people. Otherwise the budget has no room: `spent` is paid or may
    be, of which `held` belongs to requests that are out and may come back.
    """

    attempt: int = 0
    answered: bool = False
    under_way: str = ""
    in_batch: bool = False
    spent: float = 0.0
    held: float = 0.0


@dataclass(frozen=True)
class History:
    """What the journal knows of a key: the reply that counts (`body` None: there is none), and all
    it took.

    `attempt`: its number; `final`: it was judged; `making`: of the stage for which it was bought;
    `empty`: how many empty replies this making has bought; `cost`: what this run paid; `usage` and
    `seconds`: sums over every attempt of any run.
    """

    attempt: int = 0
    final: bool = False
    http_status: int | None = None
    body: str | None = None
    making: str = ""
    empty: int = 0
    cost: float = 0.0
    usage: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def total_usage(usages: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Tokens of several attempts together."""
    total = dict.fromkeys(("prompt_tokens", "completion_tokens"), 0)
    for usage in usages:
        for name in total:
            total[name] += usage.get(name, 0)
    return total


class Journal:
    """Every request by its key: the intent before sending, the raw body and usage after. Safe for
    threads and processes.

    status of an attempt: `sent` (no reply seen: it may have been paid), `received` (not judged
    yet), `ok`, `refusal`, `content_filter`, `length`, `empty`, `malformed`, `schema_violation`,
    `failed`. `final` marks a reply that is never asked for again. `cost` is what a reply cost,
    `reserved` what an attempt may have cost beyond that. Raises `JournalError` when the file cannot
    be used.
    """

    def __init__(self, path: AnyPath):
        self.path = Path(path)
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue = queue.SimpleQueue()
        # Others know by this lock whether who has noted a request as sent is still there to receive
        # the reply.
        self.sender = uuid.uuid4().hex
        self._busy_reported_at = 0.0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._reader = self._patiently(self._open)
            self._patiently(lambda: _prepare(self._reader))
            self._db = self._patiently(self._open)
            self._sweep()
            locks.take(self._sender_file(self.sender), "journal")
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from None
        self._writer = threading.Thread(target=self._write_on, name="journal", daemon=True)
        self._writer.start()

    def history(self, key: str, run: str = "", making: str = "") -> History:
        """The reply to use for a key, and what its attempts cost `run` and were for `making`."""
        columns = (
            "attempt",
            "final",
            "http_status",
            "body",
            "status",
            "run",
            "making",
            "cost",
            "usage",
            "seconds",
        )
        sql = f"SELECT {', '.join(columns)} FROM attempts WHERE key = ? ORDER BY attempt"
        rows = [dict(zip(columns, row, strict=True)) for row in self._read(sql, (key,))]
        judged = [row for row in rows if row["final"] or row["status"] == "received"]
        counts = judged[-1] if judged else {}
        of_making = [row for row in rows if row["making"] == making]
        of_run = [row for row in rows if row["run"] == run]
        usages = [json.loads(row["usage"] or "{}") for row in rows]
        return History(
            attempt=counts.get("attempt", 0),
            final=bool(counts.get("final", False)),
            http_status=counts.get("http_status"),
            body=counts.get("body"),
            making=counts.get("making", ""),
            empty=sum(row["status"] == "empty" for row in of_making),
            cost=sum(row["cost"] for row in of_run),
            usage=total_usage(usages),
            seconds=sum(row["seconds"] or 0.0 for row in rows),
        )

    def claim(self, intent: Intent, limit: float) -> Claim:
        """Look a request up and, if nobody has it and its cost fits under `limit` for its run, note
        it as sent.
        """
        return self._write(lambda db: self._claim(db, intent, limit))

    def look(self, intent: Intent, limit: float) -> Claim:
        """What `claim` would come to, noting nothing; `attempt` is 1 where it would be sent.

        It does not wait for what this process has yet to write: a reply that was labelled just now
        may look unjudged.
        """
        with self._reading():
            return self._refusal(self._reader, intent, limit) or Claim(attempt=1)

    def settle(
        self,
        key: str,
        attempt: int,
        *,
        status: str,
        http_status: int | None,
        body: str,
        usage: dict[str, int],
        cost: float,
        reserved: float,
        seconds: float,
    ) -> None:
        """Store what came back for an attempt; on the disk when this returns. `reserved`: what it
        may have cost beyond `cost`.
        """
        values = (
            status,
            http_status,
            body,
            json.dumps(usage),
            cost,
            reserved,
            seconds,
            key,
            attempt,
        )
        sql = (
            "UPDATE attempts SET status = ?, http_status = ?, body = ?, usage = ?, cost = ?, "
            "reserved = ?, seconds = ? WHERE key = ? AND attempt = ?"
        )
        self._write(lambda db: db.execute(sql, values))

    def keep(
        self,
        key: str,
        attempt: int,
        raw: "Raw",
        usage: dict[str, int],
        cost: float,
        reserved: float = 0.0,
    ) -> None:
        """`settle` with what a server answered."""
        self.settle(
            key,
            attempt,
            status="received" if raw.http_status == 200 else "failed",
            http_status=raw.http_status,
            body=raw.body,
            usage=usage,
            cost=cost,
            reserved=reserved,
            seconds=raw.seconds,
        )

    def label(self, key: str, attempt: int, status: str, final: bool) -> None:
        """Judge a stored reply. Does not wait for the disk: an unjudged reply is simply judged
        again.
        """
        sql = "UPDATE attempts SET status = ?, final = ? WHERE key = ? AND attempt = ?"
        values = (status, int(final), key, attempt)
        self._jobs.put((lambda db: db.execute(sql, values), Future()))

    def reopen(self, key: str) -> None:
        """Let a request be sent again whose replies were of no use; they stay in the file."""
        sql = "UPDATE attempts SET final = 0 WHERE key = ?"
        self._write(lambda db: db.execute(sql, (key,)))

    def spent(self, run: str) -> dict[str, float]:
        """What a run has paid or may have paid so far, by currency."""
        return dict(self._read("SELECT currency, amount FROM spent WHERE run = ?", (run,)))

    def mode(self, server: str, model: str) -> str:
        """How this model was found to take a schema; '' when nobody has asked it yet."""
        rows = self._read(
            "SELECT mode FROM capabilities WHERE server = ? AND model = ?", (server, model)
        )
        return rows[0][0] if rows else ""

    def set_mode(self, server: str, model: str, mode: str) -> None:
        self._write(
            lambda db: db.execute(
                "INSERT OR REPLACE INTO capabilities VALUES (?, ?, ?)", (server, model, mode)
            )
        )

    def refused_fields(self, server: str, model: str) -> list[str]:
        """The fields of a request that this model was found not to take."""
        sql = "SELECT field FROM refused_fields WHERE server = ? AND model = ?"
        return [row[0] for row in self._read(sql, (server, model))]

    def refuse_field(self, server: str, model: str, field: str) -> None:
        sql = "INSERT OR IGNORE INTO refused_fields VALUES (?, ?, ?)"
        self._write(lambda db: db.execute(sql, (server, model, field)))

    def begin_batch(
        self, mark: str, server: str, model: str, mode: str, intents: Sequence[Intent], limit: float
    ) -> list[str]:
        """Note a batch and all its requests before it is created. `mode`: how its requests ask for
        their schema.

        Returns the keys that cannot be part of it, since another process has them by now or `limit`
        has no room for them; then nothing was noted.
        """

        def job(db: sqlite3.Connection) -> list[str]:
            taken = [intent.key for intent in intents if self._refusal(db, intent, float("inf"))]
            total = sum(intent.reserved for intent in intents)
            if not taken and not fits(_spent(db, intents[0]), total, limit):
                taken = [intents[-1].key]
            if taken:
                return taken
            numbers = {intent.key: self._insert(db, intent) for intent in intents}
            row = (
                mark,
                server,
                model,
                intents[0].run,
                mode,
                total,
                json.dumps(numbers),
                "",
                "prepared",
                time.time(),
                self.sender,
            )
            db.execute(
                f"INSERT INTO batches ({_BATCH_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            return []

        return self._write(job)

    def update_batch(self, mark: str, state: str, batch_id: str = "") -> None:
        """state: prepared, submitted, collected, abandoned."""
        sql = (
            "UPDATE batches SET state = ?, batch_id = CASE WHEN ? = '' THEN batch_id ELSE ? END "
            "WHERE mark = ?"
        )
        self._write(lambda db: db.execute(sql, (state, batch_id, batch_id, mark)))

    def open_batches(self, server: str, model: str) -> Records:
        """Batches whose results are not in yet, oldest first: {mark, run, mode, reserved, batch_id,
        requests: {key: attempt}, waiting}.

        `waiting`: the other process that waits for it, '' where this one may or its own process is
        gone.
        """
        names = ("mark", "run", "mode", "reserved", "batch_id", "requests", "sender")
        sql = (
            f"SELECT {', '.join(names)} FROM batches WHERE server = ? AND model = ? AND state "
            "IN ('prepared', 'submitted') ORDER BY created_at"
        )
        rows = [dict(zip(names, row, strict=True)) for row in self._read(sql, (server, model))]
        for row in rows:
            row["requests"] = json.loads(row["requests"])
            row["waiting"] = self._other(row.pop("sender"))
        return rows

    def adopt_batch(self, mark: str) -> None:
        """Wait for a batch from now on in the place of its process, which is gone."""
        self._write(
            lambda db: db.execute(
                "UPDATE batches SET sender = ? WHERE mark = ?", (self.sender, mark)
            )
        )

    def close(self) -> None:
        """Write what is left and let go of the file."""
        self._jobs.put(None)
        self._writer.join()
        self._reader.close()
        locks.release(self._sender_file(self.sender))
        locks.remove(self._sender_file(self.sender))

    def _claim(self, db: sqlite3.Connection, intent: Intent, limit: float) -> Claim:
        return self._refusal(db, intent, limit) or Claim(attempt=self._insert(db, intent))

    def _refusal(self, db: sqlite3.Connection, intent: Intent, limit: float) -> Claim | None:
        """Why a request must not be sent now; None when it may."""
        sql = "SELECT status, final, sender FROM attempts WHERE key = ?"
        attempts = db.execute(sql, (intent.key,)).fetchall()
        if any(final or status == "received" for status, final, _ in attempts):
            return Claim(answered=True)
        senders = [sender for status, _, sender in attempts if status == "sent"]
        for sender in senders:
            holder = self._alive(sender)
            if holder:
                batch = _batch_of(db, intent.key)
                return Claim(under_way=batch or str(holder), in_batch=bool(batch))
        spent = _spent(db, intent)
        if fits(spent, intent.reserved, limit):
            return None
        return Claim(spent=spent, held=self._held(db, intent))

    def _held(self, db: sqlite3.Connection, intent: Intent) -> float:
        """What is reserved for requests of a run that are out and will tell what they cost."""
        sql = (
            "SELECT sender, SUM(reserved) FROM attempts WHERE run = ? AND currency = ? AND "
            "status = 'sent' GROUP BY sender"
        )
        by_sender = db.execute(sql, (intent.run, intent.currency)).fetchall()
        return sum(reserved for sender, reserved in by_sender if self._alive(sender))

    def _insert(self, db: sqlite3.Connection, intent: Intent) -> int:
        sql = """
            INSERT INTO attempts
                (key, attempt, run, endpoint, model, currency, reserved, making, sent_at, status,
                sender)
            SELECT ?, COALESCE(MAX(attempt), 0) + 1, ?, ?, ?, ?, ?, ?, ?, 'sent', ?
            FROM attempts WHERE key = ? RETURNING attempt
        """
        values = (
            intent.key,
            intent.run,
            intent.endpoint,
            intent.model,
            intent.currency,
            intent.reserved,
            intent.making,
            time.time(),
            self.sender,
            intent.key,
        )
        return db.execute(sql, values).fetchone()[0]

    def _sender_file(self, sender: str) -> Path:
        return self.path.with_name(f"{self.path.name}.senders") / f"{sender}.lock"

    def _alive(self, sender: str) -> locks.Holder | None:
        return locks.holder(self._sender_file(sender)) if sender else None

    def _other(self, sender: str) -> str:
        holder = None if sender == self.sender else self._alive(sender)
        return str(holder) if holder else ""

    def _sweep(self) -> None:
        """Delete the lock files of processes that are gone."""
        for file in self._sender_file("x").parent.glob("*.lock"):
            locks.remove(file)

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self.path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False
        )
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        return db

    def _patiently(self, function: Callable[[], Any]) -> Any:
        """What `function` gives, however long another program has the file locked; who does is said
        now and then.
        """
        while True:
            try:
                return function()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in _BUSY:
                    raise
                self._tell_busy()

    def _tell_busy(self) -> None:
        if time.monotonic() - self._busy_reported_at < 60:
            return
        self._busy_reported_at = time.monotonic()
        holders = [self._other(file.stem) for file in self._sender_file("x").parent.glob("*.lock")]
        known = ", ".join(holder for holder in holders if holder)
        print(
            f"{self.path} is locked by "
            f"{known or 'another program (a database viewer, a backup?)'}; waiting until it "
            "is free",
            flush=True,
        )

    def _unusable(self, error: Exception) -> JournalError:
        """The sentence for a file that cannot be used."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGED:
            return JournalError(
                f"{self.path} is damaged ({error}). Put it back from a copy, or move it "
                "aside: then what is in it "
                f"is paid for again, and budgets count from nothing"
            )
        remedy = _REMEDIES.get(code)
        if remedy:
            return JournalError(
                f"{self.path} cannot be used ({error}): {remedy}; nothing paid is lost"
            )
        if isinstance(error, OSError):
            return JournalError(
                f"{self.path} cannot be used ({error}); check the path and its disk; nothing "
                "paid is lost"
            )
        return JournalError(
            f"{self.path} is no journal of this version ({error}); use the version of DishVL "
            "that wrote it, "
            f"or give the file back if another program has put its own in this place"
        )

    def _read(self, sql: str, values: tuple) -> list[tuple]:
        with self._reading():
            return self._reader.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise self._unusable(error) from None

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
            self._patiently(lambda: db.execute("BEGIN IMMEDIATE"))
            results = [job(db) for job, _ in jobs]
            db.execute("COMMIT")
        except Exception as error:  # whatever it is, those who wait must hear of it
            if db.in_transaction:
                db.execute("ROLLBACK")
            failure = (
                self._unusable(error)
                if isinstance(error, sqlite3.Error)
                else JournalError(f"{self.path} cannot be written ({error})")
            )
            for _, done in jobs:
                done.set_exception(failure)
            return
        for (_, done), result in zip(jobs, results, strict=True):
            done.set_result(result)


_BATCH_COLUMNS = (
    "mark, server, model, run, mode, reserved, requests, batch_id, state, created_at, sender"
)


def _prepare(db: sqlite3.Connection) -> None:
    db.executescript(_TABLES)
    db.execute("BEGIN IMMEDIATE")
    try:
        _upgrade(db)
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _upgrade(db: sqlite3.Connection) -> None:
    there = _columns(db, "attempts")
    for name, kind in _LATER_COLUMNS.items():
        if name not in there:
            db.execute(f"ALTER TABLE attempts ADD COLUMN {name} {kind}")
    if "final" not in there:
        db.execute("UPDATE attempts SET final = 1 WHERE status = 'ok'")
    if "sender" not in _columns(db, "batches"):
        db.execute("ALTER TABLE batches ADD COLUMN sender TEXT NOT NULL DEFAULT ''")
    db.execute("CREATE INDEX IF NOT EXISTS attempts_of_run ON attempts (run)")
    if not _columns(db, "spent"):
        for statement in _statements(_TOTALS):
            db.execute(statement)


def _columns(db: sqlite3.Connection, table: str) -> set[str]:
    """Names of a table's columns; empty when there is no such table."""
    return {row[1] for row in db.execute(f"PRAGMA table_info({table})")}


def _statements(script: str) -> list[str]:
    """The statements of a script one by one, since `executescript` would end the transaction."""
    statements = [""]
    for line in script.strip().splitlines():
        statements[-1] += line + "\n"
        if sqlite3.complete_statement(statements[-1]):
            statements.append("")
    return [statement for statement in statements if statement.strip()]


def _spent(db: sqlite3.Connection, intent: Intent) -> float:
    sql = "SELECT amount FROM spent WHERE run = ? AND currency = ?"
    row = db.execute(sql, (intent.run, intent.currency)).fetchone()
    return row[0] if row else 0.0


def fits(spent: float, amount: float, limit: float) -> bool:
    """What is free always fits."""
    return amount <= 0 or spent + amount <= limit + _ROUNDING


def _batch_of(db: sqlite3.Connection, key: str) -> str:
    """The open batch that a request is in, in words; '' when it is in none."""
    rows = db.execute(
        "SELECT batch_id, run, requests FROM batches WHERE state IN ('prepared', 'submitted')"
    )
    for batch_id, run, requests in rows:
        if key in json.loads(requests):
            return f"batch {batch_id or '(being created)'} of run {run}"
    return ""
