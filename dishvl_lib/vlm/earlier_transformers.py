"""What transformers before version 5 (and what ships it) reads in a model folder, beside what we
write.

transformers 5 writes some settings in a new form only. Version 4 then fails, or goes on in silence
with its own defaults: photos of 3136 to 1003520 pixels, whatever the folder was trained with.
"""

from pathlib import Path

from dishvl_lib.core import records
from dishvl_lib.core.types import Record

PROCESSOR_CLASS = "Qwen2_5_VLProcessor"


def add_fields(folder: Path) -> None:
    """Complete the settings of a folder that transformers 5 has written; both versions then read
    the same from it.
    """
    for name, add in (
        ("config.json", _add_rope),
        ("tokenizer_config.json", _name_special_tokens),
        ("preprocessor_config.json", _add_pixel_limits),
    ):
        file = folder / name
        if file.exists():
            settings = records.read_json(file)
            add(settings)
            records.write_json(file, settings)


def _add_rope(config: Record) -> None:
    """`rope_theta` and `rope_scaling` beside `rope_parameters`."""
    text = config.get("text_config", config)
    rope = text.get("rope_parameters")
    if not rope:
        return
    text["rope_theta"] = rope["rope_theta"]
    if "mrope_section" in rope:
        text["rope_scaling"] = {"type": "mrope", "mrope_section": rope["mrope_section"]}


def _name_special_tokens(config: Record) -> None:
    """The list of special tokens under the name that both versions read: version 4 wants a mapping
    under `extra_special_tokens`.
    """
    if isinstance(config.get("extra_special_tokens"), list):
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    config["processor_class"] = PROCESSOR_CLASS


def _add_pixel_limits(config: Record) -> None:
    config["min_pixels"] = config["size"]["shortest_edge"]
    config["max_pixels"] = config["size"]["longest_edge"]
    config["processor_class"] = PROCESSOR_CLASS
