"""Tables that people made, in the forms in which spreadsheets and editors save them."""

import sys

import openpyxl
import pytest

from dishvl_lib.core import given_tables
from dishvl_lib.core.records import RecordError

TEXT = "folder,name\na1,红烧鱼\na2,番茄炒蛋\n"
COLUMNS = ["folder", "name"]
READ = {"folder": ["a1", "a2"], "name": ["红烧鱼", "番茄炒蛋"]}
FORMS = {
    "UTF-8": TEXT.encode(),
    "UTF-8 with mark": TEXT.encode("utf-8-sig"),
    "GBK of Excel": TEXT.replace("\n", "\r\n").encode("gbk"),
    "GB18030": TEXT.encode("gb18030"),
    "Unicode text of Excel": TEXT.replace(",", "\t").replace("\n", "\r\n").encode("utf-16"),
    "UTF-16 LE without mark": TEXT.encode("utf-16-le"),
    "UTF-16 BE without mark": TEXT.encode("utf-16-be"),
    "semicolons": TEXT.replace(",", ";").encode(),
    "tabs": TEXT.replace(",", "\t").encode(),
    "full-width commas": TEXT.replace(",", "，").encode(),
    "a line that names the separator": ("sep=;\n" + TEXT.replace(",", ";")).encode(),
    "old Mac line ends": TEXT.replace("\n", "\r").encode(),
    "spaces and case in the heading": TEXT.replace("folder,name", " Folder , NAME").encode(),
    "Chinese headings": TEXT.replace("folder,name", "文件夹,菜品名称").encode("gbk"),
    "rows and columns of nothing": b"folder,name,,\na1,\xe7\xba\xa2\xe7\x83\xa7\xe9\xb1\xbc,,\n"
    + "a2,番茄炒蛋,,\n,,,\n\n".encode(),
}


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS.keys())
def test_every_form_reads_alike(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    assert given_tables.read(tmp_path / "t.csv", COLUMNS).to_dict("list") == READ


def test_the_index_is_the_line_as_an_editor_counts(tmp_path):
    (tmp_path / "t.csv").write_text('folder,name\n\n"a\nb",x\nc,y\n')
    assert given_tables.read(tmp_path / "t.csv", COLUMNS).index.tolist() == [3, 5]


def test_a_heading_means_the_column_that_is_needed(tmp_path):
    (tmp_path / "t.csv").write_text("图片,菜名\na.jpg,鱼\n")
    table = given_tables.read(tmp_path / "t.csv", ["path", "label"])
    assert table.to_dict("list") == {"path": ["a.jpg"], "label": ["鱼"]}


def test_a_guard_against_formulas_is_taken_off(tmp_path):
    (tmp_path / "t.csv").write_text("folder,name\n'-5,'=a\n-5,=a\n")
    table = given_tables.read(tmp_path / "t.csv", COLUMNS)
    assert table.to_dict("list") == {"folder": ["-5", "-5"], "name": ["=a", "=a"]}


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "is missing"),
        (b"", "it is empty"),
        (b" \n,,\n", "it is empty"),
        (b"folder,price\na,1\n", r"headings folder \(文件夹\), name \(菜名\).*no column name"),
        (b"folder,name\na,b\nc,d,e\n", "line 3 has 3 values under 2 headings"),
        (b"folder,folder,name\na,b,c\n", "two columns headed 'folder'"),
        ("folder,name\na,红烧鱼\nb,番茄".encode() + b"\xff\n", "line 3 is neither UTF-8"),
        (b"folder,name\na,\xff\xff\xff\n", "line 2 is neither UTF-8"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + b"x", "old kind; save it as CSV UTF-8"),
        (b"PK\x03\x04no workbook", "cannot be read as an Excel workbook"),
    ],
)
def test_what_is_no_table_is_told(tmp_path, content, message):
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(RecordError, match=message):
        given_tables.read(tmp_path / "t.csv", COLUMNS)


def workbook(path, *sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets):
        sheet = book.create_sheet(f"sheet {number}")
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_a_workbook_is_read_from_the_sheet_with_the_headings(tmp_path):
    table = [["文件夹", "菜名", "价格"], ["a1", "红烧鱼", 12.5], [], [7.0, "-5", 8.0]]
    path = workbook(tmp_path / "t.xlsx", [["to do"]], table)
    read = given_tables.read(path, COLUMNS)
    assert read.to_dict("list") == {
        "folder": ["a1", "7"],
        "name": ["红烧鱼", "-5"],
        "price": ["12.5", "8"],
    }
    assert read.index.tolist() == [2, 4]


def test_without_openpyxl_a_workbook_is_refused_with_the_remedy(tmp_path, monkeypatch):
    path = workbook(tmp_path / "t.xlsx", [COLUMNS])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(RecordError, match=r"dishvl\[excel\].*or save it as CSV UTF-8"):
        given_tables.read(path, COLUMNS)


@pytest.mark.parametrize("heading", ["name,price", "菜品名称,单价"])
def test_prices_are_numbers_by_name(tmp_path, heading):
    path = tmp_path / "p.csv"
    path.write_text(f"{heading}\n红烧鱼 ,12.5\n米饭,0\n土豆丝,\n红烧鱼,12.50\n", "utf-8")
    assert given_tables.prices(path) == {"红烧鱼": 12.5, "米饭": 0.0}


@pytest.mark.parametrize("price", ["8元", "nan", "-1", "inf", '"8,5"'])
def test_what_is_no_price_is_named_by_its_line(tmp_path, price):
    path = tmp_path / "p.csv"
    path.write_text(f"name,price\n米饭,1\n红烧鱼,{price}\n", "utf-8")
    with pytest.raises(RecordError, match="line 3: .* is no price; write a number"):
        given_tables.prices(path)


def test_two_prices_of_one_dish_are_refused(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("name,price\n米饭,1\n米饭,2\n", "utf-8")
    with pytest.raises(RecordError, match="line 3: 米饭 has another price above"):
        given_tables.prices(path)
