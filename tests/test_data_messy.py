"""Files with titles, stray separators, thousands and formulas (#8, 6)."""

import warnings

import pandas as pd
import pytest

import bayeslmm as lmm
from bayeslmm.errors import DataWarning, FormulaError, InputFileError

openpyxl = pytest.importorskip("openpyxl")


@pytest.fixture
def path(tmp_path):
    """Where a file is written."""
    return tmp_path / "a.csv"


@pytest.mark.parametrize(
    "text",
    [
        "y,x,g\n1.5,2,a\n2.5,3,b\n",
        "y,x,g,\n1.5,2,a,\n2.5,3,b,\n",
        "y,x,g,,,,\n1.5,2,a,,,,\n2.5,3,b,,,,\n",
        " y , x , g \n1.5,2,a\n2.5,3,b\n",
        "sep=;\ny;x;g\n1.5;2;a\n2.5;3;b\n",
        '\ufeff"sep=;"\r\ny;x;g\r\n1.5;2;a\r\n2.5;3;b\r\n',
        "y,x,g\r1.5,2,a\r2.5,3,b\r",
    ],
)
def test_what_programs_add_to_a_table_is_left_out(path, text):
    path.write_bytes(text.encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = lmm.read(path)
    assert found.to_dict("list") == {"y": [1.5, 2.5], "x": [2, 3], "g": ["a", "b"]}


def test_columns_whose_names_differ_in_spaces_are_twins(path):
    path.write_text("y,x,x ,g\n1.5,2,3,a\n2.5,3,4,b\n")
    assert [*lmm.read(path)] == ["y", "x", "x ", "g"]
    with pytest.raises(lmm.DataError, match="more than one column named 'x'"):
        lmm.Model("y ~ x + (1 | g)", lmm.read(path))


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("A study\n\ny,x\n1,2\n", "If the first line is a title"),
        ("# one\n# two\ny,x\n1,2\n", "Line 3 .* has 2 fields .* is a title"),
        ("A study,,\n,,\ny,x,g\n1,2,a\n", "names 1 of 3 columns, so it is no header"),
        ("y,x\n1,2\n3,4,5,6\n", "Line 3 .* 4 fields .* must stand in quotes"),
        ('y,x\n1,2\n3,"a\n', "quotation mark in row 2 under the header is not closed"),
        ("y x g\n1 2 a\n2 3 b\n", "one column, 'y x g'.* use sep=' '"),
        ("y   x  g\n1.5 2  a\n2.5 3  b\n", "use sep=' '"),
        ("PK\3\4\0\0", "an Excel workbook or a zip archive: give it the ending .xlsx"),
    ],
)
def test_lines_that_are_no_table_are_explained(path, text, advice):
    path.write_text(text)
    with pytest.raises(InputFileError, match=advice):
        lmm.read(path)


def test_columns_between_spaces_are_read_as_advised(path):
    path.write_text("  y   x  g\n1.5   2  a\n2.5  30  b\n")
    found = lmm.read(path, sep=" ")
    assert found.to_dict("list") == {"y": [1.5, 2.5], "x": [2, 30], "g": ["a", "b"]}


@pytest.mark.parametrize(
    ("text", "options", "settings"),
    [
        ('g,y\na,"12,190"\nb,"950"\n', {}, "thousands=','"),
        ('g,y\na,"12,190.50"\nb,"950.25"\n', {}, "thousands=','"),
        ("g;y\na;12.190,50\nb;950\n", {"sep": ";"}, "sep=';', decimal=',', t"),
        ("g;y\na;12.190,50\nb;950,25\n", {"decimal": ","}, "sep=';', decimal=',', t"),
        ("g;y\na;12 190,50\nb;950,25\n", {"decimal": ","}, "thousands=' '"),
        ("g;y\na;12\u202f190\nb;950\n", {"sep": ";"}, "thousands='.u202f'"),
    ],
)
def test_thousands_come_with_a_call_that_reads_them(path, text, options, settings):
    path.write_text(text)
    with pytest.raises(InputFileError, match=settings) as caught:
        lmm.read(path, **options)
    call = str(caught.value).split("give the frame ")[1].split(")")[0] + ")"
    frame = eval(call, {"pandas": pd, "path": path})  # ours, as advised
    assert frame["y"].tolist() in ([12190, 950], [12190.5, 950.25], [12190.5, 950])


def test_points_that_may_separate_thousands_are_said(path):
    path.write_text("y;x\n12.190;1.5\n9.502;2.5\n")
    with pytest.warns(DataWarning, match=r"'y' has three digits .*'12\.190'"):
        lmm.read(path, sep=";")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path.write_text("y;x\n12.190;0.345\n9.50;2.500\n")
        lmm.read(path, sep=";")


def test_texts_with_points_beside_decimal_commas_stay_text(path):
    path.write_text("y;version\n1,5;1.2\n2,5;1.10\n")
    assert lmm.read(path, decimal=",")["version"].tolist() == ["1.2", "1.10"]


# --- Excel ----------------------------------------------------------------------------


def workbook(path, rows, *, title="Data"):
    """A workbook of one sheet."""
    book = openpyxl.Workbook()
    book.active.title = title
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def test_numbers_that_are_text_with_a_comma_name_the_option(tmp_path):
    rows = [[" y ", "x\n(cm)"], ["1,5", 2], ["2,5", 3]]
    path = workbook(tmp_path / "a.xlsx", rows)
    with pytest.raises(InputFileError, match=r"'1,5'.*use decimal=','"):
        lmm.read(path)
    found = lmm.read(path, decimal=",")
    assert found.to_dict("list") == {"y": [1.5, 2.5], "x (cm)": [2, 3]}


def test_formulas_without_values_are_said(tmp_path):
    rows = [["y", "double"], [1, "=A2*2"], [2, "=A3*2"]]
    with pytest.warns(DataWarning, match="formulas of 'double' were never computed"):
        lmm.read(workbook(tmp_path / "a.xlsx", rows))


def test_a_column_that_is_missing_may_be_on_another_sheet(tmp_path):
    path = tmp_path / "a.xlsx"
    with pd.ExcelWriter(path) as writer:
        pd.DataFrame({"Read me": ["x"]}).to_excel(writer, sheet_name="Info")
        pd.DataFrame({"y": [1], "g": [2]}).to_excel(writer, sheet_name="Rows")
    with pytest.warns(DataWarning):
        data = lmm.read(path)
    with pytest.raises(FormulaError, match=r"sheet 'Info' was read.*sheet='Rows'"):
        lmm.Model("y ~ 1 + (1 | g)", data)
