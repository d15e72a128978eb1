"""How the chain starts a notebook, without starting one."""

from pathlib import Path

import papermill

from dishvl_lib import run
from dishvl_lib.core import paths, records, stages


def test_runs_begun_together_share_no_socket(monkeypatch):
    """Each kernel's sockets lie in a folder of their own, short enough for a socket's path, which is gone afterwards."""
    given = []

    def started(*_, config, **__):
        given.append(Path(config["KernelManager"]["ip"]))
        assert given[-1].parent.is_dir() and len(f"{given[-1]}-12345") < 100
        records.write_json(paths.stage_folder("r", "01_annotation") / stages.SUCCESS, {})

    monkeypatch.setattr(papermill, "execute_notebook", started)
    for _ in range(2):
        run._execute("01_annotation", {"run_name": "r"})
    assert given[0] != given[1] and not any(one.parent.exists() for one in given)
