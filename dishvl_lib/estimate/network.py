"""Whether a network between hosts bears a training, by the bytes that ZeRO sends in each step."""

from dishvl_lib.estimate.planner import WIDTH
from dishvl_lib.training.config import TrainingConfig


def seconds_a_step(
    config: TrainingConfig, counts: tuple[int, int], hosts: int, network_gbit: float
) -> dict[str, float]:
    """{ZeRO-2, ZeRO-3: seconds a step between hosts}, if nothing is hidden behind the computing.

    `counts`: (parameters, trained parameters). ZeRO-2 reduces the gradients and gathers the new
    weights of what trains; ZeRO-3 gathers all weights twice, forward and backward, and reduces the
    gradients. Each takes bytes * (hosts - 1) / hosts over the slowest link.
    """
    total, trained = counts
    sent = {"ZeRO-2": 2 * trained, "ZeRO-3": 2 * total + trained}
    share = (hosts - 1) / hosts
    seconds = {}
    for name, values in sent.items():
        bits = values * WIDTH[config.dtype] * share * 8
        seconds[name] = bits / (network_gbit * 1e9)
    return seconds


def advice(
    config: TrainingConfig,
    counts: tuple[int, int],
    hosts: int,
    network_gbit: float,
    photos_per_second: float,
) -> list[str]:
    """A sentence for ZeRO-2 and one for ZeRO-3: seconds in the network beside those of computing.

    'do not' where the network takes longer. `photos_per_second` 0: the computing is not known.
    """
    photos = config.per_device_train_batch_size * config.gradient_accumulation_steps
    sentences = []
    for name, seconds in seconds_a_step(config, counts, hosts, network_gbit).items():
        sentence = (
            f"{name} over {hosts} hosts at {network_gbit:g} Gbit/s: {seconds:.1f} s a step "
            "in the network"
        )
        if photos_per_second:
            computing = photos / photos_per_second
            verdict = "do not" if seconds > computing else "worth trying"
            sentence += f", computing {computing:.1f} s: {verdict}"
        sentences.append(sentence)
    return sentences
