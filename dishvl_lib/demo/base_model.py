"""A tiny Qwen2.5-VL for the demo, built on this machine: a stand-in for the weights that cannot be
had without network.

Its language part is trained on text: the places of the photo hold blurred blends of a dish name's
characters, the question follows, and the answer is the name. So the language model, frozen
afterwards as in the real training, can say what a vision tower tells it. It knows dish names (the
real model knows Chinese) and has never seen a photo.

Its vision tower and merger have seen drawn food, but none of the demo's dishes (`tower.py`, made by
`pretrain.py`). Where the sizes asked for are not that tower's, they start as drawn at random, and
that is said.
"""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import GenerationConfig, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX, Qwen2Tokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from dishvl_lib.core import caches, questions, records
from dishvl_lib.core.progress import Progress
from dishvl_lib.demo import tower
from dishvl_lib.vlm import inputs, qwen

VERSION = 9
# Spread of the embeddings, and of the head that starts as they are: from the usual 0.02 a training of
# half the cost ended at twice the loss.
TOKEN_SPREAD = 0.08
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' "
    "%}<|im_start|>system\n" + questions.SYSTEM_PROMPT + "<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}{{ "
    "message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' or 'image' in part "
    "%}<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in part %}{{ part['text'] "
    "}}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt "
    "%}<|im_start|>assistant\n{% endif %}"
)


def build(
    names: Sequence[str],
    cache_folder: Path,
    *,
    hidden_size: int = tower.HIDDEN_SIZE,
    layers: int = 4,
    vision_layers: int = tower.VISION_LAYERS,
    image_size: int = tower.IMAGE_SIDE,
    steps: int = 800,
    seed: int = 0,
) -> Path:
    """The folder of a base model that knows `names`.

    Built once per set of names, sizes and pretrained tower, then taken from the cache. Raises
    tower.TowerError when that tower fits these sizes but its file is missing or damaged.
    """
    names = sorted(set(names))
    misfit = tower.misfit(hidden_size, vision_layers)
    tower_sha256 = None if misfit else tower.check()
    sizes = [hidden_size, layers, vision_layers, image_size, steps, seed]
    key = records.fingerprint([VERSION, names, sizes, questions.VERSION, tower_sha256])[:16]

    def make(folder: Path) -> None:
        built = new_model(names, hidden_size, layers, vision_layers, image_size, seed)
        if not misfit:
            load_tower(built.model.model.visual, tower.read())
        _draw_token_weights(built.model)
        train_language(built, names, image_size, steps, seed)
        qwen.save(built, folder)

    return caches.folder(Path(cache_folder) / key, make, "the demo's base model")


def describe(
    hidden_size: int = tower.HIDDEN_SIZE,
    vision_layers: int = tower.VISION_LAYERS,
    image_size: int = tower.IMAGE_SIDE,
) -> str:
    """What a base model of these sizes is, in one sentence. Raises tower.TowerError."""
    model = (
        "base model: a tiny Qwen2.5-VL made here, whose language part knows the dish names "
        "from text"
    )
    misfit = tower.misfit(hidden_size, vision_layers)
    if misfit:
        return (
            f"{model}; the pretrained vision tower does not fit ({misfit}), so it starts at random"
        )
    metadata = tower.metadata()
    correct = f"{metadata['held_out_correct']} of {metadata['held_out_n']}"
    held_out = f"{correct} held-out photos of them right"
    seen = f"{metadata['recipes']} drawn recipes, none of them a dish of the demo ({held_out})"
    other_side = "" if image_size == tower.IMAGE_SIDE else _other_side(image_size)
    return f"{model}; its vision tower has seen {seen}{other_side}"


def _other_side(image_size: int) -> str:
    return f", at {tower.IMAGE_SIDE} pixels a side where these photos have {image_size}"


@torch.no_grad()
def load_tower(visual: torch.nn.Module, weights: dict[str, np.ndarray]) -> None:
    """Puts a pretrained tower's weights in place of random ones; RuntimeError if they do not
    fit.
    """
    tensors = {name: torch.from_numpy(value).float() for name, value in weights.items()}
    visual.load_state_dict(tensors)


def new_model(
    names: Sequence[str],
    hidden_size: int,
    layers: int,
    vision_layers: int,
    image_size: int,
    seed: int,
) -> qwen.Qwen:
    """Random weights from the real configuration class, with a tokenizer made for `names`."""
    tokenizer = make_tokenizer(names)
    vocabulary = tokenizer.get_vocab()
    ids = {
        name: vocabulary[f"<|{name}|>"]
        for name in ("image_pad", "video_pad", "vision_start", "vision_end", "im_end", "endoftext")
    }
    heads = max(1, hidden_size // 32)
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": hidden_size,
            "intermediate_size": hidden_size * 3,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": max(1, heads // 2),
            "max_position_embeddings": 8192,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [4, 6, 6],
            },
            "bos_token_id": ids["endoftext"],
            "eos_token_id": ids["im_end"],
            "pad_token_id": ids["endoftext"],
        },
        vision_config={
            "depth": vision_layers,
            "hidden_size": hidden_size,
            "intermediate_size": hidden_size * 3,
            "num_heads": heads,
            "out_hidden_size": hidden_size,
            "fullatt_block_indexes": list(range(1, vision_layers, 2)) or [0],
            "window_size": 112,
        },
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config)
    _draw_vision_weights(model.model.visual)
    model.generation_config = GenerationConfig(
        bos_token_id=ids["endoftext"],
        pad_token_id=ids["endoftext"],
        eos_token_id=[ids["im_end"], ids["endoftext"]],
        do_sample=False,
    )
    processor = Qwen2VLImageProcessorPil(
        size={"shortest_edge": image_size**2, "longest_edge": image_size**2}
    )
    return qwen.Qwen(tokenizer, processor, "", model)


@torch.no_grad()
def _draw_token_weights(model: Qwen2_5_VLForConditionalGeneration) -> None:
    """Random embeddings, and a head that begins by saying what a place holds: what the language
    part learns is mostly to copy.
    """
    embeddings = model.model.language_model.embed_tokens.weight
    embeddings.normal_(0.0, TOKEN_SPREAD)
    model.lm_head.weight.copy_(embeddings)


@torch.no_grad()
def _draw_vision_weights(visual: torch.nn.Module) -> None:
    """Random vision weights at scale 1/sqrt(fan in): the usual 0.02 is for widths of a thousand and
    learns slowly here.
    """
    for name, module in visual.named_modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv3d):
            fan_in = module.weight[0].numel()
            ends_branch = name.endswith(("attn.proj", "down_proj"))
            module.weight.normal_(0.0, fan_in**-0.5 * (0.35 if ends_branch else 1.0))


def make_tokenizer(names: Sequence[str]) -> Qwen2Tokenizer:
    """Qwen's byte-level BPE with a small vocabulary: one token for every character that names and
    templates hold.
    """
    texts = [
        template.text.replace("{menu}", "、").replace("{dish}", questions.DISH_IN_PHOTO)
        for template in questions.TEMPLATES
    ]
    characters = sorted({char for text in (*texts, *names) for char in text})
    corpus = (
        [char for char in characters for _ in range(1000)]
        + texts * 20
        + [questions.SYSTEM_PROMPT, "system", "user", "assistant"] * 500
    )
    raw = Tokenizer(models.BPE())
    raw.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated")
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    raw.decoder = decoders.ByteLevel()
    size = 256 + 3 * len(characters) + 300
    raw.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=size,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            min_frequency=15,
        ),
    )
    state = json.loads(raw.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=state["vocab"],
        merges=[tuple(m) for m in state["merges"]],  # type: ignore[misc]  # the BPE takes pairs
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS),
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def train_language(
    built: qwen.Qwen,
    names: Sequence[str],
    image_size: int,
    steps: int,
    seed: int,
    batch_size: int = 12,
    learning_rate: float = 3e-3,
) -> None:
    """Teach the language part, in place, to say the name that the photo's places hint at."""
    model = built.model
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model.requires_grad_(False)
    weights = [*model.model.language_model.parameters(), *model.lm_head.parameters()]
    for weight in weights:
        weight.requires_grad_(True)
    optimizer = torch.optim.AdamW(
        weights, lr=learning_rate, weight_decay=0.01, betas=(0.9, 0.98), fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=steps, pct_start=0.1
    )
    texts = NameTexts(built, names, image_size, rng)
    progress = Progress("base model, text only", steps, "steps")
    for step in range(steps):
        loss = _text_loss(model, texts.batch(batch_size, menus=step % 2 == 1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        progress.advance(note=f"loss {loss.item():.3f}")
    progress.close()
    model.requires_grad_(True)
    model.eval()


class NameTexts:
    """Batches of (blurred name, question, answer) made from names alone."""

    def __init__(
        self, built: qwen.Qwen, names: Sequence[str], image_size: int, rng: np.random.Generator
    ):
        self.built = built
        self.names = list(names)
        self.rng = rng
        self.characters = [inputs.answer_tokens(built, name)[:-1] for name in self.names]
        side = max(1, round(image_size / qwen.PATCH_PIXELS))
        less = max(1, side - 1)
        more = side + 1
        self.grids = [(side, side), (less, more), (more, less)]
        self.alike = _sharing_characters(self.names)

    def batch(self, size: int, menus: bool) -> dict[str, torch.Tensor]:
        """A collated batch plus `blend` (photo places, hidden): what stands where a photo's tokens
        would stand.
        """
        samples = []
        blends = []
        entries = 2 + int(19 * self.rng.random())  # one size for the batch: nothing is padded
        for _ in range(size):
            index = int(self.rng.integers(len(self.names)))
            height, width = self.grids[self.rng.integers(len(self.grids))]
            grid = torch.tensor([1, 2 * height, 2 * width])
            photo = inputs.Photo(torch.zeros(0, 1176), grid)
            question = self._question(index, entries if menus else 0)
            samples.append(inputs.build(self.built, photo, question, self.names[index]))
            blends.append(self._blend(index, height * width))
        batch = inputs.collate(samples, self.built.tokenizer.pad_token_id)
        return {**batch, "blend": torch.cat(blends)}

    def _question(self, index: int, entries: int) -> str:
        kind = "menu" if entries else "naming"
        options = questions.templates(kind) + questions.templates(kind, trained=False)
        template = options[self.rng.integers(len(options))]
        return questions.ask(template.id, self._menu(index, entries) if entries else ())

    def _menu(self, index: int, size: int) -> list[str]:
        close = self.rng.permutation(self.alike[index])[: size // 2]
        taken = {index, *close}
        others = [i for i in self.rng.permutation(len(self.names)) if i not in taken]
        chosen = [index, *close, *others][:size]
        return [self.names[i] for i in self.rng.permutation(chosen)]

    def _blend(self, index: int, places: int) -> torch.Tensor:
        """(places, hidden): every place a random mixture of the name's characters, a wrong name's,
        and noise.
        """
        if self.rng.random() < 0.5 and len(self.alike[index]):
            other = self.rng.choice(self.alike[index])
        else:
            other = self.rng.integers(len(self.names))
        wrong = self.characters[other]
        table = self.built.model.model.language_model.embed_tokens.weight
        right = self.characters[index]
        mix = np.zeros((places, len(right) + len(wrong)), np.float32)
        mix[:, : len(right)] = self.rng.dirichlet(np.full(len(right), 0.7), places)
        mix[:, len(right) :] = self.rng.dirichlet(np.full(len(wrong), 0.7), places)
        share = self.rng.uniform(0, 0.45) * self.rng.uniform(0, 2, (places, 1))
        mix[:, : len(right)] *= 1 - share
        mix[:, len(right) :] *= share
        blend = torch.from_numpy(mix) @ table[torch.tensor([*right, *wrong])]
        scale = float(self.rng.uniform(0.5, 2.0))
        noise = torch.from_numpy(self.rng.standard_normal(blend.shape, dtype=np.float32))
        noise = noise * table.detach().std()
        noise = noise * float(self.rng.uniform(0, 0.7))
        return scale * (blend + noise)


def _text_loss(
    model: Qwen2_5_VLForConditionalGeneration, batch: dict[str, torch.Tensor]
) -> torch.Tensor:
    embeds = model.model.language_model.embed_tokens(batch["input_ids"])
    of_photo = batch["mm_token_type_ids"].bool()[..., None].expand_as(embeds)
    embeds = embeds.masked_scatter(of_photo, batch["blend"].to(embeds.dtype))
    positions, _ = model.model.get_rope_index(
        batch["input_ids"],
        batch["mm_token_type_ids"],
        batch["image_grid_thw"],
        attention_mask=batch["attention_mask"],
    )
    hidden = model.model.language_model(
        inputs_embeds=embeds,
        position_ids=positions,
        attention_mask=batch["attention_mask"],
        use_cache=False,
    ).last_hidden_state
    labels = batch["labels"][:, 1:]
    rows = labels != inputs.IGNORE
    logits = model.lm_head(hidden[:, :-1][rows])
    return torch.nn.functional.cross_entropy(logits, labels[rows])


def _sharing_characters(names: Sequence[str]) -> list[np.ndarray]:
    """For each name the indices of the other names with which it shares the most characters, at
    most 8.
    """
    sets = [set(name) for name in names]
    shared = np.zeros((len(sets), len(sets)))
    for (row, first), (column, second) in itertools.combinations(enumerate(sets), 2):
        jaccard = len(first & second) / len(first | second)
        shared[row, column] = jaccard
        shared[column, row] = jaccard
    alike = []
    for of_name in shared:
        most = np.sort(of_name)[-8:]
        alike.append(np.flatnonzero(of_name >= max(1e-9, most[0])))
    return alike
