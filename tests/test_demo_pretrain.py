"""The pretrained vision tower: shipped whole, checked, put in where it fits, made by a run that
works.
"""

import numpy as np
import pytest
import torch
from PIL import Image
from toys import copied_weights

from dishvl_lib.core import records
from dishvl_lib.demo import base_model, builtin, pretrain, recipes, tower
from dishvl_lib.vlm import inputs

TINY = pretrain.Settings(recipes=6, photos_per_recipe=4, epochs=2, batch_size=6)
NAMES = ["红烧鱼", "米饭"]


@pytest.fixture
def copied(tmp_path):
    return copied_weights(tower.FILE, tmp_path)


@pytest.fixture
def tiny_base(tmp_path):
    """Builds a base model of some sizes for two names, one step of text long."""
    return lambda **sizes: base_model.build(NAMES, tmp_path / "cache", layers=1, steps=2, **sizes)


def vision_weights(folder) -> dict[str, torch.Tensor]:
    from dishvl_lib.vlm import qwen

    return dict(qwen.load(str(folder)).model.model.visual.state_dict())


def random_vision_weights(
    hidden_size: int = 128, vision_layers: int = 4
) -> dict[str, torch.Tensor]:
    model = base_model.new_model(NAMES, hidden_size, 1, vision_layers, 112, 0)
    return dict(model.model.model.visual.state_dict())


def test_the_shipped_tower_is_small_whole_and_says_how_it_was_made():
    assert tower.FILE.stat().st_size <= 4_000_000
    assert tower.check() == records.sha256_file(tower.FILE)
    weights = tower.read()
    assert {array.dtype for array in weights.values()} == {np.dtype("float16")}
    assert all(np.isfinite(array).all() for array in weights.values())
    metadata = tower.metadata()
    assert metadata["recipes_seed"] == str(recipes.SEED)
    assert int(metadata["held_out_correct"]) / int(metadata["held_out_n"]) > 0.8


@pytest.mark.parametrize("damage", [b"", b"{}", None])
def test_a_damaged_tower_is_said(copied, damage):
    whole = copied.read_bytes()
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    copied.write_bytes(flipped if damage is None else damage)
    for use in (tower.check, tower.read, tower.metadata):
        with pytest.raises(tower.TowerError, match="is damaged: its sha256"):
            use(copied)


@pytest.mark.parametrize("suffix", [".safetensors", ".sha256"])
def test_a_missing_file_is_said_with_what_to_do(copied, suffix):
    copied.with_suffix(suffix).unlink()
    with pytest.raises(tower.TowerError, match=f"{suffix} cannot be read.*demo.pretrain"):
        tower.read(copied)


def test_the_base_model_starts_with_the_tower(tiny_base):
    built = vision_weights(tiny_base())
    for name, expected in tower.read().items():
        assert torch.equal(built[name], torch.from_numpy(expected).float()), name


def test_a_damaged_tower_stops_the_building(tiny_base, copied, monkeypatch):
    copied.write_bytes(b"not the tower")
    monkeypatch.setattr(tower.check, "__defaults__", (copied,))
    with pytest.raises(tower.TowerError, match="is damaged"):
        tiny_base()


@pytest.mark.parametrize("sizes", [{"vision_layers": 2}, {"hidden_size": 64}])
def test_where_it_does_not_fit_the_tower_starts_at_random(tiny_base, sizes):
    built = vision_weights(tiny_base(**sizes))
    for name, expected in random_vision_weights(**sizes).items():
        assert torch.equal(built[name], expected), name


@pytest.mark.parametrize("image_size", [84, 168])
def test_the_tower_takes_photos_of_another_size(tiny_base, image_size):
    built = vision_weights(tiny_base(image_size=image_size))
    for name, expected in tower.read().items():
        assert torch.equal(built[name], torch.from_numpy(expected).float()), name


def test_what_the_base_model_is_stands_in_a_sentence():
    recipes_seen = tower.metadata()["recipes"]
    assert f"has seen {recipes_seen} drawn recipes" in base_model.describe()
    assert "pixels a side" not in base_model.describe()
    large_photos = base_model.describe(image_size=168)
    assert large_photos.endswith(", at 112 pixels a side where these photos have 168")
    assert "widths 64 instead of 128" in base_model.describe(hidden_size=64)


def test_the_demo_prints_that_sentence(monkeypatch, capsys):
    monkeypatch.setattr(base_model, "build", lambda *_, **__: "folder")
    assert builtin.base_model("builtin", NAMES, 112 * 112) == "folder"
    assert builtin.base_model("builtin", NAMES, 84 * 84) == "folder"
    fitting, misfitting = capsys.readouterr().out.splitlines()
    assert fitting == base_model.describe()
    assert misfitting == base_model.describe(image_size=84)


def test_another_tower_is_another_base_model(tiny_base, monkeypatch):
    first = tiny_base()
    assert tiny_base() == first
    monkeypatch.setattr(tower, "check", lambda *_: "another sha256")
    assert tiny_base() != first


def test_patches_are_the_image_processors():
    _, built = pretrain.new_classifier(TINY)
    photos = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), np.uint8)
    expected = [inputs.photo_inputs(built, Image.fromarray(photo)) for photo in photos]
    values, grids = pretrain.pixel_values(pretrain.as_floats(photos), built.image_processor)
    patches = torch.cat([photo.pixel_values for photo in expected])
    torch.testing.assert_close(values, patches, atol=1e-6, rtol=0)
    assert torch.equal(grids, torch.stack([photo.grid_thw for photo in expected]))


def test_views_differ_and_stay_photos():
    photos = torch.rand(4, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    first = pretrain.augment(photos, 112, torch.Generator().manual_seed(1))
    again = pretrain.augment(photos, 112, torch.Generator().manual_seed(1))
    other = pretrain.augment(photos, 112, torch.Generator().manual_seed(2))
    assert first.shape == (4, 3, 112, 112)
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_tiny_pretraining_goes_from_drawing_to_a_tower_that_loads(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pretrain.paths, "cache", lambda name: tmp_path)
    output = tmp_path / "own.safetensors"
    sizes = "--recipes 6 --photos-per-recipe 4 --epochs 2 --batch-size 6 --processes 1"
    pretrain.main(["--output", str(output), *sizes.split()])
    printed = capsys.readouterr().out
    assert "drawing 6 recipes x 4 photos" in printed
    assert "held-out photos of the same recipes" in printed
    assert records.sha256_file(output) in printed
    assert tower.metadata(output)["held_out_n"] == "6"
    visual = base_model.new_model(NAMES, 128, 1, 4, 112, 0).model.model.visual
    before = {name: value.clone() for name, value in visual.state_dict().items()}
    base_model.load_tower(visual, tower.read(output))
    matrices = [name for name, value in visual.state_dict().items() if value.ndim > 1]
    assert not any(torch.equal(visual.state_dict()[name], before[name]) for name in matrices)


def test_a_second_pretraining_takes_the_drawn_photos_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain.paths, "cache", lambda name: tmp_path)
    first = pretrain.draw(TINY, processes=1)
    monkeypatch.setattr(recipes, "draw_recipes", lambda *_: pytest.fail("drawn twice"))
    assert np.array_equal(pretrain.draw(TINY, processes=1), first)


def test_training_learns():
    settings = pretrain.Settings(recipes=3, photos_per_recipe=5, epochs=12, batch_size=12)
    photos = recipes.draw_recipes(3, 5, 112, processes=1)
    model, built = pretrain.new_classifier(settings)
    pretrain.train(model, photos, built.image_processor, settings)
    correct, n = pretrain.accuracy(model, photos, built.image_processor)
    assert n == 15
    assert correct >= 12
