"""What this machine offers: for a bug report, and before a long run."""

import os
import shutil
import subprocess
from collections.abc import Mapping

import psutil

from dishvl_lib.core import paths, pretrained_weights, stages


def report() -> str:
    """Versions, cores, memory, disk, GPU and a Chinese font, a line each."""
    disk = shutil.disk_usage(paths.outputs().parent)
    lines = [f"{name} {version}" for name, version in stages.versions().items()]
    lines += untested(stages.versions(), tested_versions())
    lines += [
        f"cores {os.cpu_count()}, memory {psutil.virtual_memory().total / 2**30:.0f} GiB "
        f"({psutil.virtual_memory().available / 2**30:.0f} free)"
    ]
    lines += [
        f"disk for outputs: {disk.free / 2**30:.0f} GiB free in {paths.outputs()}",
        f"GPU: {_gpu()}",
        f"Chinese font for figures: {_font()}",
        f"EfficientNet-Lite0's weights: {pretrained_weights.file() or pretrained_weights.REMEDY}",
    ]
    return "\n".join(lines)


def tested_versions() -> dict[str, str]:
    """{package: version} that the library was tested with, from constraints.txt."""
    pinned = {}
    for line in paths.shipped("constraints.txt").read_text("utf-8").splitlines():
        name, equals, version = line.partition("#")[0].strip().partition("==")
        if equals:
            pinned[name] = version
    return pinned


def untested(installed: Mapping[str, str], tested: Mapping[str, str]) -> list[str]:
    """A line for each package whose version is not the one that was tested.

    A build's local part (`+cpu`) does not count. What we override of transformers' Trainer is
    private, and other versions may call it otherwise.
    """
    lines = []
    for name, version in installed.items():
        public = version.partition("+")[0]
        right = tested.get(name, public)
        if public != right:
            lines.append(
                f"note: {name} {version} is not the version that was tested ({right}); "
                f"pip install {name}=={right} goes back to it"
            )
    return lines


def _gpu() -> str:
    if not shutil.which("nvidia-smi"):
        return "none (no nvidia-smi): the demo runs, training the 7B needs one with about 70 GB"
    listing = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"],
        capture_output=True,
        text=True,
    )
    return listing.stdout.strip().replace("\n", "; ") or listing.stderr.strip()


def _font() -> str:
    from dishvl_lib.display import fonts

    return (
        fonts.use_chinese_font()
        or "none; labels are numbered (Debian: apt-get install fonts-wqy-microhei)"
    )
