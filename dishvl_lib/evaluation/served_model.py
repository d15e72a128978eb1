"""What an endpoint that serves one of our models is sent: the prompt of training, the photo as it
is, and no text that is a command there.

Our own inputs are built from tokens, in which a special token that stands in a question is text. A
server builds them from text, in which it is the token: it can end a turn or begin another photo.
"""

import base64
import io
from pathlib import Path

from PIL import Image

from dishvl_lib.core import images, photo_files, plain_text, questions
from dishvl_lib.core.types import Record

SYSTEM = questions.SYSTEM_PROMPT
STRUCTURED = "choice"
# The folder's generation_config.json decides it otherwise, and Qwen's says 1.05.
DECODING: Record = {"repetition_penalty": 1.0}


def refuse_commands(question: str) -> None:
    """Raises ValueError for a question with special tokens, naming them."""
    tokens = plain_text.special_tokens(question)
    if tokens:
        shown = ", ".join(dict.fromkeys(tokens))
        raise ValueError(
            f"the question holds {shown}, which the served model would read as a command: it was "
            "not sent. Rename the dish or menu entry that it stands in"
        )


def photo_url(file: Path) -> str:
    """The photo as a data URL: its file's bytes, or a PNG of what `load_rgb` makes of a file in
    which a server would see other pixels.

    Raises `ImageError` (a ValueError): the question is then recorded as failed.
    """
    content = _content(file)
    if images.is_read_alike(content):
        kind = photo_files.open_photo(content).format or ""
        return _data_url(Image.MIME.get(kind, "image/jpeg"), content)
    photo = images.load_rgb(content, max_image_pixels=images.MAX_IMAGE_PIXELS)
    buffer = io.BytesIO()
    photo.save(buffer, "PNG")
    return _data_url("image/png", buffer.getvalue())


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise images.ImageError("missing", f"no such file: {file}") from None
    except OSError as error:
        raise images.ImageError("unreadable", error.strerror or str(error)) from None


def _data_url(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
