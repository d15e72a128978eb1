"""Training, features and their cache on toy photos: coloured stripes that a tiny network can tell
apart.
"""

import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image

paddle = pytest.importorskip("paddle")

from dishvl_lib.core import cores  # noqa: E402
from dishvl_lib.similarity import (  # noqa: E402
    classifier,
    engine,
    features,
    photos,
    pplcnet,
    preprocess,
    start,
    workers,
)

TINY = {"scale": 0.25, "image_size": 32}
TRAINING = TINY | {"batch_size": 8, "learning_rate": 4e-3, "embedding_size": 16}


@pytest.fixture
def toy(tmp_path) -> tuple[pd.DataFrame, object]:
    """24 photos of three dishes (red, green, blue over noise), of odd sizes, in tmp_path/photos."""
    root = tmp_path / "photos"
    rows = []
    rng = np.random.default_rng(0)
    root.mkdir()
    for index in range(24):
        pixels = rng.integers(0, 90, (40 + index, 52, 3), dtype=np.uint8)
        pixels[..., index % 3] += 150
        path = root / f"{index}.png"
        Image.fromarray(pixels).save(path)
        sha = hashlib.sha256(path.read_bytes()).hexdigest()
        row = {
            "image_id": f"i{index}",
            "path": path.name,
            "dish_id": "abc"[index % 3],
            "group_id": str(index),
            "sha256": sha,
        }
        rows.append(row | {"split": "train" if index < 18 else "validation"})
    return pd.DataFrame(rows), root


def halves(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    return table[table["split"] == "train"], table[table["split"] == "validation"]


def test_training_learns_and_is_not_repeated(toy, tmp_path, monkeypatch):
    table, root = toy
    weights_path = tmp_path / "net.pdparams"
    history = classifier.train(*halves(table), root, weights_path, epochs=25, **TRAINING)
    assert [row["epoch"] for row in history] == list(range(1, 26))
    assert history[-1]["loss"] < history[0]["loss"]
    assert max(row["validation_accuracy"] for row in history) == 1.0
    assert history[0]["validation_n"] == 6
    assert not weights_path.with_suffix(".state.npz").exists()
    monkeypatch.setattr(classifier, "_Training", None)
    assert classifier.train(*halves(table), root, weights_path, epochs=25, **TRAINING) == history


def test_a_killed_training_ends_with_the_same_weights(toy, tmp_path, monkeypatch):
    table, root = toy
    options = TRAINING | {"epochs": 3, "save_every_seconds": 0.0}
    classifier.train(*halves(table), root, tmp_path / "whole.pdparams", **options)
    epoch_of = classifier._Training._epoch

    def killed(self, epoch, progress):
        if epoch == 3:
            raise KeyboardInterrupt
        return epoch_of(self, epoch, progress)

    monkeypatch.setattr(classifier._Training, "_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        classifier.train(*halves(table), root, tmp_path / "cut.pdparams", **options)
    assert not (tmp_path / "cut.pdparams").exists()
    monkeypatch.setattr(classifier._Training, "_epoch", epoch_of)
    assert len(classifier.train(*halves(table), root, tmp_path / "cut.pdparams", **options)) == 3
    whole, cut = (pplcnet.load_pdparams(tmp_path / f"{name}.pdparams") for name in ("whole", "cut"))
    for name, value in whole.items():
        np.testing.assert_allclose(cut[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_unreadable_photos_are_counted_and_one_dish_is_refused(toy, tmp_path):
    table, root = toy
    (root / "3.png").write_bytes(b"gone")
    history = classifier.train(*halves(table), root, tmp_path / "n.pdparams", epochs=1, **TRAINING)
    assert (history[0]["n"], history[0]["skipped"]) == (17, 1)
    with pytest.raises(ValueError, match="at least two dishes"):
        classifier.train(
            table[table["dish_id"] == "a"],
            table[:0],
            root,
            tmp_path / "m.pdparams",
            epochs=1,
            **TRAINING,
        )


def test_without_validation_the_last_weights_are_kept(toy, tmp_path):
    table, root = toy
    history = classifier.train(
        table, table[:0], root, tmp_path / "n.pdparams", epochs=2, **TRAINING
    )
    assert [row["validation_accuracy"] for row in history] == [None, None]
    assert (tmp_path / "n.pdparams").exists()


def test_photos_in_memory_and_on_the_fly_are_the_same(toy):
    table, root = toy
    paths = photos.full_paths(table, root)
    kept = photos.PhotoStore(paths, 40)
    fly = photos.PhotoStore(paths, 40, memory_bytes=0)
    assert kept.in_memory
    assert not fly.in_memory
    assert all(
        np.array_equal(np.asarray(kept.get(i)), np.asarray(fly.get(i))) for i in range(len(paths))
    )


def test_small_classes_are_seen_more_often():
    order = photos.balanced_order(np.array([0] * 20 + [1] * 20 + [2] * 3), np.random.default_rng(0))
    counts = np.bincount(np.array([0] * 20 + [1] * 20 + [2] * 3)[order])
    assert counts.tolist() == [20, 20, 10]
    assert set(order) == set(range(43))


def test_folding_the_normalisation_keeps_the_function():
    learner = start.Learner(
        pplcnet.seeded(0, class_num=3, embedding_size=8, scale=0.25, dropout=0.0)
    )
    start.nearly_linear(learner.net, 0)
    x = paddle.randn([6, 3, 32, 32])
    learner.train()
    learner(x)
    learner.eval()
    plain = pplcnet.PPLCNet(0.25, 3, 8)
    plain.set_state_dict(learner.folded())
    plain.eval()
    plain.dropout.p = 0.0
    np.testing.assert_allclose(plain(x).numpy(), learner(x).numpy(), rtol=1e-3, atol=1e-4)


def extract(table, root, tmp_path, **options):
    return features.extract(
        table,
        root,
        options.pop("weights", None),
        tmp_path / "cache",
        **(TINY | {"batch_size": 5} | options),
    )


def test_features_are_aligned_unit_length_and_the_engine_agrees(toy, tmp_path):
    table, root = toy
    ids, matrix, skipped = extract(table, root, tmp_path)
    assert ids.tolist() == table["image_id"].tolist()
    assert len(skipped) == 0
    assert matrix.shape == (24, 1280)
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, rtol=1e-5)
    _, plain, _ = features.extract(table, root, None, tmp_path / "other", use_engine=False, **TINY)
    np.testing.assert_allclose(matrix, plain, atol=1e-4)


@pytest.mark.parametrize("use_engine", [True, False])
def test_processes_give_the_features_of_the_plain_network(toy, tmp_path, monkeypatch, use_engine):
    table, root = toy
    (root / "7.png").unlink()
    (root / "8.png").write_bytes(b"another")
    _, plain, _ = features.extract(table, root, None, tmp_path / "plain", use_engine=False, **TINY)
    here = []
    call = engine.Engine.__call__
    monkeypatch.setattr(
        engine.Engine, "__call__", lambda self, batch: here.append(len(batch)) or call(self, batch)
    )
    ids, matrix, skipped = extract(table, root, tmp_path, processes=2, use_engine=use_engine)
    assert ids.tolist() == [f"i{index}" for index in range(24) if index not in (7, 8)]
    np.testing.assert_allclose(matrix, plain, atol=1e-4)
    assert skipped[["path", "reason"]].values.tolist() == [
        ["7.png", "missing"],
        ["8.png", "changed"],
    ]
    assert here == (
        [2] if use_engine else []
    )  # the comparison with the plain network; all photos went elsewhere


def test_processes_are_started_for_many_photos_only(toy, tmp_path, monkeypatch):
    table, root = toy
    asked = []

    def started(count, *_):
        asked.append(count)
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "ProcessPoolExecutor", started)
    monkeypatch.setattr(cores, "available", lambda: 3)
    extract(table, root, tmp_path)
    assert asked == []
    monkeypatch.setattr(workers, "WORTH_PROCESSES", 24 * TINY["image_size"] ** 2)
    with pytest.raises(KeyboardInterrupt):
        features.extract(table, root, None, tmp_path / "other", **TINY)
    assert asked == [3]


class Dies:
    """An engine that takes its process with it, once it has seen the photo of i23."""

    on_gpu = False

    def __call__(self, batch):
        if len(batch) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return batch.mean(axis=(2, 3))


def test_a_process_that_dies_is_a_clear_error_after_what_was_done(toy):
    table, root = toy
    job = workers.Job(root, preprocess.Preprocess.for_size(32), Dies())
    done = workers.run(job, list(zip(table["path"], table["sha256"], strict=True)), 5, processes=2)
    batch, found, faults = next(done)
    assert [path for path, _ in batch] == [f"{index}.png" for index in range(5)]
    assert found.shape == (5, 3)
    assert faults == [None] * 5
    with pytest.raises(RuntimeError, match="What was computed is kept"):
        list(done)


def test_processes_end_when_their_parent_is_killed(tmp_path):
    os.mkfifo(tmp_path / "never.jpg")
    code = (
        "import sys, pathlib; from dishvl_lib.similarity import preprocess, workers\n"
        "job = workers.Job(pathlib.Path(sys.argv[1]), preprocess.Preprocess.for_size(32))\n"
        "list(workers.run(job, [('never.jpg', '')] * 2, 1, processes=2))"
    )
    parent = psutil.Popen([sys.executable, "-c", code, str(tmp_path)])
    children = wait_for(
        lambda: [child for child in parent.children() if "spawn_main" in " ".join(child.cmdline())],
        2,
    )
    time.sleep(2)  # until they have read their job and wait for the photo
    assert all(child.is_running() for child in children)
    parent.kill()
    parent.wait()
    assert psutil.wait_procs(children, 20)[1] == []


def wait_for(look, count):
    for _ in range(200):
        if len(look()) == count:
            return look()
        time.sleep(0.1)
    raise AssertionError(f"{count} processes were expected, there are {len(look())}")


def test_kept_memory_is_not_asked_for_again():
    code = (
        "import resource; from dishvl_lib.similarity import workers\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "def use(): before = faults(); b'x' * 48_000_000; return faults() - before\n"
        "use(); print(use()); workers.keep_memory(); use(); print(use())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 1000 > 50 > after, (before, after)


def test_a_second_run_computes_nothing_and_new_photos_alone_are_computed(
    toy, tmp_path, monkeypatch
):
    table, root = toy
    _, first, _ = extract(table[:20], root, tmp_path)
    seen = []
    real = engine.fast

    def counting(*args):
        run = real(*args)
        return lambda batch: seen.append(len(batch)) or run(batch)

    monkeypatch.setattr(engine, "fast", counting)
    ids, again, _ = extract(table, root, tmp_path)
    assert sum(seen) == 4
    assert np.array_equal(again[:20], first)
    shutil.rmtree(root)
    monkeypatch.setattr(engine, "fast", None)
    assert np.array_equal(extract(table, root, tmp_path)[1], again)


def test_other_weights_and_preprocessing_have_other_features(toy, tmp_path):
    table, root = toy
    _, one, _ = extract(table, root, tmp_path)
    _, two, _ = extract(
        table, root, tmp_path, preprocess=preprocess.Preprocess(32, 32, (0, 0, 0), (1, 1, 1))
    )
    pplcnet.save_weights(
        pplcnet.seeded(5, scale=0.25, class_num=4).state_dict(), tmp_path / "w.pdparams"
    )
    _, three, _ = extract(table, root, tmp_path, weights=tmp_path / "w.pdparams")
    assert not np.allclose(one, two)
    assert not np.allclose(one, three)


def test_photos_lost_since_the_catalogue_are_listed(toy, tmp_path):
    table, root = toy
    (root / "1.png").unlink()
    (root / "2.png").write_bytes((root / "3.png").read_bytes())
    (root / "4.png").write_bytes(b"")
    data = (root / "5.png").read_bytes()[:200]
    (root / "5.png").write_bytes(data)
    table.loc[5, "sha256"] = hashlib.sha256(data).hexdigest()
    ids, matrix, skipped = extract(table, root, tmp_path)
    assert skipped[["path", "reason"]].values.tolist() == [
        ["1.png", "missing"],
        ["2.png", "changed"],
        ["4.png", "changed"],
        ["5.png", "damaged"],
    ]
    assert len(ids) == len(matrix) == 20
    assert "i1" not in ids


def test_nan_weights_are_a_clear_error_and_nothing_is_cached(toy, tmp_path):
    table, root = toy
    net = pplcnet.seeded(5, scale=0.25, class_num=0)
    net.last_conv.weight.set_value(np.full(net.last_conv.weight.shape, np.nan, np.float32))
    pplcnet.save_weights(net.state_dict(), tmp_path / "nan.pdparams")
    with pytest.raises(features.FeatureError, match=r"not finite, first for 0\.png"):
        extract(table, root, tmp_path, weights=tmp_path / "nan.pdparams")


def test_preprocessing_is_read_from_a_paddleclas_config(tmp_path):
    (tmp_path / "rec.yaml").write_text(
        "RecPreProcess:\n  transform_ops:\n    - ResizeImage: {size: 224, return_numpy: False}\n"
        "    - NormalizeImage: {scale: 0.00392157, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, "
        "0.25], order: hwc}\n"
    )
    read = preprocess.Preprocess.from_paddleclas(tmp_path / "rec.yaml")
    assert (read.short_side, read.crop, read.mean[0], read.std[0]) == (224, 224, 0.5, 0.25)
    (tmp_path / "odd.yaml").write_text("Global: {}\n")
    with pytest.raises(ValueError, match="ResizeImage"):
        preprocess.Preprocess.from_paddleclas(tmp_path / "odd.yaml")


def test_normalise_and_centre_crop_are_exact():
    pixels = np.arange(2 * 3 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3, 3)
    plan = preprocess.Preprocess(3, 3, (0.1, 0.2, 0.3), (0.5, 0.25, 0.125))
    expected = ((pixels / 255 - plan.mean) / plan.std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(plan.normalise(pixels), expected, atol=1e-5)
    photo = Image.fromarray(np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3))
    assert np.array_equal(preprocess.centre_crop(photo, 2), np.asarray(photo)[2:4, 1:3])


def extracted(toy, folder):
    table, root = toy
    return features.extract(table, root, None, folder, use_engine=False, **TINY)[1]


def test_a_damaged_cache_of_features_is_made_again_and_that_is_said(toy, tmp_path, capsys):
    first = extracted(toy, tmp_path / "cache")
    (file,) = (tmp_path / "cache").glob("features-*.sqlite")
    for content in (b"no database at all" * 100, file.read_bytes()[: file.stat().st_size // 2]):
        file.write_bytes(content)
        assert np.array_equal(extracted(toy, tmp_path / "cache"), first)
        assert "is damaged" in capsys.readouterr().out


def test_a_feature_of_another_length_is_computed_again(toy, tmp_path):
    first = extracted(toy, tmp_path / "cache")
    (file,) = (tmp_path / "cache").glob("features-*.sqlite")
    with sqlite3.connect(file) as db:
        db.execute(
            "UPDATE features SET feature = x'0011' WHERE sha256 = (SELECT MIN(sha256) FROM "
            "features)"
        )
    assert np.array_equal(extracted(toy, tmp_path / "cache"), first)


def test_a_damaged_engine_is_exported_again_and_that_is_said(toy, tmp_path, capsys):
    net = pplcnet.seeded(0, scale=0.25, class_num=0, embedding_size=None)
    net.eval()
    batch = np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32)
    first = engine.fast(net, 32, tmp_path / "engine", 1)(batch)
    (tmp_path / "engine" / "features.pdiparams").write_bytes(b"other")
    again = engine.fast(net, 32, tmp_path / "engine", 1)
    assert isinstance(again, engine.Engine)
    assert np.array_equal(again(batch), first)
    assert "the inference engine in" in (said := capsys.readouterr().out)
    assert "features.pdiparams is damaged); it is made again" in said
