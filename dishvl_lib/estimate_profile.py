"""`dishvl estimate PROFILE`: the annotation's cost, and whether the training fits and how long.

It stands above the rooms, for it asks the annotation, the demo and the `estimate` room.
"""

from collections.abc import Iterator

from dishvl_lib.annotation import annotate, layout
from dishvl_lib.core import artefacts, names, paths, settings
from dishvl_lib.demo import builtin
from dishvl_lib.endpoints import client
from dishvl_lib.estimate import report as training_report
from dishvl_lib.estimate.report import Values
from dishvl_lib.vlm import qwen


def paragraphs(
    values: Values,
    *,
    official: bool = False,
    trial: bool = False,
    gpu_gb: float = 0.0,
    network_gbit: float = 0.0,
    hosts: int = 2,
    photos_per_second: float = 0.0,
) -> Iterator[str]:
    """Text for the terminal, paragraph by paragraph: what needs no model comes first, before the
    model is looked for.

    `official`: the training as the official script does it, ours beside it. `trial`: measure the
    rate by a few steps on this machine. `gpu_gb`: memory of the device to advise for (0: this
    machine's GPU, if any). Without the base model's files the annotation alone is estimated, and
    that is said.
    """
    photos, dishes = _photos(values)
    yield f"{photos:,} photos of {dishes:,} dishes"
    yield annotation(values, dishes)
    try:
        base_model = _base_model(values["04_training"]["base_model"])
    except qwen.ModelError as error:
        if trial:
            raise
        # What the annotation costs is known without the model, and is what is paid first.
        yield f"training: not estimated, its base model is not at hand: {error}"
        return
    case = training_report.case_of(values, base_model, photos)
    if trial:
        photos_per_second = training_report.measured_rate(case)
    yield from training_report.paragraphs(
        case,
        official=official,
        gpu_gb=gpu_gb,
        network_gbit=network_gbit,
        hosts=hosts,
        photos_per_second=photos_per_second,
    )


def annotation(values: Values, dishes: int) -> str:
    """Likely cost of asking every annotator about every dish; no key is needed for that."""
    params = values["01_annotation"]
    annotators = [
        annotator
        for annotator in params["annotators"]
        if annotator.get("base_url") != builtin.BUILTIN
    ]
    if not annotators:
        return "annotation: costs nothing"
    endpoints = [client.Endpoint(**annotator) for annotator in annotators]
    table = annotate.estimate(endpoints, dishes, params["photos_per_dish"])
    return "annotation:\n" + table.round(2).to_string(index=False)


def _photos(values: Values) -> tuple[int, int]:
    """(photos, dishes) that would be annotated.

    Of the catalogue when stage 01 has finished, otherwise of the folder as it is.
    """
    catalog = training_report.finished_table(values, "01_annotation", "catalog.parquet")
    if catalog is not None:
        inside = catalog[~artefacts.at_site(catalog.split)]
        return len(inside), inside.dish_id.nunique()
    params = values["01_annotation"]
    if params["trays_root"]:
        return _crops(values)
    root = builtin.photos(params["image_root"], [])[0]
    files = layout.listing(
        root,
        params.get("photos_csv", ""),
        follow_links=params.get("follow_links", False),
        dish_level=params.get("dish_level", 0),
    ).photos
    folders = {file.folder for file in files}
    return len(files), len({names.clean_folder_name(folder) for folder in folders})


def _crops(values: Values) -> tuple[int, int]:
    """(crops, dishes) of stage 00. Raises `SettingsError` before it has finished: what lies on the
    trays is not known then.
    """
    crops = training_report.finished_table(values, paths.TRAYS, artefacts.CROPS_LIST)
    if crops is None:
        raise settings.SettingsError(
            "how many crops the trays give is known when stage 00 has finished: dishvl run PROFILE "
            "--to 00 makes them, and asks nobody"
        )
    return len(crops), crops.label.nunique()


def _base_model(value: str) -> str:
    if value != builtin.BUILTIN:
        return qwen.locate(value)
    built = sorted(
        paths.cache("demo_base_model").glob("*/config.json"), key=lambda file: file.stat().st_mtime
    )
    if not built:
        raise settings.SettingsError(
            "base_model: builtin is not built before stage 03 has run; run dishvl demo, or "
            "give a folder"
        )
    return str(built[-1].parent)
