"""What `make` says and does before it downloads, without downloading."""

import os
import shutil
import subprocess

import pytest

from dishvl_lib.core import paths

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
WARNING = "3.2 GB will be downloaded"
ADDRESS = "http://127.0.0.1:9/cpu"


def environment(**added):
    """This process's, without what a make that runs the tests hands down."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    kept.pop("MFLAGS", None)
    return {**kept, **added}


def planned(*words):
    """The commands that make would run for the demo on a fresh machine."""
    command = ["make", "--dry-run", "--always-make", "demo", *words]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=paths.PROJECT_ROOT,
        check=True,
        env=environment(),
    )
    return done.stdout.splitlines()


def said(tmp_path, **added):
    """What make prints before it fails for want of a Python."""
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(paths.PROJECT_ROOT / name, tmp_path)
    command = ["make", "install", "PYTHON=false"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment(**added)
    )
    assert done.returncode != 0
    return done.stdout


def test_the_size_is_said_before_anything_is_downloaded():
    lines = planned()
    assert WARNING in lines[0]
    assert not any("--index-url" in line for line in lines)


def test_with_an_index_torch_alone_comes_from_there_and_first():
    lines = planned(f"TORCH_INDEX={ADDRESS}")
    assert not any(WARNING in line for line in lines)
    installing = [line for line in lines if " install " in line]
    assert f"--no-deps --index-url '{ADDRESS}' torch==" in installing[0]
    assert "--index-url" not in installing[1]


def test_a_machine_with_a_driver_is_told_nothing(tmp_path):
    driver = tmp_path / "bin" / "nvidia-smi"
    driver.parent.mkdir()
    driver.write_text("#!/bin/sh\n")
    driver.chmod(0o755)
    path = f"{driver.parent}{os.pathsep}{os.environ['PATH']}"
    assert WARNING not in said(tmp_path, PATH=path)


@pytest.mark.skipif(bool(shutil.which("nvidia-smi")), reason="this machine has a driver")
def test_a_machine_without_a_driver_is_told_in_two_lines(tmp_path):
    lines = [line for line in said(tmp_path).splitlines() if "GB" in line]
    assert len(lines) == 2
    assert "make install TORCH_INDEX=" in lines[1]


def test_the_image_calls_the_same_target_in_few_lines():
    lines = (paths.PROJECT_ROOT / "Dockerfile").read_text("utf-8").splitlines()
    assert len(lines) <= 20
    assert "RUN make install TORCH_INDEX=$TORCH_INDEX" in lines


def test_no_address_of_an_index_stands_in_the_repository():
    for name in ("Makefile", "Dockerfile", "constraints.txt", "pyproject.toml"):
        text = (paths.PROJECT_ROOT / name).read_text("utf-8")
        assert "/whl" not in text
        assert "simple/" not in text
