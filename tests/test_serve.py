"""`dishvl serve`: which model, where it keeps things, and what it refuses to begin with."""

import signal
import socket
import subprocess
import sys

import httpx
import pytest
import serving_toys

paddle = pytest.importorskip("paddle")

from dishvl_lib import cli, serve  # noqa: E402
from dishvl_lib.serving import server  # noqa: E402


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("outputs")
    serving_toys.model_folder(outputs / "canteen")
    return outputs / "canteen"


@pytest.fixture
def outputs(run_folder, monkeypatch):
    monkeypatch.setenv("DISHVL_OUTPUTS", str(run_folder.parent))
    return run_folder.parent


def test_a_run_a_folder_or_the_newest_is_served(outputs, run_folder):
    best = run_folder / "04_training" / "best"
    assert serve.model_folder("canteen") == best
    assert serve.model_folder(str(best)) == best
    assert serve.model_folder(None) == best


def test_what_is_neither_is_said_with_the_runs_there_are(outputs, tmp_path):
    with pytest.raises(RuntimeError, match=r"nobody is neither a run \(there are canteen\)"):
        serve.model_folder("nobody")
    (outputs / "begun").mkdir(exist_ok=True)
    with pytest.raises(RuntimeError, match="run begun has no trained model"):
        serve.model_folder("begun")


def test_things_are_kept_in_the_run_s_folder(outputs, run_folder):
    folders = serve.service_folders(run_folder / "04_training" / "best")
    assert folders.corrections == run_folder.resolve() / "corrections"
    assert folders.menus == run_folder.resolve() / "menus"


def test_a_model_elsewhere_has_a_folder_of_its_own_below_outputs(outputs, tmp_path):
    first, second = (tmp_path / place / "canteen" / "best" for place in ("a", "b"))
    homes = [serve.service_folders(folder).home for folder in (first, second)]
    assert homes[0] != homes[1]
    assert {home.parent for home in homes} == {outputs.resolve()}
    assert all(home.name.startswith("served-canteen-") for home in homes)


def served(*arguments, capsys):
    status = cli.main(["serve", *arguments])
    return status, capsys.readouterr().err


def test_beyond_the_loopback_it_does_not_begin_without_a_token(outputs, capsys, monkeypatch):
    monkeypatch.delenv("DISHVL_TOKEN", raising=False)
    status, said = served("canteen", "--host", "0.0.0.0", capsys=capsys)
    assert status == 1
    assert "DISHVL_TOKEN" in said


def test_a_port_that_is_taken_is_said(outputs, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, said = served("canteen", "--port", str(port), capsys=capsys)
    assert status == 1
    assert f"cannot listen at 127.0.0.1, port {port}" in said


def test_answers_are_sent_at_once(outputs):
    """asyncio turns Nagle's algorithm off only for sockets whose protocol is said by name."""
    with server.listening(server.Address("127.0.0.1", 0)) as bound:
        assert bound.proto == socket.IPPROTO_TCP


def test_a_folder_without_a_model_is_said(outputs, tmp_path, capsys):
    status, said = served(str(tmp_path), "--port", "0", capsys=capsys)
    assert status == 1
    assert len(said.strip().splitlines()) == 1


def test_without_the_extra_its_name_is_said(outputs, capsys, monkeypatch):
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "fastapi" else name)
    status, said = served("canteen", capsys=capsys)
    assert status == 1
    assert "pip install 'dishvl[serve]'" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("--port", "70000"),
        ("--port", "http"),
        ("--max-batch", "0"),
        ("--queue", "-1"),
        ("--max-wait-ms", "-1"),
    ],
)
def test_options_that_cannot_be_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", *arguments])
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_the_help_says_every_option():
    command = [sys.executable, "-m", "dishvl_lib.cli", "serve", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for option in ("--host", "--port", "--device", "--dtype", "--no-gallery"):
        assert option in shown
    for option in ("--max-batch", "--max-wait-ms", "--queue", "dishvl[serve]"):
        assert option in shown


def test_the_command_answers_and_ends_well(run_folder):
    with serving_toys.command("canteen", outputs=run_folder.parent) as (
        address,
        process,
    ):
        assert httpx.get(f"{address}/health").json() == {"status": "ready"}
        menu = {"entries": serving_toys.MENU}
        assert httpx.put(f"{address}/v1/menus/a", json=menu).status_code == 200
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "ended" in said
    assert (run_folder / "menus" / "a.json").is_file()
