"""Goal 7: bytes of a checkpoint per trained parameter, against what transformers and DeepSpeed save
of the same training by default.

python benchmarks/bench_checkpoint.py     (CPU, bfloat16, ZeRO-3 with one process and plain; a tiny
model with the 7B's share of trained parameters)
"""

import os
import socket
import sys
import tempfile
from pathlib import Path

from dishvl_lib.core import questions, records
from dishvl_lib.demo import base_model
from dishvl_lib.training import checkpoints, config, launch, run
from dishvl_lib.vlm import qwen

NAMES = ("红烧鱼", "番茄炒蛋", "麻婆豆腐")


def main() -> None:
    """Print bytes per trained parameter of both sides, and their ratio, plain and under ZeRO-3."""
    if len(sys.argv) == 3:
        one_side(Path(sys.argv[1]), sys.argv[2])
        return
    with tempfile.TemporaryDirectory() as folder:
        world(Path(folder))
        for deepspeed in ("", "params/deepspeed/zero3.json"):
            os.spawnv(os.P_WAIT, sys.executable, [sys.executable, __file__, folder, deepspeed])


def world(folder: Path) -> None:
    """A base model with a language model much larger than its vision tower, and a few questions."""
    from PIL import Image

    qwen.save(
        base_model.new_model(
            NAMES, hidden_size=512, layers=8, vision_layers=1, image_size=56, seed=0
        ),
        folder / "base",
    )
    rows = []
    for number, name in enumerate(NAMES):
        Image.new("RGB", (64, 64), (80 * number, 90, 60)).save(folder / f"{number}.png")
        turns = [
            {"from": "human", "value": questions.human_turn("naming-1")},
            {"from": "gpt", "value": name},
        ]
        rows.append(
            {
                "id": str(number),
                "image": f"{number}.png",
                "image_id": str(number),
                "dish_id": str(number),
                "kind": "naming",
                "menu": [],
                "conversations": turns,
            }
        )
    records.write_jsonl(folder / "rows.jsonl", rows)


def one_side(folder: Path, deepspeed: str) -> None:
    """Train two steps, weigh our checkpoint, then let the libraries save theirs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ |= {
            "RANK": "0",
            "LOCAL_RANK": "0",
            "WORLD_SIZE": "1",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free.getsockname()[1]),
            "DS_ACCELERATOR": "cpu",
        }
    name = "ZeRO-3" if deepspeed else "plain"
    given = dict(
        learning_rate=1e-4,
        merger_learning_rate=0,
        vision_learning_rate=0,
        num_train_epochs=2,
        min_pixels=3136,
        max_pixels=3136,
        dtype="bfloat16",
        deepspeed=deepspeed,
        questions_per_photo=4,
        per_device_train_batch_size=8,
        photo_augmentation="none",
        use_cpu=True,
        num_processes=1,
        validation_questions=0,
    )
    rows = folder / "rows.jsonl"
    made = config.from_parameters(
        given,
        base_model=folder / "base",
        image_root=folder,
        train_file=rows,
        validation_file=rows,
        output_folder=folder / name,
    )
    Path(made.output_folder).mkdir()
    arguments = run.training_arguments(made)
    if deepspeed:
        import deepspeed as library

        library.init_distributed("gloo")
    trainer = run.build(made, arguments)
    trainer.train()
    ours = checkpoints.numbered(Path(made.output_folder) / "checkpoints")[0]
    theirs = folder / f"{name}_theirs"
    trainer.accelerator.unwrap_model(trainer.model).save_pretrained(
        theirs, state_dict=trainer.accelerator.get_state_dict(trainer.model_wrapped)
    )
    if deepspeed:
        trainer.deepspeed.save_checkpoint(str(theirs))
    else:
        super(type(trainer), trainer)._save_optimizer_and_scheduler(str(theirs))
    trained = records.read_json(Path(made.output_folder) / "trainable.json")["trained_parameters"]
    weights, resume, default = (
        weigh(path) for path in (ours / checkpoints.WEIGHTS, ours / checkpoints.RESUME, theirs)
    )
    print(
        f"{name}: weights {weights / trained:.3f} bytes a trained parameter (goal "
        f"{1.02 * 2}), resume state {resume / trained:.3f} (goal {1.02 * 14:.2f}); "
        f"the libraries' default {default / trained:.2f}: "
        f"{default / (weights + resume):.1f}x ours, {default / weights:.1f}x the weights; "
        f"{trained:,} parameters trained, "
        f"{launch.metrics(Path(made.output_folder))[-1]['step']} steps",
        flush=True,
    )


def weigh(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return (
        path.stat().st_size
        if path.is_file()
        else sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    )


if __name__ == "__main__":
    main()
