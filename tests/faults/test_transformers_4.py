"""A folder that we write, opened by transformers 4.57: the same tokens, pixels and logits as here.

That version and what it pins are installed once, beside the environment whose torch they share.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from dishvl_lib.vlm import inputs, qwen

PINNED = ("transformers==4.57.3", "huggingface-hub==0.36.2", "tokenizers==0.22.2")
INSTALLED = Path(sys.prefix) / "transformers-4.57.3"
QUESTION = "图中的菜品是什么？红烧鱼 (GX4)"
SIZE = (140, 84)

PROGRAM = """
import json, sys
import torch, transformers
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer
from transformers import Qwen2_5_VLForConditionalGeneration
assert transformers.__version__ == "4.57.3"
folder, photo, question = sys.argv[1:4]
tokenizer = AutoTokenizer.from_pretrained(folder)
processor = AutoImageProcessor.from_pretrained(folder, use_fast=False)
pixels = processor(images=[Image.open(photo)], return_tensors="pt")
places = int(pixels["image_grid_thw"].prod()) // 4
messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
prompt = prompt.replace("<|image_pad|>", "<|image_pad|>" * places)
ids = tokenizer.encode(prompt, add_special_tokens=False)
model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).eval()
with torch.inference_mode():
    logits = model(
        input_ids=torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        pixel_values=pixels["pixel_values"],
        image_grid_thw=pixels["image_grid_thw"],
    ).logits[0, -1]
print(json.dumps({
    "ids": ids,
    "pixel_values": pixels["pixel_values"].flatten().tolist(),
    "grid": pixels["image_grid_thw"].tolist(),
    "logits": logits.tolist(),
    "rope": AutoConfig.from_pretrained(folder).text_config.rope_theta,
}))
"""


@pytest.fixture(scope="module")
def transformers_4():
    """The folder with transformers 4.57.3; installed when it is not there yet."""
    if not (INSTALLED / "transformers").exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--target", str(INSTALLED), *PINNED]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
        if done.returncode:
            pytest.skip(f"{PINNED[0]} cannot be installed: {done.stderr.strip()[-200:]}")
    return INSTALLED


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.base_folder(tmp_path_factory.mktemp("best"))


@pytest.fixture(scope="module")
def theirs(transformers_4, folder, tmp_path_factory):
    """What transformers 4 makes of the folder, a photo and a question."""
    photo = tmp_path_factory.mktemp("photo") / "a.png"
    tiny.photo(5, SIZE).save(photo)
    environment = {**os.environ, "PYTHONPATH": str(transformers_4), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder), str(photo), QUESTION],
        capture_output=True,
        text=True,
        env=environment,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def ours(folder):
    """(loaded model, the same photo and question as a sample)."""
    loaded = qwen.load(str(folder))
    photo = inputs.photo_inputs(loaded, tiny.photo(5, SIZE))
    return loaded, inputs.build(loaded, photo, QUESTION)


def test_tokens_are_equal(theirs, ours):
    assert theirs["ids"] == ours[1].input_ids


def test_pixels_are_equal(theirs, ours):
    pixels = ours[1].photo.pixel_values
    assert theirs["grid"] == [ours[1].photo.grid_thw.tolist()]
    assert np.abs(np.array(theirs["pixel_values"]) - pixels.flatten().numpy()).max() < 1e-6


def test_logits_are_equal(theirs, ours):
    loaded, sample = ours
    batch = inputs.collate([sample], loaded.tokenizer.pad_token_id)
    batch.pop("labels")
    with torch.inference_mode():
        logits = loaded.model(**batch).logits[0, -1]
    assert np.abs(np.array(theirs["logits"]) - logits.numpy()).max() < 1e-5


def test_the_rotary_base_is_the_folders(theirs, ours):
    rope = ours[0].model.config.text_config.rope_parameters
    assert theirs["rope"] == rope["rope_theta"]
