"""How other trainers turn an exported row into tokens and labels: short readers of our own, written
from their rules.

Qwen: `data_qwen.py` (each turn tokenized alone, first three tokens of an answer's turn masked) and
`data_processor.py` (texts stripped, the whole chat template tokenized, labels from the answer to
the line break after `<|im_end|>`). LLaMA-Factory 0.9.5: template qwen2_vl, prompt and answer
tokenized apart. ms-swift 4.6.0: template qwen2_5_vl, the same. Each reader returns (input_ids,
labels, the photo's path or None).
"""

import json
import os
import re
from pathlib import Path

IGNORE = -100
SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"


def open_list(path):
    """A file by its suffix, as Qwen's script opens it."""
    if str(path).split(".")[-1] == "jsonl":
        return [json.loads(line) for line in open(path, encoding="utf-8")]
    return json.load(open(path, encoding="utf-8"))


def qwen_entries(folder):
    """What data_list finds once dataset_entry.py is pasted."""
    data_dict = {"there_before": {}}
    exec((Path(folder) / "dataset_entry.py").read_text("utf-8"), {"data_dict": data_dict})
    del data_dict["there_before"]
    return data_dict


def data_qwen(row, data_path, tokenizer, places):
    """`places(path)`: the photo's number of image tokens."""
    path = os.path.join(data_path, row["image"]) if "image" in row else None
    ids = _encode(tokenizer, SYSTEM)
    labels = [IGNORE] * len(ids)
    for turn in row["conversations"]:
        role = {"human": "user", "gpt": "assistant"}[turn["from"]]
        content = turn["value"]
        if role == "user":
            assert content.count("<image>") == (path is not None)
            content = content.replace("<image>", _vision(places, path))
        ids_of_turn = _encode(tokenizer, f"<|im_start|>{role}\n{content}<|im_end|>\n")
        ids += ids_of_turn
        labels += [IGNORE] * len(ids_of_turn) if role == "user" else [IGNORE] * 3 + ids_of_turn[3:]
    return ids, labels, path


def data_processor(row, data_path, tokenizer, places):
    waiting = [str((Path(data_path) / row["image"]).resolve())] if row.get("image") else []
    path = (waiting or [None])[0]
    messages = []
    for turn in row["conversations"]:
        if turn["from"] != "human":
            messages.append(
                {"role": "assistant", "content": [{"type": "text", "text": turn["value"]}]}
            )
            continue
        parts = [part for part in re.split("(<image>|<video>)", turn["value"]) if part.strip()]
        content = [
            {"type": "image", "image": waiting.pop(0)}
            if part == "<image>"
            else {"type": "text", "text": part.strip()}
            for part in parts
        ]
        messages.append({"role": "user", "content": content})
    assert not waiting, "a photo that no <image> asks for"
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    ids = _encode(
        tokenizer,
        text.replace("<|vision_start|><|image_pad|><|vision_end|>", _vision(places, path)),
    )
    first = _first_of_answer(ids, tokenizer)
    last = ids.index(tokenizer.convert_tokens_to_ids("<|im_end|>"), first) + 1
    return (
        ids,
        [token if first <= place <= last else IGNORE for place, token in enumerate(ids)],
        path,
    )


def llama_factory(row, attributes, media_dir, tokenizer, places):
    columns = attributes["columns"]
    tags = attributes["tags"]
    user, assistant = row[columns["messages"]]
    assert (user[tags["role_tag"]], assistant[tags["role_tag"]]) == (
        tags["user_tag"],
        tags["assistant_tag"],
    )
    paths = [os.path.join(media_dir, path) for path in row[columns["images"]] or []]
    return _two_parts(
        user[tags["content_tag"]], assistant[tags["content_tag"]], paths, tokenizer, places
    )


def ms_swift(row, tokenizer, places):
    user, assistant = row["messages"]
    assert (user["role"], assistant["role"]) == ("user", "assistant")
    return _two_parts(user["content"], assistant["content"], row["images"], tokenizer, places)


def _two_parts(question, answer, paths, tokenizer, places):
    assert f"{question}{answer}".count("<image>") == len(paths) <= 1
    path = paths[0] if paths else None
    content = question.replace("<image>", _vision(places, path))
    prompt = _encode(
        tokenizer, f"{SYSTEM}<|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n"
    )
    target = _encode(tokenizer, f"{answer}<|im_end|>\n")
    return prompt + target, [IGNORE] * len(prompt) + target, path


def _vision(places, path):
    return f"<|vision_start|>{'<|image_pad|>' * places(path)}<|vision_end|>" if path else ""


def _first_of_answer(ids, tokenizer):
    start = tokenizer.convert_tokens_to_ids("<|im_start|>")
    role = _encode(tokenizer, "assistant")[0]
    return (
        next(
            place for place in range(1, len(ids)) if ids[place - 1] == start and ids[place] == role
        )
        + 2
    )


def _encode(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)
