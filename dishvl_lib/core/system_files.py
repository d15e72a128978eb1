"""Files and folders that operating systems, network drives and tools leave among photos."""

import re

_MADE_BY = {
    "__macosx": "macOS, which packs it into every zip",
    ".trashes": "macOS",
    ".spotlight-v100": "macOS",
    ".fseventsd": "macOS",
    ".temporaryitems": "macOS",
    ".documentrevisions-v100": "macOS",
    "network trash folder": "macOS",
    "temporary items": "macOS",
    ".appledouble": "netatalk",
    ".appledb": "netatalk",
    ".appledesktop": "netatalk",
    "@eadir": "a Synology drive",
    "#recycle": "a Synology drive",
    "#snapshot": "a Synology drive",
    "@tmp": "a Synology drive",
    "@sharebin": "a Synology drive",
    "@recycle": "a QNAP drive",
    "@recently-snapshot": "a QNAP drive",
    "@__thumb": "a QNAP drive",
    ".@__thumb": "a QNAP drive",
    ".@upload_cache": "a QNAP drive",
    ".snapshot": "a network drive",
    "~snapshot": "a network drive",
    "$recycle.bin": "Windows",
    "recycler": "Windows",
    "recycled": "Windows",
    "system volume information": "Windows",
    "found.000": "Windows",
    "lost+found": "Linux",
    "lost.dir": "Android",
    ".thumbnails": "a gallery",
    ".ipynb_checkpoints": "Jupyter",
    "__pycache__": "Python",
    ".git": "git",
    ".svn": "Subversion",
    ".stversions": "Syncthing",
    ".stfolder": "Syncthing",
    ".idea": "an editor",
    ".vscode": "an editor",
}
_TRASH = re.compile(r"\.trash-\d+|found\.\d{3}")
_FILES = re.compile(
    r"\._.*|\.ds_store|icon\r|\.localized|\.apdisk|thumbs\.db(:.*)?|ehthumbs(_vista)?\.db|"
    r"desktop\.ini|.*:zone\.identifier|\.directory|\.nomedia|\.?picasa\.ini|zbthumbnail\.info|synophoto_.*|"
    r"synoindex_.*|.*@synoeastream|.*@synoresource|~\$.*"
)
REASON = "system file"


def refusal(folders: tuple[str, ...], name: str = "") -> tuple[str, str] | None:
    """(reason, detail) for a file of a system or tool, by the folders that it lies in and its own
    name; None for any other.
    """
    for folder in folders:
        key = folder.casefold()
        if key in _MADE_BY:
            return REASON, f"it lies in {folder}, a folder of {_MADE_BY[key]}"
        if _TRASH.fullmatch(key):
            return REASON, f"it lies in {folder}, a folder of deleted files"
    if _FILES.fullmatch(name.casefold()):
        return REASON, "a file that an operating system or tool keeps for itself"
    return None
