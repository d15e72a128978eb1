"""Annotation of 2,000 dishes by a server with 30% faults, killed five times: nothing lost, and
nothing paid twice but what was in flight.
"""

import hashlib
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import annotate_all
import pandas as pd
import pytest
from fault_server import TRANSIENT, USAGE, FaultServer
from PIL import Image

from dishvl_lib.annotation import audit
from dishvl_lib.core import paths, records
from dishvl_lib.endpoints.errors import BudgetError, EndpointError

DISHES = 2000
KILLS = 5
PRICE = sum(USAGE.values()) / 1e6
COSTS = ("cost", "tokens", "seconds")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return catalogue_of(tmp_path_factory.mktemp("faults"), DISHES)


def catalogue_of(folder, dishes):
    """(catalogue, photos): one tiny photo a dish."""
    (folder / "photos").mkdir()
    rows = []
    for number in range(dishes):
        path = folder / "photos" / f"{number:04d}.png"
        Image.new("RGB", (8, 8), (number % 256, number // 256, 99)).save(path)
        name = f"d{number:04d}"
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append(
            {
                "image_id": name,
                "path": path.name,
                "dish_id": name,
                "folder": name,
                "split": "train",
                "typical": 0,
                "sha256": digest,
                "group_id": name,
            }
        )
    records.write_table(folder / "catalog.csv", pd.DataFrame(rows))
    return folder / "catalog.csv", folder / "photos"


def start(world, server, folder):
    command = [
        sys.executable,
        str(Path(annotate_all.__file__)),
        *map(str, world),
        server.base_url,
        str(folder / "journal.sqlite"),
        str(folder / "answers.jsonl"),
    ]
    return subprocess.Popen(
        command,
        cwd=paths.PROJECT_ROOT,
        env={"PYTHONPATH": str(paths.PROJECT_ROOT), "PATH": ""},
        stderr=subprocess.PIPE,
    )


def finish(process):
    _, output = process.communicate(timeout=200)
    assert process.returncode == 0, output.decode()[-3000:]


def bills(server):
    return sum(server.billed.values())


def kill_when(process, server, billed):
    """SIGKILL once the server has billed so many."""
    end = time.time() + 100
    while bills(server) < billed:
        assert process.poll() is None, "the moment to kill at never came"
        assert time.time() < end, "the moment to kill at never came"
        time.sleep(0.005)
    process.kill()
    process.wait(30)
    process.stderr.close()


def dishes_file(world, answers, file):
    """dishes.jsonl that follows from these answers, without cost, tokens and time."""
    dishes, _, _ = audit.settle(records.read_table(world[0]), records.read_jsonl(answers))
    records.write_jsonl(
        file,
        [
            {
                **dish,
                "source": [
                    {name: value for name, value in answer.items() if name not in COSTS}
                    for answer in dish["source"]
                ],
            }
            for dish in dishes
        ],
    )
    return file.read_bytes()


def without_costs(file):
    return [
        {name: value for name, value in row.items() if name not in COSTS}
        for row in records.iter_jsonl(file)
    ]


def test_2000_dishes_with_faults_killed_five_times(world, tmp_path):
    whole = tmp_path / "whole"
    killed = tmp_path / "killed"
    with FaultServer() as server:
        finish(start(world, server, whole))
        undisturbed = bills(server)
    assert set(server.billed.values()) == {1}
    assert all(server.seen[kind] > 20 for kind in TRANSIENT)
    assert 1 - server.seen[""] / server.requests > 0.25
    with FaultServer() as server:
        for number in range(1, KILLS + 1):
            kill_when(start(world, server, killed), server, undisturbed * number // (KILLS + 1))
        finish(start(world, server, killed))
        twice = bills(server) - len(server.billed)
    assert 0 <= twice <= KILLS * annotate_all.CONCURRENCY
    assert max(server.billed.values()) <= 1 + KILLS
    rows = without_costs(killed / "answers.jsonl")
    assert rows == without_costs(whole / "answers.jsonl")
    assert [row["dish_id"] for row in rows] == [f"d{number:04d}" for number in range(DISHES)]
    whole_dishes, killed_dishes = (
        dishes_file(world, folder / "answers.jsonl", folder / "dishes.jsonl")
        for folder in (whole, killed)
    )
    assert whole_dishes == killed_dishes
    assert whole_dishes.count(b"\n") == DISHES
    check_rows(rows)
    check_journal(killed / "journal.sqlite", server)
    print(
        f"{DISHES} dishes, {server.requests} requests, {undisturbed} billed without kills, "
        f"{twice} billed twice in {KILLS} kills"
    )


def check_rows(rows):
    """Valid, or put aside with a reason and the raw text."""
    valid = [row for row in rows if row["card"]]
    aside = [row for row in rows if not row["card"]]
    assert len(valid) + len(aside) == DISHES
    assert all(row["name"] == f"菜{row['dish_id']}" for row in valid)
    assert len(valid) > 0.9 * DISHES
    assert all(row["problems"] and row["quarantined"][0]["text"] for row in aside)
    assert 0 < len(aside) < 0.1 * DISHES
    assert {row["quarantined"][0]["status"] for row in aside} == {
        "refusal",
        "malformed",
        "schema_violation",
    }
    described = [row for row in valid if row["introduction"]]
    assert all(row["introduction"] == f"介绍{row['name']}" for row in described)
    assert all(row["problems"] for row in valid if not row["introduction"])


def check_journal(file, server):
    """Every reply that was billed and not in flight at a kill is in the journal."""
    with sqlite3.connect(file) as db:
        kept = db.execute("SELECT COUNT(DISTINCT key) FROM attempts WHERE final = 1").fetchone()[0]
        stored = db.execute("SELECT COUNT(*) FROM attempts WHERE usage LIKE '%300%'").fetchone()[0]
    assert kept == len(server.billed)
    assert bills(server) - KILLS * annotate_all.CONCURRENCY <= stored <= bills(server)


def test_a_budget_of_40_percent_of_the_need_is_not_exceeded_and_the_rest_costs_the_rest(
    world, tmp_path
):
    dishes = 300
    with FaultServer() as server:
        annotate_all.ask(*world, server.base_url, tmp_path / "all.sqlite", dishes=dishes)
        need = bills(server) * PRICE
    with FaultServer() as server:
        for _ in range(2):
            with pytest.raises(BudgetError, match="budget: .* of .* USD are paid"):
                annotate_all.ask(
                    *world,
                    server.base_url,
                    tmp_path / "part.sqlite",
                    budget=0.4 * need,
                    dishes=dishes,
                )
        assert 0.15 * need < bills(server) * PRICE <= 0.4 * need
        annotate_all.ask(
            *world, server.base_url, tmp_path / "part.sqlite", budget=10 * need, dishes=dishes
        )
        assert bills(server) * PRICE == pytest.approx(need), (
            "nothing that was paid for is bought again"
        )


def test_an_exhausted_quota_stops_at_once(world, tmp_path):
    class Broke(FaultServer):
        def fault(self, digest):
            self.requests += 1
            return "broke" if bills(self) >= 50 else ""

    def broke(handler, *_):
        handler._send(
            429,
            b'{"error": {"code": "insufficient_quota", "message": "You exceeded your current '
            b'quota"}}',
        )

    with Broke(latency_s=0.02) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(server._server.RequestHandlerClass, "_broke", broke, raising=False)
        with pytest.raises(
            EndpointError,
            match="the account's quota is used up .HTTP 429 insufficient_quota.*top it up and run "
            "again",
        ):
            annotate_all.ask(*world, server.base_url, tmp_path / "j.sqlite")
        assert (
            server.requests
            <= bills(server) + annotate_all.CONCURRENCY
            <= 50 + 2 * annotate_all.CONCURRENCY
        )
