"""A key from the environment ends up nowhere: not in a file of a run, a notebook, a log, a
traceback, nor a page of the journal.
"""

import base64
import json
import os
import sys
import zlib
from pathlib import Path

import pandas as pd
import pytest

from dishvl_lib.core import paths, records

sys.path.insert(0, str(paths.PROJECT_ROOT / "tests"))
import chain
from toys import Server, completion

KEY = "sk-canary/7f3a91c0d2+e5b8"
FORMS = (KEY.encode(), base64.b64encode(KEY.encode()), KEY.replace("/", "\\/").encode())
ANNOTATION = """annotators:
  - name: echo
    base_url: "{base_url}"
    model: m
    api_key_env: CANARY_KEY
    price_input: 1.0
    price_output: 1.0
    concurrency: 2
budget: {{USD: 5.0}}
"""


class Echo(Server):
    """Answers every first try of a request with an error that repeats the Authorization header, and
    then with a reply that does.
    """

    def __init__(self, status=500):
        super().__init__(lambda request: self.echo(request))
        self.status = status
        self.tried = set()

    def echo(self, request):
        header = self.keys[-1]
        text = json.dumps(request["messages"])
        if self.status == 401 or text not in self.tried:
            self.tried.add(text)
            return (
                self.status,
                {"error": {"message": f"you sent {header}", "type": header, "code": f"x {header}"}},
                {"X-Echo": header},
            )
        if request["response_format"]["json_schema"]["name"] == "dish_texts":
            return 200, completion({"introduction": f"用了 {header}", "recipe": f"1. {header}"})
        return 200, completion(
            {"name": f"菜{zlib.crc32(text.encode())}", "cuisine": header, "flavor": [KEY]}
        )


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return chain.draw(tmp_path_factory.mktemp("canary") / "drawn")


def run(folder, photos, base_url, monkeypatch, *arguments):
    monkeypatch.setenv("CANARY_KEY", KEY)
    profile = chain.profile(folder / "profile", photos)
    records.write_text(profile / "01_annotation.yaml", ANNOTATION.format(base_url=base_url))
    return chain.dishvl("run", profile, *arguments, outputs=folder / "outputs")


def leaks(outputs):
    """Every file below `outputs` that holds the key in some form; a Parquet file is looked at
    unpacked too.
    """
    files = [path for path in outputs.rglob("*") if path.is_file()]
    assert any(path.suffix == ".ipynb" for path in files)
    assert any(path.name == "journal.sqlite" for path in files)
    unpacked = {
        path: pd.read_parquet(path).to_csv().encode() for path in files if path.suffix == ".parquet"
    }
    return [
        path
        for path in files
        if any(form in path.read_bytes() + unpacked.get(path, b"") for form in FORMS)
    ]


def test_a_server_that_repeats_the_key_in_errors_and_in_replies_through_all_stages(
    photos, tmp_path, monkeypatch
):
    with Echo() as server:
        done = run(tmp_path, photos, server.base_url, monkeypatch)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert set(server.keys) == {f"Bearer {KEY}"}
    assert len(server.requests) == 4 * len([*chain.DISHES, chain.NEW])
    assert leaks(tmp_path / "outputs") == []
    assert KEY not in done.stdout + done.stderr
    answers = records.read_jsonl(tmp_path / "outputs" / "toy" / "01_annotation" / "answers.jsonl")
    assert all("[key]" in json.dumps(row, ensure_ascii=False) for row in answers), (
        "the replies did hold it"
    )


def test_a_server_that_repeats_the_key_when_it_refuses_it(photos, tmp_path, monkeypatch):
    with Echo(status=401) as server:
        done = run(tmp_path, photos, server.base_url, monkeypatch, "--to", "01")
    assert done.returncode != 0
    assert "CANARY_KEY" in done.stdout + done.stderr
    assert "was refused" in done.stdout + done.stderr
    assert leaks(tmp_path / "outputs") == []
    assert KEY not in done.stdout + done.stderr
    executed = Path(tmp_path / "outputs" / "toy" / "notebooks" / "01_annotation.ipynb").read_text(
        "utf-8"
    )
    assert "EndpointError" in executed, "the traceback is there, without the key"
    assert "[key]" in executed, "the traceback is there, without the key"
    assert os.environ["CANARY_KEY"] == KEY
