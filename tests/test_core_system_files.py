"""What systems and network drives leave among photos."""

import pytest

from dishvl_lib.core import system_files


@pytest.mark.parametrize(
    ("folders", "name"),
    [
        (("__MACOSX", "train"), "._0.jpg"),
        (("红烧鱼", "@eaDir", "0.jpg"), "SYNOPHOTO_THUMB_M.jpg"),
        (("#recycle", "红烧鱼"), "0.jpg"),
        (("$RECYCLE.BIN",), "0.jpg"),
        ((".Trashes",), "0.jpg"),
        ((".Trash-1000",), "0.jpg"),
        (("红烧鱼", ".@__thumb"), "0.jpg"),
        (("@Recycle",), "0.jpg"),
        (("System Volume Information",), "0.jpg"),
        (("lost+found",), ""),
        ((".ipynb_checkpoints",), "0.jpg"),
        (("红烧鱼",), "Thumbs.db"),
        (("红烧鱼",), ".DS_Store"),
        (("红烧鱼",), "desktop.ini"),
        (("红烧鱼",), "._0.jpg"),
        (("红烧鱼",), "Icon\r"),
    ],
)
def test_they_are_refused_with_a_reason(folders, name):
    assert system_files.refusal(folders, name)[0] == system_files.REASON


@pytest.mark.parametrize(
    ("folders", "name"),
    [
        (("红烧鱼@HGD_20211221",), "0.jpg"),
        (("#1 红烧鱼",), "a.db"),
        ((), ""),
        (("recycle",), "0.jpg"),
    ],
)
def test_what_people_made_is_not(folders, name):
    assert system_files.refusal(folders, name) is None
