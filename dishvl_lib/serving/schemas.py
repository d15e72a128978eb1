"""What is sent and answered, as OpenAPI shows it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from dishvl_lib.core.types import Record
from dishvl_lib.serving import limits

MOST = limits.MAX_NAME_CHARACTERS


class RecogniseFields(BaseModel):
    """Beside the photo. Without `site` and `menu` a name is asked for; with one of them only where
    `naming` says so. With `detect` the photo shows a whole tray, and each dish on it is chosen from
    the menu.
    """

    model_config = ConfigDict(extra="forbid")

    site: str | None = Field(
        None, max_length=MOST, description="the site whose saved menu is chosen from"
    )
    menu: Any = Field(
        None, description='a menu inline: {"entries": [...]}, a list, or text, an entry a line'
    )
    naming: bool | None = Field(None, description="whether the dish's name is asked for")
    detect: bool = Field(False, description="whether the photo shows a tray with several dishes")
    top_k: int = Field(3, ge=1, le=limits.MAX_MENU_ENTRIES, description="entries that are answered")


class CorrectionFields(BaseModel):
    """Beside the photo. `answer`: what the service had said, '' for none."""

    model_config = ConfigDict(extra="forbid")

    right_dish: str = Field(max_length=MOST)
    answer: str = Field("", max_length=MOST)
    site: str = Field("", max_length=MOST)


class DishFields(BaseModel):
    """Beside the photos. `confirm`: add the dish whatever is found to be looked at first."""

    model_config = ConfigDict(extra="forbid")

    confirm: bool = False


class MenuBody(BaseModel):
    entries: list[str]


class EntryAnswer(BaseModel):
    """`entry`: as the menu has it; `name`: what the model reads of it; `probability`: among the
    menu.
    """

    entry: str
    name: str
    probability: float


class ChoiceAnswer(BaseModel):
    """`answer`: the entry, or null when the dish is not on the menu; `on_menu`: how probable it is
    that the dish is on it at all (null: the model has nothing fitted for it), of which `threshold`
    decides; `remark`: what should be known of it, mostly ''.
    """

    answer: str | None
    on_menu: float | None
    threshold: float
    entries: list[EntryAnswer]
    remark: str


class TrayDishAnswer(BaseModel):
    """`box`: x1, y1, x2, y2 in pixels of the upright photo; `score`: the detector's; `review`: why a
    person should look at it ("not on the menu", "unsure", "overlaps another dish"), mostly nothing.
    """

    box: tuple[float, float, float, float]
    score: float
    choice: ChoiceAnswer
    review: list[str]


class TrayAnswer(BaseModel):
    """`dishes`: left to right; `review`: what a person should look at, as sentences, also that
    nothing was found; `size`: width and height of the upright photo in pixels; `margin_is_proved`:
    whether the dishes are cropped as those that the model was trained on.
    """

    dishes: list[TrayDishAnswer]
    review: list[str]
    size: tuple[int, int]
    margin_is_proved: bool


class RecognitionAnswer(BaseModel):
    """`name`: null where it was not asked for; `choice`: null without a menu; `tray`: null without
    `detect`, with it `name` and `choice` are null; `seconds`: since the photo had arrived.
    """

    request_id: str
    name: str | None
    choice: ChoiceAnswer | None
    tray: TrayAnswer | None = None
    site: str | None
    seconds: float


class SitesAnswer(BaseModel):
    sites: list[str]


class DishAnswer(BaseModel):
    """`trained`: whether the model was trained on it; `added_at`: ISO time, '' for one that came
    from the run.
    """

    name: str
    n_photos: int
    trained: bool
    added_at: str


class DishesAnswer(BaseModel):
    dishes: list[DishAnswer]


class SimilarDish(BaseModel):
    dish: str
    cosine: float


class LeftOutPhoto(BaseModel):
    photo: str
    reason: str


class AddedAnswer(BaseModel):
    """`n_added`: photos that are new; `n_photos`: it has now; `left_out`: photos that could not be
    used; `closest`: the dishes that it looks like.
    """

    name: str
    n_added: int
    n_photos: int
    left_out: list[LeftOutPhoto]
    closest: list[SimilarDish]


class RemovedAnswer(BaseModel):
    name: str
    n_photos: int


class CorrectionAnswer(BaseModel):
    """`photo`: where it lies in the folder of corrections."""

    photo: str
    right_dish: str


class GalleryState(BaseModel):
    n_dishes: int
    revision: int


class DetectorState(BaseModel):
    """`crop_margin`: sides of a crop as a factor of its box's; `margin_is_proved`: whether the model
    is known to be trained on such crops.
    """

    sha256: str
    names: list[str]
    threshold: float
    crop_margin: float
    margin_is_proved: bool


class ModelAnswer(BaseModel):
    """`fingerprint`: sha256 of dishvl.json; `on_menu`: how it is decided that a dish is not on the
    menu, as dishvl.json has it; `gallery`: null where the model answers alone; `detector`: null
    where whole trays are not answered.
    """

    model: str
    fingerprint: str
    input_fingerprint: str
    min_pixels: int
    max_pixels: int
    temperature: float
    off_menu_threshold: float
    on_menu: Record | None
    device: str
    dtype: str
    gallery: GalleryState | None
    detector: DetectorState | None
    limits: Record
    version: str


class HealthAnswer(BaseModel):
    status: str


class ErrorDetail(BaseModel):
    """Beside these stands, for some codes, what was seen."""

    model_config = ConfigDict(extra="allow")

    code: str
    message: str
    request_id: str


class ErrorAnswer(BaseModel):
    error: ErrorDetail
