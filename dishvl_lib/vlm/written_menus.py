"""Menus as people write them, checked and as the model reads them."""

from collections.abc import Collection, Sequence

from dishvl_lib.core import menu_entries, names


def as_read(menu: Sequence[str]) -> list[str]:
    """What the model reads of a menu that people wrote: `check_menu` without numbering and
    prices.
    """
    _check_texts(menu)
    return check_menu(menu_entries.dish_names(list(menu)))


def check_menu(menu: Sequence[str]) -> list[str]:
    """The menu as a list of cleaned entries.

    Raises ValueError: empty, an entry twice, or one that cannot be an entry.
    """
    _check_texts(menu)
    entries = [names.clean(entry) for entry in menu]
    if not entries:
        raise ValueError("the menu is empty; give at least one entry")
    for place, entry in enumerate(entries, start=1):
        fault = names.fault_of(entry)
        if fault:
            raise ValueError(
                f"menu entry {place} ({entry[:20]!r}): {fault.reason}; change it on the menu"
            )
        if entry in entries[: place - 1]:
            raise ValueError(f"menu entry {place} ({entry}) is there twice; remove one")
    return entries


def _check_texts(menu: Sequence[str]) -> None:
    """Raises ValueError for what is no collection of texts."""
    if isinstance(menu, str) or not isinstance(menu, Collection):
        raise ValueError(f"menu must be a list of names, not {type(menu).__name__}")
    for place, entry in enumerate(menu, start=1):
        if not isinstance(entry, str):
            raise ValueError(f"menu entry {place} is {entry!r}; give its name as text")
