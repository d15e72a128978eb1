"""Model folders that cannot be used are refused with a sentence that says which file and what to
do.
"""

import shutil

import pytest
import tiny

from dishvl_lib.core import images, records
from dishvl_lib.vlm import inputs, qwen
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
