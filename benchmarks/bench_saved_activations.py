"""Goal 3: bytes saved for the backward pass per sample, and the time of a step, against
transformers' own layers.

python benchmarks/bench_saved_activations.py [float32 | bfloat16]     (2 threads; 8 GB of memory in
float32)

The 7B's real widths, two vision blocks (one of windows, one full) and two language layers; vision
tower and merger train, the language model is frozen. A 448x448 photo and 60 text tokens. The bytes
of one block are the difference between two and one of them; 32 blocks, 28 layers and the rest make
the whole model.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from dishvl_lib.vlm import freeze, inputs, trees

TEXT_TOKENS = 60
LABELS = 8
IMAGE_TOKEN = 151655
REPEATS = 5
GOALS = {"bytes": 0.58, "seconds": 1.05}
Sides = dict[str, Callable[[], torch.Tensor]]


def main(dtype: str) -> None:
    """Print bytes of a block, a layer and the whole model, the seconds of a step, and how far the
    gradients are apart.
    """
    torch.set_num_threads(2)
    torch.manual_seed(0)
    model = build(getattr(torch, dtype))
    tree = one_question()
    sides: Sides = {
        "transformers": lambda: plain(model, tree),
        "question trees alone": lambda: bound(model, tree, save_less=False),
        "ours": lambda: bound(model, tree),
    }
    report_bytes(model, sides)
    report_seconds(model, sides)


def build(dtype: torch.dtype) -> Qwen2_5_VLForConditionalGeneration:
    """Two blocks and two layers of the 7B, random; vision tower and merger trained."""
    text = {
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 2,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1000000.0,
            "mrope_section": [16, 24, 24],
        },
    }
    vision = {
        "depth": 2,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 3584,
        "fullatt_block_indexes": [1],
    }
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=IMAGE_TOKEN,
        tie_word_embeddings=False,
    )
    model = Qwen2_5_VLForConditionalGeneration._from_config(config, dtype=dtype)
    freeze.apply(model, {"visual": True, "merger": True, "language_model": False, "lm_head": False})
    return model.train()


def one_question() -> trees.Tree:
    """A trunk with 256 photo tokens and one branch; the last 8 tokens are the answer."""
    photo = inputs.Photo(torch.randn(1024, 1176), torch.tensor([1, 32, 32]))
    text = torch.randint(1000, 100_000, (TEXT_TOKENS,)).tolist()
    ids = [*text[:15], *[IMAGE_TOKEN] * photo.num_tokens, *text[15:]]
    labels = [inputs.IGNORE] * (len(ids) - LABELS) + ids[-LABELS:]
    return trees.grow([inputs.Sample(ids, labels, photo, image_start=15)])


def plain(model: torch.nn.Module, tree: trees.Tree) -> torch.Tensor:
    """transformers' forward, with its loss over every row of the head."""
    unbind(model)
    batch = trees.collate([tree], 0)
    batch.pop("branch")
    return model(**batch, use_cache=False).loss


def bound(model: torch.nn.Module, tree: trees.Tree, save_less: bool = True) -> torch.Tensor:
    """Our forward; without `save_less`, on transformers' layers: the head at the label rows only is
    then the only difference.
    """
    trees.bind(model)
    if not save_less:
        unbind(model.model)
    return model(**trees.collate([tree], 0))["loss"]


def unbind(model: torch.nn.Module) -> None:
    """transformers' own forwards again, in this module and all below."""
    for module in model.modules():
        module.__dict__.pop("forward", None)
    model.config.text_config._attn_implementation = "sdpa"


def report_bytes(model: torch.nn.Module, sides: Sides) -> None:
    visual = model.model.visual
    language = model.model.language_model
    whole = {}
    for name, side in sides.items():
        both = saved_bytes(model, side)
        block = both - with_one(visual, "blocks", lambda side=side: saved_bytes(model, side))
        layer = both - with_one(language, "layers", lambda side=side: saved_bytes(model, side))
        rest = both - 2 * block - 2 * layer
        whole[name] = 32 * block + 28 * layer + rest
        print(
            f"{name:<22} vision block {block / 2**20:7.1f} MiB, language layer "
            f"{layer / 2**20:7.1f}, rest and head {rest / 2**20:7.1f}, whole model "
            f"{whole[name] / 2**30:6.2f} GiB"
        )
    print(
        f"saved bytes: {whole['ours'] / whole['transformers']:.3f} of transformers' (goal "
        f"{GOALS['bytes']})"
    )


def with_one(owner: torch.nn.Module, name: str, measure: Callable[[], int]) -> int:
    """`measure` with the first block or layer alone."""
    full = getattr(owner, name)
    setattr(owner, name, full[:1])
    result = measure()
    setattr(owner, name, full)
    return result


def saved_bytes(model: torch.nn.Module, side: Callable[[], torch.Tensor]) -> int:
    """Bytes of the distinct storages that autograd keeps during one forward, parameters and their
    gradients not counted.
    """
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    seen: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = (
                storage  # held, so that no later storage can stand at the same address
            )
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        side()
    return sum(storage.nbytes() for storage in seen.values())


def report_seconds(model: torch.nn.Module, sides: Sides) -> None:
    """Wall time, and core-seconds, which other work on the machine disturbs less."""
    wall: dict[str, list[float]] = {name: [] for name in sides}
    cores: dict[str, list[float]] = {name: [] for name in sides}
    gradients = {}
    for _ in range(REPEATS + 1):
        for name, side in sides.items():
            model.zero_grad()
            started = time.perf_counter()
            used = time.process_time()
            side().backward()
            wall[name].append(time.perf_counter() - started)
            cores[name].append(time.process_time() - used)
            gradients[name] = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    for unit, seconds in (("s", wall), ("core-s", cores)):
        print(
            "a step (forward and backward): "
            + ", ".join(
                f"{name} {statistics.median(values[1:]):.2f} {unit}"
                for name, values in seconds.items()
            )
        )
        for name in ("transformers", "question trees alone"):
            ratios = [
                ours / theirs
                for ours, theirs in zip(seconds["ours"][1:], seconds[name][1:], strict=True)
            ]
            print(
                f"    ours takes {statistics.median(ratios):.3f} of {name}, median of "
                f"{REPEATS} rounds (goal {GOALS['seconds']})"
            )
    apart = max(
        float((a - b).norm() / a.norm())
        for a, b in zip(gradients["transformers"], gradients["ours"], strict=True)
        if a.norm() > 0
    )
    print(f"gradients differ by at most {apart:.1e} of their norm")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "float32")
