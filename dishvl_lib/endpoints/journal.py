"""The journal of paid replies: an SQLite file shared by all runs, written before anything is parsed."""

import json
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS attempts (
    key TEXT NOT NULL, attempt INTEGER NOT NULL, endpoint TEXT NOT NULL, model TEXT NOT NULL, sent_at REAL NOT NULL,
    seconds REAL, status TEXT NOT NULL, http_status INTEGER, body TEXT, usage TEXT, PRIMARY KEY (key, attempt));
"""


class Journal:
    """Every request by its key: the intent before sending, the raw body and usage after. Safe for threads.

    status: `sent` (no reply seen: it may have been paid), `ok`, `failed`.
    """

    def __init__(self, path: Path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path, self._lock = Path(path), threading.Lock()
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)

    def reply(self, key: str) -> dict[str, Any] | None:
        """The stored good reply for a key: {body, usage, seconds}, or None."""
        rows = self._execute("SELECT body, usage, seconds FROM attempts WHERE key = ? AND status = 'ok' ORDER BY attempt DESC LIMIT 1", (key,))
        return {"body": rows[0][0], "usage": json.loads(rows[0][1] or "{}"), "seconds": rows[0][2]} if rows else None

    def intend(self, key: str, endpoint: str, model: str) -> int:
        """Note that a request is about to be sent; returns the attempt's number."""
        insert = "INSERT INTO attempts (key, attempt, endpoint, model, sent_at, status) "
        select = "SELECT ?, COALESCE(MAX(attempt), 0) + 1, ?, ?, ?, 'sent' FROM attempts WHERE key = ? RETURNING attempt"
        return self._execute(insert + select, (key, endpoint, model, time.time(), key))[0][0]

    def settle(self, key: str, attempt: int, status: str, http_status: int | None, body: str, usage: dict[str, int], seconds: float) -> None:
        """Store what came back for an attempt."""
        values = (status, http_status, body, json.dumps(usage), seconds, key, attempt)
        self._execute("UPDATE attempts SET status = ?, http_status = ?, body = ?, usage = ?, seconds = ? WHERE key = ? AND attempt = ?", values)

    def close(self) -> None:
        self._db.close()

    def _execute(self, sql: str, values: tuple) -> list[tuple]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()
