"""Model folders that cannot be used are refused with a sentence that says which file and what to do."""

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
        ("tokenizer.json", lambda file: file.write_text("{}"), "tokenizer or image processor files are missing or damaged"),
        ("preprocessor_config.json", lambda file: file.unlink(), "tokenizer or image processor files are missing or damaged"),
        ("dishvl.json", lambda file: file.write_text("[]"), "does not hold what stage 04 wrote"),
        ("dishvl.json", lambda file: file.write_text('{"temperature": 0}'), "temperature is 0"),
        ("dishvl.json", lambda file: file.write_text('{"max_pixels": "3136"}'), "max_pixels is '3136'"),
    ],
)
def test_a_damaged_folder(base, tmp_path, file, harm, words):
    folder = shutil.copytree(base, tmp_path / "model")
    harm(folder / file)
    with pytest.raises(qwen.ModelError, match=words):
        Recognizer.load(folder, device="cpu")


@pytest.mark.parametrize(
    ("options", "words"), [({"device": "gpu"}, "cannot be put on device 'gpu'"), ({"dtype": "float8"}, "dtype is 'float8'; give one of float32")]
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
