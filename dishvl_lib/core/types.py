"""Names for the types that pass through every room."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

# Values by their keys, as a line of JSON, a row of a table or a set of options holds them.
Record = dict[str, Any]
RecordView = Mapping[str, Any]  # a record that is only read
Records = list[Record]
RecordViews = Sequence[RecordView]
DishNames = Mapping[str, str]  # the name by dish_id
AnyPath = str | Path
# A photo as people hand it over: a file, its bytes, or a picture in memory.
PhotoSource = AnyPath | bytes | Image.Image
