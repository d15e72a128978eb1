"""A real vLLM server over a trained folder, and the run whose questions it is asked."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import chain

from dishvl_lib.core import paths, records

VLLM = paths.PROJECT_ROOT / ".venv-vllm" / "bin" / "vllm"
STARTUP = Path(__file__).with_name("startup")
START_S = 600  # it compiles the model when it starts
MODEL = "best"
LARGEST_MODEL = 500_000_000  # bytes of weights: both sides run on this machine's CPU in float32
# As docs/serving.md has it. One grey level of a pixel differs without it.
PROCESSOR = '{"use_fast": false}'
PENALTY = 20.0  # the 7B's generation_config.json has 1.05; this much changes every answer


@dataclass
class Run:
    """A finished training: the model's folder, its photos, and questions as stage 03 wrote them."""

    best: Path
    image_root: Path
    rows: list[dict]


def newest_run() -> Run | None:
    """The run under outputs/ that was trained last, with its questions and photos still there and a
    model that is small enough.
    """
    folders = sorted(paths.outputs().glob("*/04_training/best"), key=lambda f: f.stat().st_mtime)
    for best in reversed(folders):
        run = _opened(best)
        if run is not None:
            return run
    return None


def toy_run(folder: Path) -> Run:
    """A run of a few drawn dishes, in about a minute."""
    profile = chain.profile(folder / "profile", chain.draw(folder / "drawn"))
    done = chain.dishvl("run", profile, "--to", "04", outputs=folder / "outputs")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    run = _opened(folder / "outputs" / "toy" / "04_training" / "best")
    assert run is not None
    return run


def _opened(best: Path) -> Run | None:
    run = best.parents[1]
    questions = run / "03_dataset" / "test.jsonl"
    marker = run / "01_annotation" / "_SUCCESS.json"
    if not (questions.is_file() and marker.is_file()):
        return None
    weights = sum(file.stat().st_size for file in best.glob("*.safetensors"))
    if weights > LARGEST_MODEL:
        return None
    image_root = Path(records.read_json(marker)["image_root"])
    rows = list(records.read_jsonl(questions))
    if not all((image_root / row["image"]).is_file() for row in rows):
        return None
    return Run(best, image_root, rows)


def with_penalty(best: Path, folder: Path) -> Path:
    """A copy of a model's folder whose generation_config.json has a repetition penalty, as that of
    the 7B has.
    """
    copy = shutil.copytree(best, folder / MODEL)
    file = copy / "generation_config.json"
    records.write_json(file, {**records.read_json(file), "repetition_penalty": PENALTY})
    return copy


def start(folder: Path, log: Path) -> tuple[subprocess.Popen, str]:
    """(server, base_url) of `vllm serve` over a model's folder, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [VLLM, "serve", folder, "--served-model-name", MODEL]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    command += ["--max-model-len", "4096", "--mm-processor-kwargs", PROCESSOR, "--enforce-eager"]
    variables = {"PYTHONPATH": str(STARTUP), "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    with log.open("w") as printed:
        server = subprocess.Popen(
            list(map(str, command)),
            env={**os.environ, **variables},
            stdout=printed,
            stderr=subprocess.STDOUT,
            cwd=folder.parent,
        )
    try:
        _wait(server, f"http://127.0.0.1:{port}/health", log)
    except BaseException:
        stop(server)
        raise
    return server, f"http://127.0.0.1:{port}/v1"


def stop(server: subprocess.Popen) -> None:
    """Ends the server and the processes that it started."""
    server.terminate()
    try:
        server.wait(30)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(30)


def _wait(server: subprocess.Popen, address: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"vLLM ended at its start:\n{log.read_text('utf-8')[-3000:]}")
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(1)
    raise TimeoutError(f"vLLM took more than {START_S} s:\n{log.read_text('utf-8')[-3000:]}")
