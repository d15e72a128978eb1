"""Files and batches of the local server, kept in memory: a batch answers its file line by line when
it is asked for.
"""

import email
import email.policy
import json
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from dishvl_lib.core.types import Record, Records


class BadRequest(ValueError):
    """A request that the protocol or this server does not allow; its text goes into the error
    body.
    """


class BatchDesk:
    """The part of the protocol that batch mode uses. `complete`: answers one request's JSON or
    raises BadRequest; `seconds`: how long a batch takes.
    """

    def __init__(self, complete: Callable[[Any], dict], seconds: float = 0.0) -> None:
        self.complete = complete
        self.seconds = seconds
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, Record] = {}
        self._lock = threading.Lock()

    def upload(self, content_type: str, body: bytes) -> Record:
        """Store the file of a multipart form."""
        form = email.message_from_bytes(
            f"Content-Type: {content_type}\r\n\r\n".encode() + body, policy=email.policy.HTTP
        )
        parts = (
            {
                part.get_param("name", header="content-disposition"): part
                for part in form.iter_parts()
            }
            if form.is_multipart()
            else {}
        )
        if "file" not in parts:
            raise BadRequest("the form has no part called file")
        data = parts["file"].get_payload(decode=True)
        if not isinstance(data, bytes):
            raise BadRequest("the part called file holds parts of its own, not a file")
        return self._keep(data, parts["file"].get_filename() or "")

    def content(self, file_id: str) -> bytes:
        """Raises KeyError for a file that is not here."""
        return self.files[file_id]

    def create(self, order: Any) -> Record:
        """A batch of an uploaded file."""
        file_id = order.get("input_file_id") if isinstance(order, dict) else None
        if file_id not in self.files:
            raise BadRequest(f"input_file_id {file_id!r} is not an uploaded file")
        batch = {
            "id": f"batch_{uuid.uuid4().hex[:24]}",
            "object": "batch",
            "endpoint": order.get("endpoint", ""),
            "input_file_id": file_id,
            "status": "in_progress",
            "completion_window": order.get("completion_window", "24h"),
            "created_at": int(time.time()),
            "metadata": order.get("metadata") or {},
            "output_file_id": None,
            "error_file_id": None,
            "errors": None,
        }
        with self._lock:
            self.batches[batch["id"]] = batch | {"ready_at": time.monotonic() + self.seconds}
        return batch

    def show(self, batch_id: str) -> Record:
        """A batch; its answers are made when its time has come. Raises KeyError for one that is not
        here.
        """
        with self._lock:
            batch = self.batches[batch_id]
            is_ready = time.monotonic() >= batch["ready_at"]
            if is_ready and batch["status"] == "in_progress":
                batch |= self.finish(self.files[batch["input_file_id"]])
        return _public(batch)

    def page(self, after: str, limit: int) -> Record:
        """The newest batches first, beginning after the one given."""
        newest = [_public(batch) for batch in reversed(self.batches.values())]
        ids = [batch["id"] for batch in newest]
        start = ids.index(after) + 1 if after in ids else 0
        page = newest[start : start + limit]
        return {
            "object": "list",
            "data": page,
            "has_more": start + limit < len(newest),
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
        }

    def finish(self, content: bytes) -> Record:
        """What changes in a batch when it has run: its status and result files."""
        results = [
            self._line(json.loads(line))
            for line in content.decode("utf-8").splitlines()
            if line.strip()
        ]
        good = [result for result in results if result["response"]["status_code"] == 200]
        bad = [result for result in results if result["response"]["status_code"] != 200]
        return {
            "status": "completed",
            "output_file_id": self._results(good),
            "error_file_id": self._results(bad),
        }

    def _line(self, line: Record) -> Record:
        try:
            status = 200
            body = self.complete(line["body"])
        except BadRequest as error:
            status = 400
            body = {
                "error": {
                    "message": str(error),
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "invalid_request_error",
                }
            }
        return {
            "id": f"batch_req_{uuid.uuid4().hex[:16]}",
            "custom_id": line["custom_id"],
            "response": {"status_code": status, "body": body},
            "error": None,
        }

    def _results(self, lines: Records) -> str | None:
        texts = [json.dumps(line, ensure_ascii=False) for line in lines]
        content = "".join(f"{text}\n" for text in texts).encode()
        return self._keep(content, "results.jsonl")["id"] if lines else None

    def _keep(self, content: bytes, name: str) -> Record:
        file_id = f"file-{uuid.uuid4().hex[:24]}"
        self.files[file_id] = content
        return {
            "id": file_id,
            "object": "file",
            "bytes": len(content),
            "created_at": int(time.time()),
            "filename": name,
            "purpose": "batch",
            "status": "processed",
        }


def _public(batch: Record) -> Record:
    return {name: value for name, value in batch.items() if name != "ready_at"}
