"""Today's menus, a file for each site: written whole or not at all, so they survive a restart."""

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from dishvl_lib.core import file_names, paths, records
from dishvl_lib.core.records import RecordError
from dishvl_lib.serving import limits
from dishvl_lib.serving.errors import ServiceError, bad_value
from dishvl_lib.vlm.written_menus import as_read

SUFFIX = ".json"


class MenuEntry(BaseModel):
    """`entry`: as it is written, with numbering and price; `name`: what the model reads of it."""

    entry: str
    name: str


class Menu(BaseModel):
    """A site's menu. `saved_at`: ISO time to the second."""

    site: str
    saved_at: str
    entries: list[MenuEntry]

    @property
    def written(self) -> list[str]:
        return [entry.entry for entry in self.entries]


class Menus:
    """The menus in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def put(self, site: str, entries: Sequence[str]) -> Menu:
        """Keep a site's menu in the place of the one before; on the disk when this returns.

        Raises `ServiceError` 422 for a name or a menu that cannot be one.
        """
        site = named(site)
        names = checked(entries)
        listed = []
        for entry, name in zip(entries, names, strict=True):
            listed.append(MenuEntry(entry=entry, name=name))
        saved_at = datetime.now().astimezone().isoformat(timespec="seconds")
        menu = Menu(site=site, saved_at=saved_at, entries=listed)
        records.write_json(self._file(site), menu.model_dump())
        return menu

    def get(self, site: str) -> Menu:
        """Raises `ServiceError` 404 for a site without a menu, 500 for a file that is damaged."""
        file = self._file(named(site))
        if not file.is_file():
            raise self._unknown(site)
        try:
            return Menu.model_validate(records.read_json(file))
        except (RecordError, ValidationError) as error:
            reason = " ".join(str(error).split())
            message = f"the menu of {site} is damaged on the disk ({reason}); save it again"
            raise ServiceError(500, "damaged_menu", message) from None

    def remove(self, site: str) -> None:
        """Raises `ServiceError` 404 for a site without a menu."""
        try:
            self._file(named(site)).unlink()
        except FileNotFoundError:
            raise self._unknown(site) from None

    def sites(self) -> list[str]:
        """The sites that have a menu, sorted."""
        files = self.folder.glob(f"*{SUFFIX}")
        return sorted(file.name.removesuffix(SUFFIX) for file in files if file.name[0] != ".")

    def _file(self, site: str) -> Path:
        return self.folder / f"{site}{SUFFIX}"

    def _unknown(self, site: str) -> ServiceError:
        known = ", ".join(self.sites()) or "none yet"
        message = f"no menu of site {site!r}; there are {known}. PUT /v1/menus/SITE saves one"
        return ServiceError(404, "unknown_site", message)


def named(site: str) -> str:
    """A site's name as its file is called. Raises `ServiceError` 422 for one that cannot name a
    file of its own.
    """
    composed = unicodedata.normalize("NFC", site)
    problem = paths.name_problem(composed)
    if problem:
        raise bad_value(f"site {site!r} {problem}")
    return composed


def checked(entries: Sequence[str]) -> list[str]:
    """What the model reads of each entry. Raises `ServiceError` 422 for what can be no menu."""
    check_entries(entries)
    try:
        return as_read(entries)
    except ValueError as error:
        raise ServiceError(422, "bad_menu", str(error)) from None


def check_entries(entries: Sequence[str]) -> None:
    """Raises `ServiceError` 422 for a menu of too many entries, or with one that is too long or is
    no text that can be written down.
    """
    if len(entries) > limits.MAX_MENU_ENTRIES:
        raise ServiceError(
            422,
            "bad_menu",
            f"the menu has {len(entries)} entries, at most {limits.MAX_MENU_ENTRIES} are taken",
        )
    for place, entry in enumerate(entries, start=1):
        if len(entry) > limits.MAX_NAME_CHARACTERS:
            most = limits.MAX_NAME_CHARACTERS
            message = f"menu entry {place} has {len(entry)} characters, at most {most} are read"
            raise ServiceError(422, "bad_menu", message)
        if not file_names.is_writable(entry.replace("\t", " ")):
            shown = file_names.printable(entry)
            message = f"menu entry {place} ({shown}) holds control characters; remove them"
            raise ServiceError(422, "bad_menu", message)
