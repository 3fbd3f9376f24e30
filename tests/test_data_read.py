"""Files as people have them: `lmm.read` and the options of the command line (#8, 6)."""

import io
import json
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_cases import INTERCEPTS, run

import bayeslmm as lmm
from bayeslmm.data import file_hash, origin_of
from bayeslmm.errors import DataWarning, InputFileError, ModelError
from bayeslmm.reporting.record import record_lines, record_of

openpyxl = pytest.importorskip("openpyxl")
pyreadstat = pytest.importorskip("pyreadstat")

LABELS = {"arm": {1: "control", 2: "low", 3: "high"}, "pain": {1: "none", 5: "most"}}


@pytest.fixture
def frame():
    """Numbers with decimals, whole numbers, text with accents, codes."""
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "score": rng.normal(size=30).round(2),
            "edu": np.arange(30) % 7,
            "name": ["René", "Ana", "Zoë"] * 10,
            "arm": np.arange(30) % 3 + 1,
            "pain": np.arange(30) % 5 + 1,
        }
    )


def zipped(frame, path):
    """A zip archive with one file."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner.csv", frame.to_csv(index=False))


WRITERS = {
    "a.csv": lambda d, p: d.to_csv(p, index=False),
    "a.tsv.gz": lambda d, p: d.to_csv(p, index=False, sep="\t"),
    "a.csv.bz2": lambda d, p: d.to_csv(p, index=False),
    "a.csv.xz": lambda d, p: d.to_csv(p, index=False),
    "a.zip": zipped,
    "a.xlsx": lambda d, p: d.to_excel(p, index=False),
    "a.parquet": lambda d, p: d.to_parquet(p),
    "a.feather": lambda d, p: d.to_feather(p),
    "a.dta": lambda d, p: d.to_stata(p, write_index=False),
    "a.sav": lambda d, p: pyreadstat.write_sav(d, str(p)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_of_any_kind_is_the_frame(frame, tmp_path, name):
    WRITERS[name](frame, tmp_path / name)
    found = lmm.read(tmp_path / name)
    pd.testing.assert_frame_equal(found, frame, check_dtype=False)
    origin = origin_of(found)
    assert origin.file == name
    assert len(origin.sha256) == 64


@pytest.mark.parametrize(
    ("write", "options"),
    [
        ({"sep": ";", "decimal": ","}, {"decimal": ","}),
        ({"sep": "\t", "decimal": ","}, {"decimal": ",", "sep": "\t"}),
        ({"decimal": ",", "quoting": 1}, {"decimal": ","}),
        ({"encoding": "cp1252"}, {"encoding": "cp1252"}),
        ({"encoding": "utf-16"}, {"encoding": "utf-16"}),
        ({"encoding": "utf-8-sig"}, {}),
        ({"sep": "|"}, {"sep": "|"}),
    ],
)
def test_text_is_read_as_it_was_written(frame, tmp_path, write, options):
    frame.to_csv(tmp_path / "a.csv", index=False, **write)
    found = lmm.read(tmp_path / "a.csv", **options)
    pd.testing.assert_frame_equal(found, frame, check_dtype=False)


@pytest.mark.parametrize(
    ("write", "options", "advice"),
    [
        ({"sep": ";", "decimal": ","}, {}, "decimal mark: use decimal=','"),
        ({"decimal": ",", "quoting": 1}, {}, "'score'.*decimal comma.*decimal=','"),
        ({"sep": ";", "decimal": ","}, {"sep": ";"}, "'score'.*use decimal=','"),
        ({}, {"decimal": ","}, "decimal point, .*leave decimal=',' out"),
        ({"encoding": "cp1252"}, {}, r"reads '.*René.*encoding='cp1252'"),
        ({"encoding": "utf-16"}, {}, "encoding='utf-16'"),
        ({"encoding": "utf-16-le"}, {}, "encoding='utf-16-le'"),
        ({}, {"encoding": "ascii"}, "It is UTF-8: use encoding='utf-8'"),
        ({}, {"sheet": "Data"}, "sheet is for Excel files"),
    ],
)
def test_the_error_names_the_option_that_would_work(
    frame, tmp_path, write, options, advice
):
    frame.to_csv(tmp_path / "a.csv", index=False, **write)
    with pytest.raises(InputFileError, match=f"(?s){advice}"):
        lmm.read(tmp_path / "a.csv", **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"decimal": "x"}, "decimal must be '.' or ','"),
        ({"encoding": "utf9"}, "no encoding 'utf9'. Did you mean 'utf-8'"),
        ({"sep": ";|,"}, "is not a separator"),
        ({"na": {"x": 1}}, "na must be text"),
        ({"na": [None]}, "na must be text"),
        ({"sheet": True}, "sheet must be the name"),
    ],
)
def test_an_option_that_cannot_be_is_refused(csv, options, words):
    with pytest.raises(ModelError, match=words):
        lmm.read(csv, **options)


def test_commas_that_are_no_decimal_marks_can_be_text(tmp_path):
    (tmp_path / "a.csv").write_text('y,x\n1,"1,3"\n2,"2"\n')
    with pytest.raises(InputFileError, match=r"If these are texts, .*decimal='\.'"):
        lmm.read(tmp_path / "a.csv")
    assert lmm.read(tmp_path / "a.csv", decimal=".")["x"].tolist() == ["1,3", "2"]


def test_thousands_are_named_too(tmp_path):
    (tmp_path / "a.csv").write_text('y,x\n1,"1,300"\n2,"2,000,000"\n')
    with pytest.raises(InputFileError, match="separates thousands, take it out"):
        lmm.read(tmp_path / "a.csv", decimal=None)


def test_text_that_was_read_in_a_wrong_encoding_is_said(frame, tmp_path):
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.warns(DataWarning, match="looks like UTF-8.*'.*RenÃ©"):
        lmm.read(tmp_path / "a.csv", encoding="latin-1")


@pytest.mark.parametrize("name", ["a.xlsx", "a.feather", "a.dta", "a.sav"])
def test_a_file_of_another_kind_than_its_ending_is_told(name, tmp_path):
    """A CSV called .xlsx was "not a zip file"."""
    (tmp_path / name).write_text("y,g\n1,Zoë\n2,b\n", encoding="latin-1")
    with pytest.raises(InputFileError, match=r"is a text file .*the ending .*'a\.csv'"):
        lmm.read(tmp_path / name)
    (tmp_path / name).write_text("y,g\n1,a\xa0b\n", encoding="utf-8-sig")  # Excel's
    with pytest.raises(InputFileError, match="is a text file"):
        lmm.read(tmp_path / name)
    (tmp_path / name).write_bytes(bytes(range(256)) * 8)
    with pytest.raises(InputFileError, match="cut off or corrupt, or of another kind"):
        lmm.read(tmp_path / name)


# --- missing values -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx"])
def test_a_level_may_be_called_na(name, tmp_path):
    """R's na.strings = "": Namibia was a missing value, whatever was asked for."""
    frame = pd.DataFrame({"y": [1.5, 2.5, None, 4.5], "land": ["NA", "DE", "NA", None]})
    if name.endswith("xlsx"):
        frame.to_excel(tmp_path / name, index=False)
    else:
        frame.to_csv(tmp_path / name, index=False)
    found = lmm.read(tmp_path / name, na="")
    assert found["land"].tolist()[:3] == ["NA", "DE", "NA"]
    assert found.isna().to_numpy().tolist()[2:] == [[True, False], [False, True]]
    assert lmm.read(tmp_path / name)["land"].isna().sum() == 3
    assert lmm.read(tmp_path / name, na=["", "DE"])["land"].isna().sum() == 2
    # a comma too many is no empty text
    assert lmm.read(tmp_path / name, na="DE,")["land"].isna().sum() == 4


@pytest.mark.parametrize("na", [".,?", [".", "?"], ". , ?"])
def test_texts_can_be_missing_values(tmp_path, na):
    (tmp_path / "a.csv").write_text("y,x\n1,2\n.,3\n4,?\n,NA\n")
    found = lmm.read(tmp_path / "a.csv", na=na)
    assert found.isna().sum().tolist() == [2, 2]
    assert all(dtype.kind == "f" for dtype in found.dtypes)


@pytest.mark.parametrize("name", ["a.xlsx", "a.feather", "a.dta", "a.sav", "a.csv"])
def test_numbers_can_be_missing_values_in_any_file(frame, tmp_path, name):
    WRITERS[name](frame.assign(edu=frame["edu"] - 99), tmp_path / name)
    found = lmm.read(tmp_path / name, na="-99")
    assert found["edu"].isna().sum() == (frame["edu"] == 0).sum()


def test_none_is_a_level_and_no_missing_value(tmp_path):
    (tmp_path / "a.csv").write_text("y,arm\n1,None\n2,drug\n")
    assert lmm.read(tmp_path / "a.csv")["arm"].tolist() == ["None", "drug"]


# --- Excel ----------------------------------------------------------------------------


@pytest.fixture
def book(frame, tmp_path):
    """Two sheets."""
    with pd.ExcelWriter(tmp_path / "b.xlsx") as writer:
        frame.to_excel(writer, sheet_name="Data", index=False)
        frame.head(3).to_excel(writer, sheet_name="Notes", index=False)
    return tmp_path / "b.xlsx"


def test_the_first_sheet_is_read_and_that_is_said(book):
    with pytest.warns(DataWarning, match="sheet 'Data' was read.*sheet='Notes'"):
        assert len(lmm.read(book)) == 30
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(lmm.read(book, sheet="Data")) == 30
        assert len(lmm.read(book, sheet=2)) == len(lmm.read(book, sheet="Notes")) == 3


def test_a_sheet_that_is_missing_is_offered_the_nearest(book):
    with pytest.raises(InputFileError, match=r"Date'\. Did you mean 'Data'"):
        lmm.read(book, sheet="Date")
    with pytest.raises(
        InputFileError, match=r"no sheet 3\. There are: 'Data', 'Notes'"
    ):
        lmm.read(book, sheet=3)


def test_a_title_above_the_header_is_no_header(frame, tmp_path):
    with pd.ExcelWriter(tmp_path / "a.xlsx") as writer:
        frame.to_excel(writer, sheet_name="S", index=False, startrow=2)
        writer.sheets["S"]["A1"] = "Results of the trial"
    with pytest.raises(InputFileError, match="Delete the rows above the header"):
        lmm.read(tmp_path / "a.xlsx")


def test_an_empty_sheet(tmp_path):
    pd.DataFrame().to_excel(tmp_path / "a.xlsx")
    with pytest.raises(InputFileError, match="has no rows under a header"):
        lmm.read(tmp_path / "a.xlsx")


@pytest.mark.parametrize(
    ("library", "name"), [("openpyxl", "a.xlsx"), ("pyreadstat", "a.sav")]
)
def test_a_library_that_is_not_there_is_named(
    frame, tmp_path, monkeypatch, library, name
):
    WRITERS[name](frame, tmp_path / name)
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(InputFileError, match=rf"install {library}: pip .*\[files\]"):
        lmm.read(tmp_path / name)


# --- Stata and SPSS -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.dta", "a.sav"])
def test_labels_become_categories_where_each_value_has_one(frame, tmp_path, name):
    if name == "a.dta":
        frame.to_stata(tmp_path / name, write_index=False, value_labels=LABELS)
    else:
        pyreadstat.write_sav(frame, str(tmp_path / name), variable_value_labels=LABELS)
    with pytest.warns(DataWarning, match="read as numbers: 'pain' .1 is 'none'."):
        found = lmm.read(tmp_path / name)
    assert found["arm"].cat.categories.tolist() == ["control", "low", "high"]
    assert found["arm"].astype(str).head(3).tolist() == ["control", "low", "high"]
    assert found["pain"].tolist() == frame["pain"].tolist()


@pytest.mark.parametrize("name", ["a.dta", "a.sav"])
def test_two_values_with_one_label_stay_numbers(frame, tmp_path, name):
    labels = {"arm": {1: "control", 2: "drug", 3: "drug"}}
    if name == "a.dta":
        frame.to_stata(tmp_path / name, write_index=False, value_labels=labels)
    else:
        pyreadstat.write_sav(frame, str(tmp_path / name), variable_value_labels=labels)
    with pytest.warns(DataWarning, match="two values of 'arm' have one label"):
        assert lmm.read(tmp_path / name)["arm"].tolist() == frame["arm"].tolist()


# --- what cannot be read --------------------------------------------------------------

BAD = {
    "a.xlsx": (b"hello", "cannot be read as an Excel workbook"),
    "a.feather": (b"hello", "cannot be read as Feather"),
    "a.dta": (b"hello", "cannot be read as a file of Stata"),
    "a.sav": (b"hello", "cannot be read as a file of SPSS"),
    "a.csv.gz": (b"hello", "cannot be (uncompressed|opened)"),
    "a.csv.xz": (b"hello", "cannot be uncompressed"),
    "a.zip": (b"hello", "cannot be uncompressed"),
    "a.xls": (b"x", "Save it as .xlsx or CSV"),
    "a.rds": (b"x", "write.csv"),
    "a.sas7bdat": (b"x", "Export it as CSV"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_not_what_its_ending_says(tmp_path, name):
    content, words = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputFileError, match=words):
        lmm.read(tmp_path / name)


def test_an_archive_of_two_files(frame, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("one.csv", frame.to_csv())
        archive.writestr("two.csv", frame.to_csv())
    with pytest.raises(InputFileError, match=r"holds 2 files .'one.csv', 'two.csv'"):
        lmm.read(tmp_path / "a.zip")


# --- two columns of one name ----------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx"])
def test_two_columns_of_one_name_matter_only_if_they_are_used(frame, tmp_path, name):
    twice = frame.assign(site=np.arange(30) % 6, other=1.0)
    twice.columns = [*frame.columns, "site", "edu"]
    WRITERS[name](twice, tmp_path / name)
    found = lmm.read(tmp_path / name)
    assert list(found.columns)[-1] == "edu.1"
    lmm.Model("score ~ 1 + (1 | site)", found)
    with pytest.raises(lmm.DataError, match="more than one column named 'edu'"):
        lmm.Model("score ~ edu + (1 | site)", found)
    lmm.Model("score ~ edu + (1 | site)", found.drop(columns="edu.1"))


# --- the command line and the report --------------------------------------------------


def test_the_command_line_reads_what_read_reads(folder, pupils):
    plain = pupils.astype({"classroom": str})
    plain.to_csv("a.csv", index=False)
    code, expected, _ = run("explain", "a.csv", INTERCEPTS)
    assert code == 0
    german = plain.astype({"edu": str})
    german["edu"] = german["edu"].str.replace(".", ",")
    german.loc[3, "edu"] = "-"
    german.to_csv("b.csv", index=False, sep=";", decimal=",", encoding="cp1252")
    options = ("--decimal", ",", "--encoding", "cp1252", "--na", "-,?")
    code, found, _ = run("explain", "b.csv", INTERCEPTS, *options)
    assert code == 0
    assert found.splitlines()[0] == expected.splitlines()[0]
    with pd.ExcelWriter("c.xlsx") as writer:
        pd.DataFrame({"a": [1]}).to_excel(writer, sheet_name="Notes", index=False)
        plain.to_excel(writer, sheet_name="Data", index=False)
    assert run("explain", "c.xlsx", INTERCEPTS, "--sheet", "Data")[1] == expected
    code, _, err = run("explain", "c.xlsx", INTERCEPTS, "--sheet", "Dat")
    assert code == 2
    assert "Did you mean 'Data'" in err


def test_the_report_names_the_file_of_a_frame(csv):
    model = lmm.Model(INTERCEPTS, lmm.read(csv))
    lines = "\n".join(record_lines(record_of(model, None), model))
    assert "data: pupils.csv" in lines
    assert f"SHA-256 of that file: {origin_of(lmm.read(csv)).sha256}" in lines
    bare = lmm.Model(INTERCEPTS, pd.read_csv(csv))
    assert "not a file" in "\n".join(record_lines(record_of(bare, None), bare))


def test_a_frame_that_knows_its_file_can_be_written(csv, tmp_path):
    """pandas writes `attrs` to Parquet as JSON."""
    data = lmm.read(csv)
    data.to_parquet(tmp_path / "a.parquet")
    data.to_csv(io.StringIO())
    assert origin_of(lmm.read(tmp_path / "a.parquet")).file == "a.parquet"


def test_a_fit_knows_the_file_also_on_the_command_line(csv, monkeypatch):
    """Also one that is read in batches, whose bytes are not read before."""
    monkeypatch.chdir(csv.parent)
    lmm.read(csv).to_parquet("large.parquet")
    monkeypatch.setattr("bayeslmm.design.source.LARGE", 0)
    code, _, _ = run(
        "fit", "large.parquet", INTERCEPTS, "--reml-only", "--out", "results"
    )
    assert code == 0
    data = json.loads(Path("results/summary.json").read_text())["data"]
    assert data["path"] == "large.parquet"
    assert data["sha256"] == file_hash(csv.parent / "large.parquet")
