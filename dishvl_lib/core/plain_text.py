"""Text that may stand in tables, on terminals and in training files: without control characters,
and without the marks that a model reads as commands.
"""

import re
import unicodedata

# <|im_start|> and all of its form, DeepSeek's with full-width bars; then what other models use.
_SPECIAL_TOKEN = re.compile(
    r"<[|｜][^<>|｜\n]{1,60}[|｜]>"
    r"|</?(?:image|video|audio|tool_call|tool_response|s|bos|eos|pad|unk|mask|start_of_turn"
    r"|end_of_turn|start_of_image|end_of_image|im_start|im_end|eod|eot|eop|sop|unused\d+)>"
    r"|<0x[0-9A-F]{2}>|\[/?INST\]|<</?SYS>>|\[(?:BOS|EOS|PAD|UNK|CLS|SEP|gMASK)\]",
    re.IGNORECASE,
)
_LINE_ENDS = re.compile("\r\n?|[\u2028\u2029\x85\x0b\x0c]")
# Control characters, marks without a width, halves of characters, and what no font has.
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Co", "Cn")


def special_tokens(text: str) -> list[str]:
    """The marks in a text that some model reads as a command: <|im_end|>, <image>, <eos>."""
    return _SPECIAL_TOKEN.findall(text)


def without_special_tokens(text: str) -> str:
    """The text without such marks, those that come about by taking one out included."""
    shorter = _SPECIAL_TOKEN.sub("", text)
    while shorter != text:
        text = shorter
        shorter = _SPECIAL_TOKEN.sub("", text)
    return text


def without_control_characters(text: str) -> str:
    """The text with line feeds as its only control characters; tabs become spaces."""
    lines = _LINE_ENDS.sub("\n", text).replace("\t", " ")
    return "".join(
        character
        for character in lines
        if character == "\n" or unicodedata.category(character) not in _UNPRINTABLE
    )


def plain(text: str) -> str:
    """The text without control characters and special tokens."""
    return without_special_tokens(without_control_characters(text))
