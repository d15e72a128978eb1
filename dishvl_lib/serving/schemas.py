"""What is sent and answered, as OpenAPI shows it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from dishvl_lib.core.types import Record
from dishvl_lib.serving import limits

MOST = limits.MAX_NAME_CHARACTERS


class RecogniseFields(BaseModel):
    """Beside the photo. Without `site` and `menu` a name is asked for; with one of them only where
    `naming` says so.
    """

    model_config = ConfigDict(extra="forbid")

    site: str | None = Field(
        None, max_length=MOST, description="the site whose saved menu is chosen from"
    )
    menu: Any = Field(
        None, description='a menu inline: {"entries": [...]}, a list, or text, an entry a line'
    )
    naming: bool | None = Field(None, description="whether the dish's name is asked for")
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


class RecognitionAnswer(BaseModel):
    """`name`: null where it was not asked for; `choice`: null without a menu; `seconds`: since the
    photo had arrived.
    """

    request_id: str
    name: str | None
    choice: ChoiceAnswer | None
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


class ModelAnswer(BaseModel):
    """`fingerprint`: sha256 of dishvl.json; `on_menu`: how it is decided that a dish is not on the
    menu, as dishvl.json has it; `gallery`: null where the model answers alone.
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
