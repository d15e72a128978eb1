"""The net of a gallery: how it is described in gallery.json, and opening it as it was."""

from pathlib import Path

from dishvl_lib.core import params, pretrained_weights
from dishvl_lib.gallery import store
from dishvl_lib.gallery.store import GalleryError, Net
from dishvl_lib.similarity.embedder import Embedder
from dishvl_lib.similarity.preprocess import Preprocess
from dishvl_lib.similarity.weights import WeightsError


def describe(weights: Path | None, *, net: str, scale: float, preprocess: Preprocess) -> Net:
    """The net for a new gallery, beside which its weights will lie.

    `weights`: None for a net whose weights come with a package. Raises `WeightsError`.
    """
    embedder = Embedder(weights, net=net, scale=scale, preprocess=preprocess)
    return Net(
        net=net,
        scale=scale,
        short_side=preprocess.short_side,
        crop=preprocess.crop,
        mean=preprocess.mean,
        std=preprocess.std,
        feature_size=embedder.feature_size,
        weights_sha256=embedder.weights_sha256,
        file=store.WEIGHTS if weights is not None else "",
    )


def opened(folder: Path, net: Net) -> Embedder:
    """The net with the weights that the gallery's features were made with. Raises `GalleryError`
    when they are absent, or are others now.
    """
    weights = folder / net.file if net.file else None
    preprocess = Preprocess(net.short_side, net.crop, net.mean, net.std)
    try:
        embedder = Embedder(weights, net=net.net, scale=net.scale, preprocess=preprocess)
    except WeightsError as error:
        raise GalleryError(f"{folder}: its net cannot be opened: {error}; {_remedy(net)}") from None
    if embedder.weights_sha256 != net.weights_sha256:
        raise GalleryError(
            f"{folder}: the weights of its net {net.net} are not those that its features were made "
            f"with (sha256 {embedder.weights_sha256[:12]}, then {net.weights_sha256[:12]}); "
            f"{_remedy(net)}"
        )
    return embedder


def _remedy(net: Net) -> str:
    if net.file:
        return f"put back {net.file} from a copy of the gallery, or let stage 05 make it again"
    if net.net == params.EFFICIENTNET_LITE0 and pretrained_weights.file() is None:
        return "install them and ask again"
    return "install the package's version of then, or let stage 05 make the gallery again"
