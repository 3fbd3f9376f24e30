"""The command line: files, and how bad input ends."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_cases import INTERCEPTS, run

from bayeslmm.api.model import Model
from bayeslmm.data import file_hash, read
from bayeslmm.errors import InputFileError, OutputError
from bayeslmm.reporting.describe import describe_text
from bayeslmm.reporting.folder import check_writable

# --- files ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("p.csv", lambda d, p: d.to_csv(p, index=False)),
        ("p.tsv", lambda d, p: d.to_csv(p, index=False, sep="\t")),
        ("p.csv.gz", lambda d, p: d.to_csv(p, index=False)),
        ("p.parquet", lambda d, p: d.to_parquet(p)),
        ("p.PQ", lambda d, p: d.to_parquet(p)),
    ],
)
def test_tables_are_read_by_their_ending(tmp_path, pupils, name, write):
    plain = pupils.astype({"classroom": str})
    write(plain, tmp_path / name)
    found = read(tmp_path / name)
    pd.testing.assert_frame_equal(found, plain, check_dtype=False)


def test_a_separator_can_be_given(tmp_path, pupils):
    pupils.to_csv(tmp_path / "p.csv", index=False, sep=";")
    assert list(read(tmp_path / "p.csv", sep=";")) == list(pupils)
    pupils.to_csv(tmp_path / "tabs.csv", index=False, sep="\t")
    code, _, _ = run("explain", tmp_path / "tabs.csv", INTERCEPTS, "--sep", "\\t")
    assert code == 0


@pytest.mark.parametrize("sep", [";|,", r"\s+", "", "||", "\u00a7", "\n", '"'])
def test_a_separator_is_one_character(csv, sep):
    """Longer ones were regular expressions; an empty one was not there."""
    code, _, err = run("explain", csv, INTERCEPTS, "--sep", sep)
    assert code == 2
    assert "is not a separator: give one character" in err
    assert err.count("\n") == 1


def test_a_trailing_comma_in_every_line_is_an_empty_column(tmp_path):
    (tmp_path / "a.csv").write_text("y,x,\n1,2,\n3,4,\n")
    found = read(tmp_path / "a.csv")
    assert found[["y", "x"]].to_numpy().tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "ids",
    [
        [2**53, 2**53 + 1, None],
        [2**63 + 1, 2**63, None],
        [2**63 + 1, -5, None],
        [2**70 + 1, 2**70, None],
        [2**53, 2**53 + 1, 3],
    ],
)
def test_whole_numbers_of_a_text_file_stay_apart(tmp_path, ids):
    """With a missing value pandas reads them as floats, or as text."""
    lines = [f"{'' if v is None else v},{i}" for i, v in enumerate(ids)]
    (tmp_path / "a.csv").write_text("\n".join(["id,y", *lines, ""]))
    found = read(tmp_path / "a.csv")["id"]
    assert [None if pd.isna(v) else int(v) for v in found] == ids


def test_floats_and_text_of_a_text_file_stay_as_they_are(tmp_path):
    (tmp_path / "a.csv").write_text("x,s\n1e300,12345678901234567890a\n,b\n3.5,\n")
    found = read(tmp_path / "a.csv")
    assert found["x"].tolist()[::2] == [1e300, 3.5]
    assert found["s"].tolist()[:2] == ["12345678901234567890a", "b"]


def test_integers_of_a_parquet_file_stay_apart(tmp_path):
    ids = [2**53, 2**53 + 1, None]
    pq.write_table(pa.table({"id": pa.array(ids, pa.int64())}), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet")["id"]
    assert [None if pd.isna(v) else int(v) for v in found] == ids


def test_two_columns_of_one_name_in_a_parquet_file(tmp_path):
    table = pa.table([pa.array([1.0]), pa.array([2.0])], names=["a", "a"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputFileError, match="more than one column named 'a'"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_dictionary": False, "compression": "zstd"},
        {"data_page_version": "2.0"},
    ],
)
def test_the_account_says_whether_a_file_had_checksums(
    tmp_path, pupils, checked, settings
):
    path = tmp_path / "a.parquet"
    table = pa.Table.from_pandas(pupils)
    pq.write_table(table, path, write_page_checksum=checked, **settings)
    for data in (read(path), path):
        model = Model(INTERCEPTS, data)
        assert model.design.account.origin.checksums is checked
        said = "all agree" if checked else "has no page checksums"
        assert said in describe_text(model)
    assert Model(INTERCEPTS, pupils).design.account.origin is None


def test_one_column_is_a_table_too(tmp_path):
    (tmp_path / "y.csv").write_text("y\n1\n2\n")
    assert read(tmp_path / "y.csv").shape == (2, 1)


UNREADABLE = {
    "empty.csv": (b"", "is empty"),
    "blank.csv": (b"\n\n", "is empty"),
    "zeros.csv": (bytes(range(256)) * 9, "holds zero bytes"),
    "latin.csv": ("a,b\nL\u00e4rm,1\n".encode("latin-1"), "not UTF-8"),
    "semi.csv": (b"score;edu\n1;2\n", "--sep ';'"),
    "tabs.csv": (b"score\tedu\n1\t2\n", r"--sep '\\t'"),
    "comma.tsv": (b"score,edu\n1,2\n", "--sep ','"),
    "ragged.csv": (
        b"a,b\n1,2\n1,2,3,4\n",
        "Line 3 of 'ragged.csv' has 4 fields and the lines before it 2",
    ),
    "mixed.csv": (b"a;b\n1,5;2\n1,2,5;4\n", "--sep ';'"),
    "quote.csv": (
        b'a,b\n"1,2\n',
        "a quotation mark in row 1 under the header is not closed",
    ),
    "more.csv": (b"a,b\n0,1,2\n1,3,4\n", "1 more field than its first line.*row.names"),
    "later.csv": (
        b"a,b\n1,2\n1,3,4\n",
        "Line 3 of 'later.csv' has 3 fields and the lines before it 2",
    ),
    "commas.csv": (b"a,b\n1,2,\n3,4,\n", "empty in every row: each row ends in a ','"),
    "bad.parquet": (b"hello", "cannot be read as Parquet"),
    "book.xlsx": (b"PK", "cannot be read as an Excel workbook"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_unreadable_file_is_one_message(folder, name):
    content, words = UNREADABLE[name]
    Path(name).write_bytes(content)
    with pytest.raises(InputFileError, match=words):
        read(Path(name))
    code, out, err = run("fit", name, INTERCEPTS)
    assert (code, out) == (2, "")
    assert err.startswith("bayeslmm: ")
    assert name in err


def test_a_file_that_is_not_there_is_offered_the_nearest(csv):
    _, _, err = run("fit", "pupil.csv", INTERCEPTS)
    assert "There is no file 'pupil.csv'. Did you mean 'pupils.csv'?" in err
    assert "is a folder" in run("fit", ".", INTERCEPTS)[2]


def test_the_hash_is_that_of_the_bytes(csv):
    assert file_hash(csv) == hashlib.sha256(csv.read_bytes()).hexdigest()


def test_a_folder_is_checked_before_the_work_and_not_made(csv, monkeypatch):
    def fail(*_arguments, **_options):
        raise AssertionError("the work was started")

    monkeypatch.setattr(Model, "__init__", fail)
    for out in (csv, csv / "below"):
        code, shown, err = run("fit", csv, INTERCEPTS, "--out", out)
        assert (code, shown) == (3, "")
        assert "is a file, not a folder. Give another folder." in err
    check_writable(Path("new/deep"))
    assert not Path("new").exists()


def test_a_folder_that_refuses_files_is_an_error(folder, monkeypatch):
    def refuse(**_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(OutputError, match="Permission denied"):
        check_writable(folder)


# --- bad input ------------------------------------------------------------------------

BAD_FORMULAS = {
    "score ~ edu + 1|classroom": r"Write \(1 \| classroom\)",
    "score ~ edu %in% classroom + (1 | classroom)": "%in%",
    "score ~ edu + (edu | classroom": "bracket",
    "~ edu + (1 | classroom)": "no response",
    "score ~ edu": "no random term",
    "": "empty",
    "score ~ ed + (1 | classroom)": "Did you mean 'edu'",
    "score ~ edu + (1 | klassroom)": "Did you mean 'classroom'",
    "score ~ edu + (1 | one)": "1 level",
    "score ~ edu + (1 | row)": "60 levels for 60 rows",
    "constant ~ edu + (1 | classroom)": "constant",
    "text ~ edu + (1 | classroom)": "not numeric",
    "score ~ factor(row) * edu + (1 | classroom)": "60 rows for",
    'score ~ __import__("os") + (1 | classroom)': "runs no code",
}


@pytest.mark.parametrize("formula", BAD_FORMULAS)
def test_a_bad_formula_is_one_message(csv, formula):
    code, out, err = run("fit", csv, formula, "--out", "results")
    assert (code, out) == (2, "")
    assert err.startswith("bayeslmm: ")
    assert re.search(BAD_FORMULAS[formula], err)
    assert "Traceback" not in err
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--priors", "weka"), "Unknown prior set 'weka'. Did you mean 'weak'"),
        (("--family", "gausian"), "Did you mean 'gaussian'"),
        (("--family", "poisson", "--reml-only"), "REML exists for family 'gaussian'"),
        (("--weights", "negative"), "1 of 60 values is negative"),
        (("--weights", "wait"), "no column 'wait'"),
        (("--method", "nutz"), "Methods: auto, nuts, importance, quadrature, joint"),
        (("--draws", 0), "--draws"),
        (("--chains", "many"), "--chains"),
    ],
)
def test_a_bad_option_is_one_message(csv, options, words):
    code, out, err = run("fit", csv, INTERCEPTS, *options)
    assert (code, out) == (2, "")
    assert words in " ".join(err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d[:0], "no rows"),
        (lambda d: d.assign(score=np.nan), "All 60 values of the response"),
        (lambda d: d.assign(edu=d.edu.where(d.row > 0, np.inf)), "infinite in 1 of 60"),
    ],
)
def test_bad_data_are_one_message(csv, pupils, change, words):
    change(pupils).to_csv(csv, index=False)
    code, out, err = run("fit", csv, INTERCEPTS)
    assert (code, out) == (2, "")
    assert words in err
