"""Two processes on one journal: no request is paid for twice, and the budget of a run holds for all
of its processes.
"""

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import annotate_all
import pytest
from fault_server import USAGE, FaultServer
from test_annotation_faults import bills, catalogue_of, without_costs

from dishvl_lib.core import paths

DISHES = 120
PRICE = sum(USAGE.values()) / 1e6


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return catalogue_of(tmp_path_factory.mktemp("beside"), DISHES)


def start(world, server, folder, name, run="r", budget=1e9):
    program = [sys.executable, str(Path(annotate_all.__file__))]
    files = [
        *map(str, world),
        server.base_url,
        str(folder / "journal.sqlite"),
        str(folder / f"{name}.jsonl"),
    ]
    environment = {"PYTHONPATH": str(paths.PROJECT_ROOT), "PATH": ""}
    return subprocess.Popen(
        [*program, *files, run, str(budget), str(DISHES)],
        cwd=paths.PROJECT_ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def spent(folder):
    with sqlite3.connect(folder / "journal.sqlite") as db:
        return dict(
            db.execute("SELECT run, SUM(cost + reserved) FROM attempts GROUP BY run").fetchall()
        )


def twice(server):
    return bills(server) - len(server.billed)


@pytest.mark.parametrize("runs", [("r", "r"), ("a", "b")])
def test_the_same_photos_in_two_processes_are_paid_for_once(world, tmp_path, runs):
    with FaultServer(latency_s=0.02) as server:
        processes = [
            start(world, server, tmp_path, f"answers{number}", run)
            for number, run in enumerate(runs)
        ]
        outputs = [process.communicate(timeout=200)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    first, second = (without_costs(tmp_path / f"answers{number}.jsonl") for number in range(2))
    assert first == second
    assert len(first) == DISHES
    print(
        f"two processes, runs {runs}: {server.requests} requests, {len(server.billed)} "
        f"replies, {twice(server)} billed twice, paid {spent(tmp_path)}"
    )
    assert twice(server) == 0
    assert sum(spent(tmp_path).values()) >= bills(server) * PRICE


def test_a_budget_holds_for_all_processes_of_a_run(world, tmp_path):
    with FaultServer(share=0.0) as server:
        annotate_all.ask(*world, server.base_url, tmp_path / "whole.sqlite", dishes=DISHES)
        need = bills(server) * PRICE
    budget = 0.6 * need
    with FaultServer(share=0.0, latency_s=0.02) as server:
        processes = [
            start(world, server, tmp_path, f"answers{number}", budget=budget) for number in range(2)
        ]
        outputs = [process.communicate(timeout=200)[1] for process in processes]
        paid = bills(server) * PRICE
    print(
        f"budget {budget:.6f}, needed {need:.6f}, paid {paid:.6f} by two processes, "
        f"{server.requests} requests, {twice(server)} billed twice"
    )
    assert all(process.returncode == 1 for process in processes)
    assert all("are paid or may have been" in text for text in outputs), outputs
    assert 0.5 * budget < paid <= budget
    assert twice(server) == 0
    assert spent(tmp_path)["r"] <= budget + 1e-9


def test_when_one_of_two_is_killed_the_other_sends_what_was_under_way(world, tmp_path):
    with FaultServer(share=0.0, latency_s=0.05) as server:
        killed = start(world, server, tmp_path, "killed")
        other = start(world, server, tmp_path, "other", run="other")
        end = time.time() + 100
        while bills(server) < DISHES // 2:
            assert time.time() < end, "the moment to kill at never came"
            time.sleep(0.005)
        killed.kill()
        killed.communicate()
        output = other.communicate(timeout=200)[1]
    assert other.returncode == 0, output
    assert len(without_costs(tmp_path / "other.jsonl")) == DISHES
    print(
        f"one of two killed: {server.requests} requests, {twice(server)} billed twice (at "
        f"most {annotate_all.CONCURRENCY} were in flight)"
    )
    assert twice(server) <= annotate_all.CONCURRENCY
