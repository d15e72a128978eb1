"""The parser of the `dishvl` command: examples below every help, and `did you mean` for a word that
is none of its own.
"""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from dishvl_lib.core.rules import nearest, suggestion

# {command: examples, a line each}; `dish add` is an action of `dish`
EXAMPLES: dict[str, tuple[str, ...]] = {
    "dishvl": (
        "dishvl demo",
        "dishvl demo --image-root photos --run-name first_look",
        "dishvl new canteen --image-root photos",
        "dishvl run canteen --to 03",
    ),
    "dishvl run": (
        "dishvl run canteen --dry-run",
        "dishvl run canteen --to 03 --set max_dishes=20 --set 'budget={USD: 1.0}'",
        "dishvl run canteen --from 04 --redo 04 --set learning_rate=2.0e-6",
    ),
    "dishvl demo": ("dishvl demo", "dishvl demo --image-root photos --run-name first_look"),
    "dishvl new": (
        "dishvl new canteen --image-root photos",
        "dishvl new small --image-root photos --like qwen2_5_vl_7b_lora",
        "dishvl new trays --trays-root frames --tray-labels instances_default.json",
    ),
    "dishvl open": (
        "dishvl open 03 canteen",
        "dishvl open 05 canteen --ip 0.0.0.0 --port 8899 --no-browser --allow-root",
    ),
    "dishvl status": ("dishvl status", "dishvl status canteen"),
    "dishvl stop": ("dishvl stop canteen",),
    "dishvl verify": ("dishvl verify canteen",),
    "dishvl doctor": ("dishvl doctor",),
    "dishvl estimate": (
        "dishvl estimate canteen",
        "dishvl estimate canteen --gpu-gb 24 --as-official",
    ),
    "dishvl predict": (
        "dishvl predict photo.jpg",
        "dishvl predict photos/ --menu menu.txt --top-k 5 --csv answers.csv",
        "dishvl predict *.jpg --menu menu.xlsx --json",
        "dishvl predict tray.jpg --menu menu.txt --detector canteen --save marked.jpg",
    ),
    "dishvl crop": (
        "dishvl crop trays/ crops/ --detector detector.onnx",
        "dishvl crop trays/ crops/ --detector yolo.onnx --keep-labels bowl plate --threshold 0.4",
    ),
    "dishvl serve": (
        "dishvl serve canteen",
        "DISHVL_TOKEN=... dishvl serve canteen --host 0.0.0.0 --port 8080",
        "dishvl serve canteen --detector canteen",
    ),
    "dishvl dish": ("dishvl dish list", "dishvl dish remove 凉拌鸡胗"),
    "dishvl dish add": ("dishvl dish add 凉拌鸡胗 photos/*.jpg",),
    "dishvl dish remove": ("dishvl dish remove 凉拌鸡胗",),
    "dishvl detect-train": (
        "dishvl detect-train labels.json frames/ detector/",
        "dishvl detect-train yolo/ yolo/images detector/ --epochs 40 --start none",
    ),
    "dishvl dish list": ("dishvl dish list --model outputs/canteen/04_training/best",),
}


class CommandParser(argparse.ArgumentParser):
    """A parser whose subparsers are of its kind too."""

    def __init__(self, *args: Any, **options: Any):
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **options)
        examples = EXAMPLES.get(self.prog, ())
        if examples:
            shown = "\n".join(f"  {example}" for example in examples)
            self.epilog = f"examples:\n{shown}"

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does it, but an unknown option is answered with the nearest one."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self._refuse(unknown[0], getattr(options, "parser", self))
        return options

    def _refuse(self, word: str, parser: argparse.ArgumentParser) -> NoReturn:
        known = [flag for action in parser._actions for flag in action.option_strings]
        name = word.partition("=")[0]
        meant = suggestion(name, known) if word.startswith("-") else ""
        parser.error(f"unrecognized argument {word}{meant}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known: Sequence[str] = list(map(str, action.choices))
        raise argparse.ArgumentError(action, f"no {value!r}{nearest(str(value), known)}")
