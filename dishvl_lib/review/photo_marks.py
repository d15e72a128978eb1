"""What a person can decide about a photo, and the rows that say so in decisions/photos.csv."""

import pandas as pd

from dishvl_lib.core import artefacts
from dishvl_lib.core.decisions import OTHER_DISH, PhotoDecisions
from dishvl_lib.core.types import AnyPath, DishNames


class PhotoMarks:
    """The decisions about a catalogue's photos.

    photos: image_id, path, dish_id; split and group_id where they are known. names: {dish_id: name}
    of the dishes at home.
    """

    def __init__(self, photos: pd.DataFrame, names: DishNames, decisions_file: AnyPath):
        self.decisions = PhotoDecisions(decisions_file)
        self.names = names
        columns = [name for name in ("path", "dish_id", "split", "group_id") if name in photos]
        by_id = photos.drop_duplicates("image_id").set_index("image_id")
        self.photo_by_id = by_id[columns].to_dict("index")
        self.ids_by_group: dict[str, list[str]] = {}
        for image_id, photo in self.photo_by_id.items():
            group = photo.get("group_id", "")
            if group:
                self.ids_by_group.setdefault(group, []).append(image_id)
        self.dishes_at_site = self._dishes_at_sites()

    def latest(self, image_id: str) -> dict[str, str] | None:
        """The decision about a photo that counts, as a row, or None."""
        return self.decisions.latest(image_id)

    def dishes_for(self, image_id: str) -> dict[str, str]:
        """{dish_id: name} of the other dishes that a photo can be given: of an outside site its
        own, else those at home.
        """
        photo = self.photo_by_id.get(image_id, {})
        split = photo.get("split", "")
        dishes = self.dishes_at_site.get(split, self.names)
        return {dish: name for dish, name in dishes.items() if dish != photo.get("dish_id")}

    def called(self, dish_id: str) -> str:
        """A dish's name, or its dish_id where it has none."""
        return self.names.get(dish_id, dish_id)

    def twins(self, image_id: str) -> list[str]:
        """The other photos of its group under the same dish: near-duplicates and crops of one
        frame.
        """
        photo = self.photo_by_id.get(image_id, {})
        group = self.ids_by_group.get(photo.get("group_id", ""), [])
        others = [other for other in group if other != image_id]
        return [other for other in others if self._dish(other) == photo["dish_id"]]

    def add(
        self,
        image_id: str,
        decision: str,
        right_dish: str = "",
        with_twins: bool = False,
        **fields: object,
    ) -> dict[str, str]:
        """Writes a decision at once and returns its row; of `other dish` one for each twin too,
        where that is asked for. fields: of PHOTO_COLUMNS. Errors as in `PhotoDecisions.add_all`.
        """
        right = {"right_dish": right_dish} if decision == OTHER_DISH else {}
        rows = [{**self._known(image_id), **right, **fields}]
        if with_twins and decision == OTHER_DISH:
            note = {"note": fields.get("note", "")}
            rows += [{**self._known(twin), **right, **note} for twin in self.twins(image_id)]
        return self.decisions.add_all(decision, rows)[0]

    def take_back(self, image_id: str, **fields: object) -> dict[str, str]:
        """Writes that a photo counts as undecided and returns the row."""
        return self.decisions.take_back(**self._known(image_id), **fields)

    def _known(self, image_id: str) -> dict[str, str]:
        photo = self.photo_by_id.get(image_id, {})
        known = {name: photo.get(name, "") for name in ("path", "dish_id")}
        return {"image_id": image_id, **known}

    def _dish(self, image_id: str) -> str:
        return self.photo_by_id[image_id]["dish_id"]

    def _dishes_at_sites(self) -> dict[str, dict[str, str]]:
        """{split: {dish_id: its folder}} of the outside sites."""
        at_sites: dict[str, dict[str, str]] = {}
        for photo in self.photo_by_id.values():
            split = photo.get("split", "")
            if split.startswith(artefacts.SITE_PREFIX):
                folder = photo["dish_id"].removeprefix(f"{artefacts.site_of(split)}/")
                at_sites.setdefault(split, {})[photo["dish_id"]] = folder
        return at_sites
