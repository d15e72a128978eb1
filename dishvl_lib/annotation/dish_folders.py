"""Which folder of a photo's path says the dish, and which says train, validation or test.

Paths here are tuples of folders below a photo folder, without the file.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from dishvl_lib.core import folder_words, names
from dishvl_lib.core.file_names import CHINESE
from dishvl_lib.core.rules import listed

Folders = tuple[str, ...]


class UnclearFolders(ValueError):
    """Folders of which two may say the dish; the message names the parameter that decides."""


class DishFolders:
    """What the folders below one photo folder say.

    `places`: the folders that hold photos. `level`: dish_level, 0 to find out; where a path has
    fewer folders the last one counts. `with_splits`: False takes no folder for a split. `strict`:
    False takes the last folder where two may say the dish. Raises `UnclearFolders` otherwise.

    The dish is the last folder that may name one: dates, batches, numbers and codes below it say
    nothing (dish/20240301), nor do places (site/dish, dish/site). Nor does a Latin word below
    Chinese names that stands there several times or is all capitals (dish/HGD).
    """

    def __init__(
        self,
        places: Iterable[Folders],
        level: int = 0,
        *,
        with_splits: bool = True,
        strict: bool = True,
    ):
        self.places = _below_root(places)
        self.level = level
        self.splits = SplitFolders(self.places if with_splits else ())
        self.without_splits = _below_root(map(self.splits.rest, self.places))
        self.below_dishes: frozenset[str] = frozenset()
        self.only_last = False
        if level == 0:
            self._find_out(strict)

    def split(self, place: Folders) -> str:
        """train, validation or test as a folder gives it; ''."""
        return self.splits.split(place)

    def dish(self, place: Folders) -> str:
        """The folder that says the dish; '' for a place outside all dish folders."""
        rest = self.splits.rest(place)
        if not rest:
            return ""
        if self.level:
            level = min(self.level, len(rest))
            return rest[level - 1]
        if self.only_last:
            return rest[-1]
        depth = _depth(rest, self.below_dishes)
        return rest[depth]

    def _find_out(self, strict: bool) -> None:
        self.below_dishes = self._words_below_dishes(strict)
        self.only_last = self._are_classes_without_names()
        if strict and not self.only_last:
            self._refuse_codes()

    def _words_below_dishes(self, strict: bool) -> frozenset[str]:
        """The names that stand below dishes and are none themselves."""
        parents = _parents(self.without_splits)
        children: dict[str, set[str]] = {}
        for name, above in parents.items():
            for other in above - {""}:
                below_other = children.setdefault(other, set())
                below_other.add(name)
        below = set()
        for name, above in sorted(parents.items()):
            if "" in above:
                continue  # it stands by itself elsewhere: a dish
            chinese_above = [other for other in above if _is_chinese(other)]
            beside = set().union(*(children[other] for other in above))
            # Chinese names beside it are dishes, and what stands above them all is none.
            chinese_beside = any(map(_is_chinese, beside))
            all_latin = not chinese_beside and len(chinese_above) == len(above)
            if all_latin and (len(above) > 1 or name.isupper()):
                below.add(name)
            # Sites have more dishes than there are sites; dishes more photos than views of them.
            is_unclear = len(above) > len(beside) and name not in below
            is_at_sites = _is_chinese(name) and not chinese_above
            if strict and is_unclear and not is_at_sites:
                raise _unclear(min(above), name)
        return frozenset(below)

    def _are_classes_without_names(self) -> bool:
        """Whether one name stands above all numbers or codes: it is that of the whole set."""
        uppers = {self._upper(rest) for rest in self.without_splits}
        last = {rest[-1] for rest in self.without_splits}
        if len(uppers) > 1 or len(last) < 2:
            return False
        holds_photos = uppers & set(self.without_splits)
        return not holds_photos and not any(map(_says_when, last))

    def _upper(self, rest: Folders) -> Folders:
        """The place down to the folder that says the dish."""
        depth = _depth(rest, self.below_dishes)
        return rest[: depth + 1]

    def _refuse_codes(self) -> None:
        """A code below a word that may be a site (HGD/GX4_6) says no more than that word."""
        places = set(self.without_splits)
        for rest in self.without_splits:
            upper = self._upper(rest)
            dish = upper[-1]
            last = rest[-1]
            is_no_dish = last.isdigit() or _says_when(last) or folder_words.is_place(last)
            is_dish = upper in places or _is_chinese(dish)
            if not is_no_dish and not is_dish:
                raise _unclear(dish, last)


class SplitFolders:
    """Which folders say train, validation or test: at one depth all of them, train among them.

    `note`: that folders which are called so are not taken as splits, and why; '' otherwise.
    """

    def __init__(self, places: Sequence[Folders]):
        self.depth = -1
        self.note = ""
        called = _called_like_splits(places)
        if not called:
            return
        with_split = [place for place in places if called & set(place)]
        depth = min(map(_depth_of_split, with_split))
        here = {place[depth] for place in places if len(place) > depth}
        above = {place[-1] for place in places if len(place) <= depth}
        beside = {name for name in here if not folder_words.split_of(name)}
        strays = sorted(above) + sorted(beside)
        reason = _why_no_splits(called & here, strays)
        if not reason:
            self.depth = depth
        elif len(called) > 1 or "train" in map(folder_words.split_of, called):
            # A folder called test alone may well be a dish.
            self.note = _note(called, reason)

    def split(self, place: Folders) -> str:
        taken = 0 <= self.depth < len(place)
        return folder_words.split_of(place[self.depth]) if taken else ""

    def rest(self, place: Folders) -> Folders:
        """The place without its split folder."""
        if not 0 <= self.depth < len(place):
            return place
        return place[: self.depth] + place[self.depth + 1 :]


@lru_cache(maxsize=65_536)
def may_name_dish(folder: str) -> bool:
    """Whether a folder's name may be a dish's."""
    name = names.clean_folder_name(folder)
    return not names.says_nothing(name)


def _is_chinese(folder: str) -> bool:
    name = names.clean_folder_name(folder)
    return bool(CHINESE.search(name))


def _depth(rest: Folders, below_dishes: frozenset[str]) -> int:
    """Where the folder stands that says the dish: the last that may, or else the last of all."""
    last = len(rest) - 1
    for depth in range(last, -1, -1):
        folder = rest[depth]
        if may_name_dish(folder) and folder not in below_dishes:
            return depth
    return last


def _below_root(places: Iterable[Folders]) -> list[Folders]:
    """Each place once, in order, without the photo folder itself."""
    return sorted(set(places) - {()})


def _says_when(folder: str) -> bool:
    """Whether a folder's name is certainly a batch or date, and not a class without a name."""
    return folder_words.is_date(folder) or folder_words.is_filing(folder)


def _parents(places: Iterable[Folders]) -> dict[str, set[str]]:
    """{name: the next names above it}, '' where there is none, of the last name in each place."""
    parents: dict[str, set[str]] = {}
    for place in places:
        named = [folder for folder in place if may_name_dish(folder)]
        if named:
            above = named[-2] if len(named) > 1 else ""
            uppers = parents.setdefault(named[-1], set())
            uppers.add(above)
    return parents


def _unclear(upper: str, lower: str) -> UnclearFolders:
    return UnclearFolders(
        f"it is not clear whether {upper} or {lower} is the dish of the photos in {upper}/{lower}; "
        f"set dish_level to 1 where the first folder below image_root names the dish, to 2 for the "
        f"second, or to 9 for the folder that the photos lie in (or list them in photos_csv)"
    )


def _called_like_splits(places: Iterable[Folders]) -> set[str]:
    return {folder for place in places for folder in place if folder_words.split_of(folder)}


def _depth_of_split(place: Folders) -> int:
    """Where the first folder stands that is called like a split."""
    is_split = [bool(folder_words.split_of(folder)) for folder in place]
    return is_split.index(True)


def _why_no_splits(named: set[str], strays: Sequence[str]) -> str:
    """Why these folders are not taken as splits, in one clause; '' when they are."""
    splits = {folder_words.split_of(name) for name in named}
    if strays:
        return f"{listed(strays)} beside them is none"
    if "train" not in splits:
        return "no folder for training is among them"
    if len(splits) < 2:
        return "no folder for validation or testing is among them"
    spellings = {name.casefold() for name in named}
    if len(spellings) > len(splits):
        return "two of them mean one split"
    return ""


def _note(called: set[str], reason: str) -> str:
    listed = ", ".join(sorted(called, key=lambda name: (folder_words.split_of(name), name)))
    return (
        f"folders called {listed} are NOT taken as splits and all photos are dealt anew: {reason}; "
        "leave nothing but split folders there, or give the splits in photos_csv, to keep them"
    )
