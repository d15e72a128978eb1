"""Files between stages: whole or not there, read back as written, and refused with file, line or
column.
"""

import hashlib

import pandas as pd
import pytest

from dishvl_lib.core import records


class Stop(Exception):
    pass


def broken_rows():
    yield {"a": 1}
    raise Stop


@pytest.mark.parametrize("before", [None, "old"])
def test_an_exception_leaves_the_folder_as_it_was(tmp_path, before):
    file = tmp_path / "rows.jsonl"
    if before:
        file.write_text(before)
    with pytest.raises(Stop):
        records.write_jsonl(file, broken_rows())
    with pytest.raises(ValueError):
        records.write_json(file, {"bad": float("nan")})
    assert [p.name for p in tmp_path.iterdir()] == (["rows.jsonl"] if before else [])
    assert not before or file.read_text() == before


def test_the_file_appears_only_at_the_end_under_a_temporary_name_beside_it(tmp_path):
    file = tmp_path / "deep" / "x.parquet"
    with records.atomic_path(file) as temporary:
        temporary.write_text("half")
        assert not file.exists()
        assert temporary.parent == file.parent
        assert temporary.suffix == ".parquet"
        assert temporary.name.startswith(".")
    assert file.read_text() == "half"
    assert [p.name for p in file.parent.iterdir()] == ["x.parquet"]


def test_a_name_as_long_as_a_file_system_allows_can_be_written(tmp_path):
    file = tmp_path / ("鱼" * 80 + ".json")
    records.write_json(file, {"a": "鱼"})
    assert records.read_json(file) == {"a": "鱼"}


def test_json_lines_come_back_and_a_bad_line_is_named(tmp_path):
    file = tmp_path / "rows.jsonl"
    rows = [{"名": "鱼\u2028\n"}, {"n": 1.5, "none": None}]
    records.write_jsonl(file, rows)
    assert records.read_jsonl(file) == rows
    assert "鱼".encode() in file.read_bytes()
    assert file.read_bytes().count(b"\n") == 2
    with open(file, "a") as more:
        more.write('{"half": ')
    with pytest.raises(records.RecordError, match="rows.jsonl, line 3 is not valid JSON"):
        records.read_jsonl(file)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"[1]\n", "line 1 must be a JSON object, it is list"),
        (b'{"a": 1}\n\xff\n', "line 2 is not valid JSON"),
        (b"\n", "line 1 is not"),
    ],
)
def test_lines_that_are_no_records_are_refused(tmp_path, content, message):
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(records.RecordError, match=message):
        records.read_jsonl(tmp_path / "x.jsonl")


@pytest.mark.parametrize(
    "read, name",
    [
        (records.read_json, "x.json"),
        (records.read_jsonl, "x.jsonl"),
        (records.read_table, "x.csv"),
        (records.read_table, "x.parquet"),
    ],
)
def test_a_missing_file_is_named(tmp_path, read, name):
    with pytest.raises(records.RecordError, match=f"{name} is missing"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    "name, content",
    [
        ("x.json", b"{"),
        ("x.json", b"\xff"),
        ("x.csv", b""),
        ("x.csv", b"a,b\n\xff,1\n"),
        ("x.parquet", b"PAR1 nonsense"),
        ("x.parquet", b""),
    ],
)
def test_a_malformed_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(records.RecordError, match=name):
        (records.read_json if name.endswith("json") else records.read_table)(tmp_path / name)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_keep_ids_as_text_and_odd_characters(tmp_path, suffix):
    table = pd.DataFrame(
        {"id": ["007", "NA", "", "1e5"], "path": ['a,"b"', "line\nbreak", "鱼", "-x "]}
    )
    records.write_table(tmp_path / f"t{suffix}", table)
    assert records.read_table(tmp_path / f"t{suffix}", ["id", "path"]).to_dict(
        "list"
    ) == table.to_dict("list")


def test_a_carriage_return_survives_csv(tmp_path):
    records.write_table(tmp_path / "t.csv", pd.DataFrame({"path": ["a\rb", "c"]}))
    assert records.read_table(tmp_path / "t.csv")["path"].tolist() == ["a\rb", "c"]


def test_a_csv_from_a_spreadsheet_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "t.csv").write_bytes("\ufefffolder,name\nGX4_6,鱼\n".encode())
    assert records.read_table(tmp_path / "t.csv", ["folder"]).folder.tolist() == ["GX4_6"]


def test_missing_columns_are_named_with_those_that_are_there(tmp_path):
    (tmp_path / "t.csv").write_text("folder,nmae\n1,2\n")
    with pytest.raises(
        records.RecordError, match="t.csv: no column name, dish; it has folder, nmae"
    ):
        records.read_table(tmp_path / "t.csv", ["folder", "name", "dish"])


def test_fingerprints(tmp_path):
    assert (
        records.fingerprint({"a": 1, "b": [2, "鱼"]})
        == records.fingerprint({"b": [2, "鱼"], "a": 1})
        != records.fingerprint({"a": 1, "b": ["鱼", 2]})
    )
    (tmp_path / "x").write_bytes(b"abc")
    assert records.sha256_file(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()
