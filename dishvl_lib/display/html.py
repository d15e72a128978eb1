"""The evaluation report: one HTML page that works offline, with every photo inside it and every name escaped."""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from dishvl_lib.core import images, records
from dishvl_lib.display.sheet import PhotoBook, thumbnail
from dishvl_lib.display.style import CSS
from dishvl_lib.display.words import NOT_ANSWERS, Words, missing, percent

THUMBNAIL, LARGE = 150, 300
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def report(
    path: str | Path,
    *,
    title: str,
    table: pd.DataFrame | None = None,
    comparison: pd.DataFrame | None = None,
    figures: Mapping[str, Figure | str | Path] | None = None,
    confusions: pd.DataFrame | None = None,
    not_dishes: pd.DataFrame | None = None,
    predictions: pd.DataFrame | None = None,
    photos: pd.DataFrame | None = None,
    names: Mapping[str, str] | None = None,
    image_root: str | Path | None = None,
    predictor: str = "tuned",
    notes: Sequence[str] = (),
    costs: Mapping[str, object] | None = None,
    parameters: Mapping[str, object] | None = None,
    command: str = "",
    top: int = 12,
    language: str = "en",
) -> Path:
    """Writes the page to `path`, whole or not at all, and returns the path. A part without data is left out.

    table, comparison: from `metrics.accuracy_table` and `metrics.compare`. figures: {heading: Figure or picture file}.
    confusions, not_dishes: from `confusion`, the `top` first are shown. predictions: the questions of every predictor,
    with `prompt` where it is known; the best and worst answers shown are `predictor`'s. photos, names ({dish_id: name})
    and image_root: the catalog, for thumbnails. Raises ValueError for another language than 'zh' or 'en', or when
    photos come without image_root.
    """
    words = Words(language)
    if photos is not None and image_root is None:
        raise ValueError("a report with photos needs image_root, the folder their paths are relative to")
    book = PhotoBook(photos, image_root) if photos is not None else None
    parts = [_list(notes), accuracy_html(table, words), _compared(comparison, words), *_figures(figures or {})]
    parts += [_confusions(confusions, book, names or {}, top, words), _not_dishes(not_dishes, words)]
    parts += _answers(predictions, predictor, book, words)
    parts += [_mapping(words("costs"), costs), _mapping(words("parameters"), parameters), _command(command, words)]
    records.write_text(path, _page(title, "".join(parts), words))
    return Path(path)


def escape(value: object) -> str:
    """Text for HTML, quotes included; '' for None and NaN."""
    return "" if missing(value) else html.escape(str(value), quote=True)


def photo_html(path: Path | None, side: int = THUMBNAIL) -> str:
    """An <img> with the photo's data in it, or a grey box with the reason why there is none."""
    try:
        data = base64.b64encode(images.jpeg_bytes(thumbnail(path, side), side, 82)).decode("ascii")
        return f'<img alt="" src="data:image/jpeg;base64,{data}">'
    except images.ImageError as error:
        return f'<span class="nophoto">{escape(error.reason)}</span>'


def scores_html(scores: object, truth: object = None) -> str:
    """Answers with their probabilities as bars, the truth marked; '' without scores. `scores`: [[entry, probability]]."""
    if missing(scores):
        return ""
    lines = []
    for entry, share in scores:
        mark = " class=truth" if entry == truth else ""
        lines.append(f"<tr{mark}><td>{escape(entry)}</td><td><i style='width:{max(0.0, min(1.0, float(share))) * 100:.0f}px'></i> {float(share):.3f}</td></tr>")
    return f"<table class=scores>{''.join(lines)}</table>"


def accuracy_html(table: pd.DataFrame | None, words: Words) -> str:
    """The accuracy table: n, correct, accuracy with its interval, chance and majority beside; '' for None."""
    if table is None:
        return ""
    heads = ("protocol", "predictor", "correct", "accuracy", "interval", "chance", "majority", "menu size", "off menu", "per dish", "normalised")
    rows = [_accuracy_row(row) for row in table.sort_values("protocol", kind="stable", key=_first_seen).to_dict("records")]
    return _section(words("accuracy"), _table([words(head) for head in heads], rows))


def _first_seen(values: pd.Series) -> pd.Series:
    return pd.Series(pd.factorize(values)[0], index=values.index)


def _accuracy_row(row: dict) -> list[str]:
    off = percent(row.get("off_menu"))
    size = "" if missing(row.get("menu_size")) else f"{row['menu_size']:.1f}".removesuffix(".0")
    macro = "" if missing(row.get("macro_accuracy")) else f"{percent(row['macro_accuracy'])} [{percent(row['macro_ci_low'])}, {percent(row['macro_ci_high'])}]"
    cells = [row["protocol"], row["predictor"], f"{row['correct']} / {row['n']}", percent(row["accuracy"])]
    cells += [f"[{percent(row['ci_low'])}, {percent(row['ci_high'])}]", percent(row["chance"]), percent(row.get("majority")), size, off, macro]
    return [escape(cell) for cell in [*cells, percent(row.get("accuracy_normalised"))]]


def _compared(comparison: pd.DataFrame | None, words: Words) -> str:
    if comparison is None or comparison.empty:
        return ""
    heads = [words(head) for head in ("protocol", "predictor", "same questions", "difference", "only reference right", "only predictor right")]
    rows = [
        [escape(row.protocol), escape(row.predictor), str(row.n), f"{100 * row.difference:+.1f}%", str(row.only_reference), str(row.only_predictor),
         f"{row.p:.2g}"]
        for row in comparison.itertuples()
    ]  # fmt: skip
    return _section(words("compared with"), _table([*heads, "McNemar p"], rows))


def _figures(figures: Mapping[str, Figure | str | Path]) -> list[str]:
    return [_section(heading, f'<img class=figure alt="" src="{_picture(figure)}">') for heading, figure in figures.items()]


def _picture(figure: Figure | str | Path) -> str:
    buffer = io.BytesIO()
    if isinstance(figure, Figure):
        figure.savefig(buffer, format="png", dpi=100)
    else:
        buffer.write(Path(figure).read_bytes())
    kind = "jpeg" if buffer.getvalue()[:2] == b"\xff\xd8" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _confusions(confusions: pd.DataFrame | None, book: PhotoBook | None, names: Mapping[str, str], top: int, words: Words) -> str:
    if confusions is None:
        return ""
    pairs = confusions[confusions["truth"] != confusions["answer"]]
    if pairs.empty:
        return _section(words("confusions"), f"<p>{escape(words('no confusions among'))} {int(confusions['n'].sum())} {words('questions')}</p>")
    ids = {name: dish_id for dish_id, name in reversed(list(names.items()))}
    heads = [words(head) for head in ("truth", "answer", "count", "share", "look-alike rank")]
    rows = [_confusion_row(row, book, ids, words) for row in pairs.head(top).to_dict("records")]
    heading = f"{words('confused pairs')}: {min(top, len(pairs))} {words('of')} {len(pairs)}"
    return _section(heading, _table(heads, rows, "pairs"))


def _confusion_row(row: dict, book: PhotoBook | None, ids: Mapping[str, str], words: Words) -> list[str]:
    examples = row.get("image_ids")
    first = list(examples) if isinstance(examples, (list, tuple)) else []
    sides = (row["truth"], row.get("truth_id") or ids.get(row["truth"], ""), first), (row["answer"], row.get("answer_id") or ids.get(row["answer"], ""), [])
    cells = []
    for name, dish_id, confused in sides:
        shown = "".join(photo_html(path, THUMBNAIL) for path in book.examples(dish_id, 3, confused)) if book else ""
        cells.append(f"<b>{escape(words.answer(name))}</b><div class=strip>{shown}</div>")
    count = f"{int(row['n'])}" + ("" if missing(row.get("n_truth")) else f" / {int(row['n_truth'])}")
    rank = "" if row["answer"] in NOT_ANSWERS else words("not a look-alike") if missing(row.get("look_alike_rank")) else str(row["look_alike_rank"])
    return [*cells, count, percent(row.get("share")), escape(rank)]


def _not_dishes(table: pd.DataFrame | None, words: Words) -> str:
    if table is None:
        return ""
    heads = [words(head) for head in ("truth", "answer", "count", "the truth but for punctuation")]
    rows = [[escape(row.truth), escape(row.answer), str(row.n), "✓" if row.equal_normalised else ""] for row in table.head(200).itertuples()]
    body = _table(heads, rows) if rows else f"<p>{escape(words('no such answers'))}</p>"
    shown = f": {len(rows)} {words('of')} {len(table)}" if len(rows) < len(table) else ""
    return _section(words("answers that are no dish's name") + shown, f"<details open><summary>{len(table)}</summary>{body}</details>" if rows else body)


def _answers(predictions: pd.DataFrame | None, predictor: str, book: PhotoBook | None, words: Words) -> list[str]:
    if predictions is None or not (predictions["predictor"] == predictor).any():
        return []
    rows = predictions[predictions["predictor"] == predictor]
    ranked = rows.assign(_sure=[_sureness(scores) for scores in (rows["scores"] if "scores" in rows else [None] * len(rows))])
    ranked = ranked.sort_values("_sure", ascending=False, kind="stable")
    correct = ranked["correct"].eq(True)
    return [_cards(words("best answers"), ranked[correct], book, words), _cards(words("worst answers"), ranked[~correct], book, words)]


def _sureness(scores: object) -> float:
    return -1.0 if missing(scores) or len(scores) == 0 else float(scores[0][1])


def _cards(heading: str, rows: pd.DataFrame, book: PhotoBook | None, words: Words) -> str:
    varied = pd.concat([rows.drop_duplicates("truth"), rows[rows.duplicated("truth")]]).head(3)
    body = "".join(answer_card(row, book, words) for row in varied.to_dict("records"))
    return _section(heading, f"<div class=cards>{body}</div>" if body else f"<p>{escape(words('no such answers'))}</p>")


def answer_card(row: Mapping, book: PhotoBook | None, words: Words, side: int = LARGE) -> str:
    """One question in full: photo, prompt, truth, answer, scores. `row` is a row of the predictions."""
    photo = photo_html(book.path(row.get("image_id")), side) if book else ""
    right = "right" if row.get("correct") is True or row.get("correct") == 1 else "wrong"
    prompt = "" if missing(row.get("prompt")) else f"<p class=prompt>{escape(str(row['prompt']).removeprefix('<image>').strip())}</p>"
    facts = f"<p>{escape(words('truth'))}: <b>{escape(row['truth'])}</b><br>{escape(words('answer'))}: <b class={right}>{escape(words.answer(row.get('answer')))}</b></p>"
    where = f"<p class=faint>{escape(row.get('predictor'))} · {escape(row.get('protocol'))} · {escape(row.get('id'))}</p>"
    return f"<div class=card>{photo}<div>{where}{prompt}{facts}{scores_html(row.get('scores'), row['truth'])}</div></div>"


def _list(notes: Sequence[str]) -> str:
    return f"<ul class=notes>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>" if len(notes) else ""


def _mapping(heading: str, values: Mapping[str, object] | None) -> str:
    if not values:
        return ""
    rows = [[escape(key), f"<code>{escape(json.dumps(value, ensure_ascii=False, default=str))}</code>"] for key, value in values.items()]
    return _section(heading, f"<details><summary>{len(rows)}</summary>{_table(['', ''], rows)}</details>")


def _command(command: str, words: Words) -> str:
    return _section(words("reproduce"), f"<pre>{escape(command)}</pre>") if command else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "data") -> str:
    """Cells are HTML already; heads are text."""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div class=scroll><table class={kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _section(heading: str, body: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>{body}</section>"


def _page(title: str, body: str, words: Words) -> str:
    language = "zh-CN" if words.language == "zh" else "en"
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}"><meta name="viewport" content="width=device-width">'
    return f'<!doctype html><html lang="{language}"><head>{head}<title>{escape(title)}</title><style>{CSS}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>\n'
