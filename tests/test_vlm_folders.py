"""Model folders that cannot be used are refused with a sentence that says which file and what to
do.
"""

import os
import shutil
from pathlib import Path

import pytest
import tiny
from transformers.utils import logging

from dishvl_lib.core import images, kernel, records
from dishvl_lib.vlm import earlier_transformers, inputs, qwen
from dishvl_lib.vlm.recognizer import Recognizer


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny.base_folder(tmp_path_factory.mktemp("base"))


def cut(file):
    file.write_bytes(file.read_bytes()[:-1000])


def widen(file):
    config = records.read_json(file)
    config["text_config"]["hidden_size"] *= 2
    records.write_json(file, config)


@pytest.mark.parametrize(
    ("file", "harm", "words"),
    [
        ("model.safetensors", cut, "weights cannot be loaded .*download the folder again"),
        ("config.json", widen, "weights cannot be loaded"),
        ("config.json", lambda file: file.write_text("[]"), "model_type is None"),
        ("tokenizer.json", lambda file: file.unlink(), "tokenizer.json is missing"),
        (
            "tokenizer.json",
            lambda file: file.write_text("{}"),
            "tokenizer or image processor files are missing or damaged",
        ),
        (
            "preprocessor_config.json",
            lambda file: file.unlink(),
            "tokenizer or image processor files are missing or damaged",
        ),
        ("dishvl.json", lambda file: file.write_text("[]"), "does not hold what stage 04 wrote"),
        ("dishvl.json", lambda file: file.write_text('{"temperature": 0}'), "temperature is 0"),
        (
            "dishvl.json",
            lambda file: file.write_text('{"max_pixels": "3136"}'),
            "max_pixels is '3136'",
        ),
    ],
)
def test_a_damaged_folder(base, tmp_path, file, harm, words):
    folder = shutil.copytree(base, tmp_path / "model")
    harm(folder / file)
    with pytest.raises(qwen.ModelError, match=words):
        Recognizer.load(folder, device="cpu")


HARMS = {
    "gone": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "other bytes": lambda file: file.write_bytes(b"\xff\xfe\x00\x01" * 64),
    "half": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "a list": lambda file: file.write_text("[]"),
    "an object": lambda file: file.write_text("{}"),
    "null": lambda file: file.write_text("null"),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.mark.parametrize("harm", HARMS)
def test_any_damage_to_any_file_is_one_sentence_with_the_folder(base, tmp_path, harm):
    """Or the folder still opens: some files are not needed."""
    refused = 0
    for name in sorted(file.name for file in base.iterdir()):
        folder = shutil.copytree(base, tmp_path / name)
        HARMS[harm](folder / name)
        try:
            Recognizer.load(folder, device="cpu")
        except (qwen.ModelError, records.RecordError) as error:
            refused += 1
            assert str(folder) in str(error), (name, error)
            assert "weights_only" not in str(error)
    assert refused >= 3


def test_weights_that_could_run_code_are_neither_opened_nor_recommended(base, tmp_path):
    folder = shutil.copytree(base, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    trap = tmp_path / "sprung"
    (folder / "pytorch_model.bin").write_bytes(
        b"cposix\nsystem\n(S'touch " + str(trap).encode() + b"'\ntR."
    )
    with pytest.raises(
        qwen.ModelError,
        match="pytorch_model.bin, which could run any code when it is opened and is not read",
    ) as refused:
        Recognizer.load(folder, device="cpu")
    assert not trap.exists()
    assert "weights_only" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "gpu"}, "cannot be put on device 'gpu'"),
        ({"dtype": "float8"}, "dtype is 'float8'; give one of float32"),
    ],
)
def test_a_device_or_dtype_that_is_none(base, options, words):
    with pytest.raises(qwen.ModelError, match=words):
        Recognizer.load(base, **{"device": "cpu", **options})


def test_a_folder_that_is_not_there_is_not_looked_for_in_the_network(tmp_path):
    with pytest.raises(qwen.ModelError, match="no model folder .*none"):
        Recognizer.load(tmp_path / "none")


@pytest.mark.parametrize("size", [(3000, 10), (0, 10)])
def test_a_photo_of_no_use_is_an_image_error(size):
    with pytest.raises(images.ImageError, match="too narrow: .*aspect ratio over 200"):
        inputs.resized_size(tiny.model(), *size)


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    """A folder with dishvl.json, as stage 04 leaves it."""
    folder = shutil.copytree(base, tmp_path_factory.mktemp("trained") / "best")
    loaded = qwen.load_inputs(str(folder))
    metadata = {
        "input_fingerprint": inputs.fingerprint(loaded),
        "input_fingerprint_version": inputs.FINGERPRINT_VERSION,
    }
    records.write_json(folder / "dishvl.json", metadata)
    return folder


def other_filter(folder):
    config = records.read_json(folder / "preprocessor_config.json")
    records.write_json(folder / "preprocessor_config.json", config | {"resample": 2})


def other_template(folder):
    file = folder / "chat_template.jinja"
    file.write_text(file.read_text().replace("assistant", "helper"))


@pytest.mark.parametrize("change", [other_filter, other_template])
def test_a_folder_that_builds_other_inputs_is_refused(trained, tmp_path, change):
    folder = shutil.copytree(trained, tmp_path / "model")
    Recognizer.load(folder, device="cpu")
    change(folder)
    with pytest.raises(qwen.ModelError, match="trained on other inputs"):
        Recognizer.load(folder, device="cpu")


def test_a_folder_with_an_older_fingerprint_opens(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "model")
    older = inputs.fingerprint_of_prompt(qwen.load_inputs(str(folder)))
    records.write_json(folder / "dishvl.json", {"input_fingerprint": older})
    Recognizer.load(folder, device="cpu")
    records.write_json(folder / "dishvl.json", {"input_fingerprint": older[::-1]})
    with pytest.raises(qwen.ModelError, match="trained on other inputs"):
        Recognizer.load(folder, device="cpu")


def test_earlier_transformers_finds_its_fields(base):
    config = records.read_json(base / "config.json")["text_config"]
    rope = config["rope_parameters"]
    assert config["rope_theta"] == rope["rope_theta"]
    assert config["rope_scaling"] == {"type": "mrope", "mrope_section": rope["mrope_section"]}
    tokenizer = records.read_json(base / "tokenizer_config.json")
    assert "<|image_pad|>" in tokenizer["additional_special_tokens"]
    assert "extra_special_tokens" not in tokenizer
    photos = records.read_json(base / "preprocessor_config.json")
    assert photos["min_pixels"] == photos["size"]["shortest_edge"]
    assert photos["max_pixels"] == photos["size"]["longest_edge"]


def test_what_we_write_of_the_7b_says_what_its_own_files_say(tmp_path):
    """AutoProcessor needs torchvision and is not tried: the files that it reads are compared."""
    source = os.environ.get("DISHVL_TEST_DATA")
    if not source:
        pytest.skip("DISHVL_TEST_DATA is not set: the 7B's own files are not at hand")
    original = Path(source) / "qwen2_5_vl_7b_files"
    loaded = qwen.load_inputs(str(original))
    qwen.save_inputs(loaded, tmp_path)
    earlier_transformers.add_fields(tmp_path)
    ours = records.read_json(tmp_path / "preprocessor_config.json")
    theirs = records.read_json(original / "preprocessor_config.json")
    assert {key: ours[key] for key in theirs} == theirs
    ours = records.read_json(tmp_path / "tokenizer_config.json")
    theirs = records.read_json(original / "tokenizer_config.json")
    assert ours["additional_special_tokens"] == theirs["additional_special_tokens"]
    assert ours["processor_class"] == "Qwen2_5_VLProcessor"
    assert (tmp_path / "chat_template.jinja").read_text() == theirs["chat_template"]


def test_a_lora_adapter_is_named_with_the_remedy(tmp_path):
    records.write_json(
        tmp_path / "adapter_config.json", {"base_model_name_or_path": "Qwen/Qwen2.5-VL-7B-Instruct"}
    )
    with pytest.raises(
        qwen.ModelError, match="LoRA adapter for Qwen/Qwen2.5-VL-7B-Instruct.*merge"
    ):
        qwen.load_inputs(str(tmp_path))


def test_a_folder_one_level_too_high_names_the_one_below(tmp_path):
    (tmp_path / "checkpoint-600").mkdir()
    records.write_json(tmp_path / "checkpoint-600" / "config.json", {})
    with pytest.raises(qwen.ModelError, match="give .*checkpoint-600, which lies in it"):
        qwen.load_inputs(str(tmp_path))


def test_two_trained_models_of_one_size_are_told_apart_by_their_record(tmp_path):
    folder = tiny.base_folder(tmp_path / "best")
    bare = qwen.identity(str(folder))
    identities = {bare}
    for checkpoint in ("checkpoint-1", "checkpoint-2"):
        records.write_json(folder / qwen.TRAINED_RECORD, {"checkpoint": checkpoint})
        identities.add(qwen.identity(str(folder)))
    assert len(identities) == 3


def test_a_run_without_a_finished_training_is_no_base_model():
    with pytest.raises(qwen.ModelError, match="run nobody has no finished training"):
        qwen.locate("run:nobody")


def bars_of(base, monkeypatch, in_batch):
    """How many bars transformers draws while a folder is loaded."""
    drawn = []
    monkeypatch.delenv(kernel.SESSION, raising=False)
    monkeypatch.setattr(kernel, "in_notebook", lambda: in_batch)
    monkeypatch.setattr(logging.tqdm_lib, "tqdm", _counting(logging.tqdm_lib.tqdm, drawn))
    qwen.load(base)
    return len(drawn)


def _counting(tqdm, drawn):
    def counted(*args, **kwargs):
        drawn.append(args)
        return tqdm(*args, **kwargs)

    return counted


def test_a_batch_notebook_keeps_no_bar_that_nobody_sees_move(base, monkeypatch):
    assert bars_of(base, monkeypatch, in_batch=True) == 0


def test_elsewhere_transformers_draws_its_bars(base, monkeypatch):
    assert bars_of(base, monkeypatch, in_batch=False) > 0
