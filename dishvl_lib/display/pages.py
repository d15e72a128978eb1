"""HTML made from templates, for pages that work offline and for widgets.

Whatever a template is given is escaped by the engine (autoescape), so that no name of a dish can
become markup. Templates lie in templates/, style sheets and scripts in static/.
"""

import base64
import functools
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from dishvl_lib.core import images
from dishvl_lib.core.photo_book import thumbnail
from dishvl_lib.core.types import AnyPath
from dishvl_lib.display.words import Text, Words, missing

FOLDER = Path(__file__).parent
# A page may load nothing, and show only what lies inside it.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
PAGE_LANGUAGES = {"zh": "zh-CN", "en": "en"}
JPEG_START = b"\xff\xd8"
JPEG_QUALITY = 82


@dataclass(frozen=True)
class EmbeddedPhoto:
    """A photo for a page: its data as the `src` of an <img>, or the reason why there is none."""

    source: str = ""
    reason: str = ""


def _blank_if_missing(value: object) -> object:
    """What a template prints of a value: nothing for None and NaN."""
    return "" if missing(value) else value


TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    finalize=_blank_if_missing,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def attribute(name: str, value: str) -> Markup:
    """`name="value"` for a tag of a template. A text in both languages brings along what the page's
    script needs to change it; name `text` is the text that the element holds.
    """
    parts = []
    if name != "text":
        parts.append(Markup('{}="{}"').format(name, plain(value)))
    if isinstance(value, Text):
        parts.append(Markup('data-says="{}" {}').format(name, value.attributes()))
    return Markup(" ").join(parts)


def plain(value: str) -> str:
    """A text in the language that is shown first, where no element can stand in it."""
    return str.__str__(value)


TEMPLATES.globals |= {"attribute": attribute, "plain": plain}


def render(template: str, **values: Any) -> Markup:
    """The HTML of a file in templates/."""
    return Markup(TEMPLATES.get_template(template).render(values))


def snippet(source: str, **values: Any) -> Markup:
    """The HTML of a template that is short enough to stand in the code. `source` never holds
    data.
    """
    return Markup(_compiled(source).render(values))


@functools.cache
def _compiled(source: str) -> jinja2.Template:
    return TEMPLATES.from_string(source)


@functools.cache
def static(name: str) -> Markup:
    """A style sheet or script of static/; it is ours, and goes into pages as it is."""
    text = (FOLDER / "static" / name).read_text("utf-8")
    return Markup(text.strip())


def style(*names: str) -> Markup:
    """Style sheets of static/ as a <style> element, for widgets."""
    return snippet("<style>{{ css }}</style>", css=Markup("\n").join(map(static, names)))


def page(
    template: str,
    *,
    title: str,
    words: Words,
    styles: tuple[str, ...],
    script: str = "",
    **values: Any,
) -> str:
    """A whole page: `template` extends page.html.j2, and gets `values` and `words`.

    styles and script: files of static/. The page's policy lets this script run and no other.
    """
    source = static(script) if script else Markup("")
    text = render(
        template,
        title=title,
        language=PAGE_LANGUAGES[words.language],
        policy=policy(source),
        css=Markup("\n").join(map(static, styles)),
        script=source,
        words=words,
        **values,
    )
    return str(text)


def policy(script: str) -> str:
    """The content security policy of a page with this script. It names the script by its hash: one
    that anything else brings in is not run.
    """
    if not script:
        return POLICY
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"{POLICY}; script-src 'sha256-{base64.b64encode(digest).decode('ascii')}'"


def figure_source(figure: Figure | AnyPath) -> str:
    """A drawn figure, or a PNG or JPEG file, as the `src` of an <img>."""
    if not isinstance(figure, Figure):
        return data_source(Path(figure).read_bytes())
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    return data_source(drawn.getvalue())


def data_source(picture: bytes) -> str:
    """The bytes of a PNG or JPEG file as the `src` of an <img>."""
    kind = "jpeg" if picture.startswith(JPEG_START) else "png"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def embedded(path: Path | None, side: int) -> EmbeddedPhoto:
    """The photo for a page, its longer side at most `side` pixels; one that cannot be read is its
    reason.
    """
    try:
        data = images.jpeg_bytes(thumbnail(path, side), side, JPEG_QUALITY)
    except images.ImageError as error:
        return EmbeddedPhoto(reason=error.reason)
    return EmbeddedPhoto(source=data_source(data))
