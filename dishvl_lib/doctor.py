"""What this machine offers: for a bug report, and before a long run."""

import importlib.util
import shutil
import subprocess
from collections.abc import Mapping

import psutil

from dishvl_lib.core import cores, paths, pretrained_weights, stages

# What the 7B's profiles are planned to need; docs/7b.md says the same.
GPU_NEEDED = "training the 7B takes 53 GB as its profile stands, 22 GB with LoRA (docs/7b.md)"


def report() -> str:
    """Versions, cores, memory, disk, GPU, hubs and a Chinese font, a line each."""
    disk = shutil.disk_usage(paths.outputs().parent)
    lines = [f"{name} {version}" for name, version in stages.versions().items()]
    lines += untested(stages.versions(), tested_versions())
    lines += [
        f"cores {cores.available()}, memory {psutil.virtual_memory().total / 2**30:.0f} GiB "
        f"({psutil.virtual_memory().available / 2**30:.0f} free)"
    ]
    lines += [
        f"disk for outputs: {disk.free / 2**30:.0f} GiB free in {paths.outputs()}",
        f"GPU: {_gpu()}",
        f"torch.cuda: {_cuda()}",
        f"hub of models: {_hub()}",
        f"modelscope: {_modelscope()}",
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
        return f"none (no nvidia-smi): the demo runs without; {GPU_NEEDED}"
    listing = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"],
        capture_output=True,
        text=True,
    )
    return listing.stdout.strip().replace("\n", "; ") or listing.stderr.strip()


def _cuda() -> str:
    """What torch itself sees: a driver alone trains nothing."""
    import torch

    if not torch.cuda.is_available():
        if shutil.which("nvidia-smi"):
            return (
                f"not usable, although there is a driver: torch {torch.__version__} is built for "
                f"CUDA {torch.version.cuda or 'no CUDA'}; install the build of torch that fits the "
                "driver, or a newer driver"
            )
        return "not usable (no driver)"
    devices = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = f"{properties.total_memory / 2**30:.0f} GiB"
        devices.append(f"{properties.name}, {memory}")
    precision = "with bfloat16" if torch.cuda.is_bf16_supported() else "without bfloat16"
    return f"{'; '.join(devices)}, CUDA {torch.version.cuda}, {precision}"


def _hub() -> str:
    """Whether the hub from which a `base_model` would be downloaded answers."""
    from huggingface_hub import constants

    from dishvl_lib.vlm import hub

    if constants.HF_HUB_OFFLINE:
        return "not asked (HF_HUB_OFFLINE is set): give base_model as a folder"
    problem = hub.unreachable()
    return f"{problem}: {hub.REMEDY}" if problem else f"{constants.ENDPOINT} answers"


def _modelscope() -> str:
    if importlib.util.find_spec("modelscope"):
        return "installed, for base_model modelscope:ID"
    return "not installed; pip install modelscope when base_model is modelscope:ID"


def _font() -> str:
    from dishvl_lib.display import fonts

    return (
        fonts.use_chinese_font()
        or "none; labels are numbered (Debian: apt-get install fonts-wqy-microhei)"
    )
