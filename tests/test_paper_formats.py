"""Tables for papers in every format: what is read back is what was put in."""

import builtins
import csv
import io
import re
import xml.etree.ElementTree as ET
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from paper_cases import ODD, odd_fit
from sampling import unchecked

import bayeslmm as lmm
from bayeslmm.reporting.cells import aligned, one_line
from bayeslmm.reporting.latex import KNOWN, escaped, latex
from bayeslmm.reporting.markdown import markdown
from bayeslmm.reporting.tables import TextTable
from bayeslmm.reporting.web import html_table

pytestmark = pytest.mark.usefixtures("user_speed")
CAPTION = "Pupils & 100% of_them: {a} [b](c) <i>"


@pytest.fixture(scope="module")
def odd():
    """A table with labels, names and a caption that every format must escape."""
    with unchecked():
        fit = odd_fit()
        return lmm.model_table(
            fit,
            fit,
            names=["<script>alert(1)</script>", "a|b\n$c$"],
            caption=CAPTION,
            label="tab:odd",
            statistic=("se", "interval", "p"),
            labels={"edu": "\x00 edu\t\ud800 x"},
        )


def plain(layout):
    """Every text of a layout as it should be read."""
    cells = [cell for _, row in layout.rows for cell in row]
    lines = [line for cell in cells for line in cell.split("\n")]
    sections = [name for name, _ in layout.rows]
    texts = (*lines, *sections, *layout.header, *layout.notes)
    return [one_line(text) for text in texts if text]


# --- numbers below each other ---------------------------------------------------------


@given(st.lists(st.decimals(-5000, 5000, places=3).map(lambda d: f"{d.normalize():f}")))
def test_numbers_are_as_wide_as_the_widest(numbers):
    column = [numbers[0], *numbers, "", "[1, 2]"] if numbers else ["x"]
    lines = [line for cell in aligned(column) for line in cell]
    own = [line for line in lines if re.fullmatch(r"-?\d+(\.\d+)?", line.text)]
    widths = {len(line.left) + len(line.text) + len(line.right) for line in own}
    assert len(widths) <= 1
    points = {len(line.left) + len(line.text.partition(".")[0]) for line in own}
    assert len(points) <= 1
    assert [line.text for line in lines] == column
    assert all(not line.left + line.right for line in lines if line not in own)


# --- LaTeX ----------------------------------------------------------------------------


def test_latex_is_balanced_and_escaped(odd):
    text = str(lmm.PaperTable(odd.frame, odd.layout, odd.label, "latex"))
    body = re.sub(r"(?m)^%.*$", "", text)
    bare = body.replace("\\\\", "").replace("\\{", "").replace("\\}", "")
    depth = np.cumsum([{"{": 1, "}": -1}.get(sign, 0) for sign in bare])
    assert depth[-1] == 0
    assert depth.min() == 0
    assert re.findall(r"\\begin{(\w+)}", text) == ["table", "tabular", "minipage"]
    assert re.findall(r"\\end{(\w+)}", text) == ["tabular", "minipage", "table"]
    assert not re.search(r"(?<!\\)[#%_&]", re.sub(r" & ", "", body).replace("\\$", ""))
    rows = body.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    for row in rows:
        if "multicolumn" not in row and row != r"\addlinespace":
            assert len(re.findall(r"(?<!\\)&", row)) == 2, row
            assert row.endswith(r"\\")
    assert r"\label{tab:odd}" in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1


def test_latex_letters_are_read_back():
    back = {code: sign for sign, code in KNOWN.items()}
    signs = 'a%_&#${}~^\\|<>"`βμ−²x'
    codes = "|".join(map(re.escape, sorted(back, key=len, reverse=True)))
    text = escaped(signs)
    read = [back.get(c) or c for c in re.findall(f"{codes}|.", text)]
    assert "".join(read) == signs
    assert escaped("a--b---c").replace("{}", "") == "a--b---c"
    assert "--" not in escaped("a--b---c")


def test_latex_says_what_it_needs(odd):
    assert "lualatex" in latex(odd.layout)
    plain_table = TextTable("", ("", "a"), (("", ("x", "-1.5")),))
    assert "lualatex" not in latex(plain_table)
    assert "booktabs" in latex(plain_table)
    assert "x & $-$1.5 \\\\" in latex(plain_table)
    first = TextTable("", ("", "a"), (("", ("[x]", "1")), ("", ("*y", "-"))))
    assert "\n{}[x] & 1" in latex(first)  # after \\ a bracket is an option
    assert "\n{}*y & --" in latex(first)


def test_a_long_label_is_whole():
    long = TextTable("", ("", "a"), (("", ("x" * 10_000, "1.5")),))
    assert r"\begin{tabular}{p{0.4\linewidth}r}" in latex(long)
    assert r"\begin{tabular}{lr}" in latex(TextTable("", ("", "a"), ()))
    assert "x" * 10_000 in html_table(long)
    assert "x" * 10_000 in markdown(long)


# --- Markdown -------------------------------------------------------------------------


def test_markdown_is_one_table_that_lines_up(odd):
    from markdown_it import MarkdownIt

    text = str(odd)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    from rich.cells import cell_len

    assert len({cell_len(row) for row in rows}) == 1
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    inline = [token for token in tokens if token.type == "inline"]
    kinds = {child.type for token in inline for child in token.children or ()}
    assert kinds <= {
        "text",
        "text_special",
        "em_open",
        "em_close",
        "hardbreak",
        "softbreak",
    }
    read = ["".join(c.content for c in token.children or ()) for token in inline]
    for one in plain(odd.layout):
        assert any(one in line for line in read), one
    assert sum(token.type == "table_open" for token in tokens) == 1
    widths = [token for token in tokens if token.type in ("th_open", "td_open")]
    assert len(widths) % len(odd.layout.header) == 0


# --- HTML -----------------------------------------------------------------------------


def test_html_is_a_table_with_heads(odd):
    fragment = html_table(odd.layout, odd.label).replace("<br>", "<br/>")
    tree = ET.fromstring(f"<div>{fragment}</div>")
    (table,) = tree.findall(".//table")
    assert table.get("id") == "tab:odd"
    (caption,) = table.findall("caption")
    assert "".join(caption.itertext()) == CAPTION
    assert {e.tag for e in tree.iter()} <= {
        "div",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "bdi",
        "br",
        "p",
        "em",
    }
    heads = ["".join(e.itertext()) for e in table.findall("thead/tr/*")]
    assert heads == [one_line(name) for name in odd.layout.header]
    rows = [row for row in table.findall("tbody/tr") if row.find("td") is not None]
    assert len(rows) == len(odd.layout.rows)
    for row, (_, cells) in zip(rows, odd.layout.rows, strict=True):
        label, *values = row
        assert label.get("scope") == "row"
        assert "".join(label.itertext()) == one_line(cells[0])
        for element, cell in zip(values, cells[1:], strict=True):
            lines = [text.strip("\u2007\u2008") for text in element.itertext()]
            assert [line.replace("−", "-") for line in lines] == [
                line for line in cell.split("\n") if line
            ]
    groups = table.findall("tbody/tr/th[@scope='rowgroup']")
    assert [e.get("colspan") for e in groups] == ["3"] * len(groups)


# --- CSV ------------------------------------------------------------------------------


def test_csv_has_every_digit(odd, tmp_path):
    path = odd.save(tmp_path / "odd.csv")
    read = pd.read_csv(path, dtype=str, keep_default_na=False)
    raw = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert len(raw) == len(odd.frame)
    for name in ("estimate", "se", "df", "t", "p", "lower", "upper"):
        column = [float(text or "nan") for text in read[name]]
        np.testing.assert_array_equal(column, odd.frame[name])
    assert f"kind[{ODD[2]}]" in [row["label"] for row in raw]


# --- Word -----------------------------------------------------------------------------


def test_word_has_real_tables(odd, tmp_path):
    docx = pytest.importorskip("docx")
    path = odd.save(tmp_path / "odd.docx")
    document = docx.Document(str(path))
    (table,) = document.tables
    read = [[cell.text for cell in row.cells] for row in table.rows]
    assert read[0] == [one_line(name) for name in odd.layout.header]
    rows = [row for row in read[1:] if len({*row}) > 1 or row[0] == "Method"]
    for row, (_, cells) in zip(rows, odd.layout.rows, strict=True):
        assert row[0] == one_line(cells[0])
        for text, cell in zip(row[1:], cells[1:], strict=True):
            lines = [line.strip("\u2007\u2008") for line in text.split("\n")]
            own = "\n".join(lines).replace("−", "-").replace("\u00a0", " ")
            assert own == cell
    texts = [paragraph.text for paragraph in document.paragraphs]
    assert texts[0] == CAPTION
    assert f"Note. {one_line(odd.layout.notes[0])}" in texts
    with zipfile.ZipFile(path) as held:
        xml = held.read("word/document.xml").decode()
    assert xml.count("w:tblHeader") == 1
    assert xml.count('<w:top w:val="single"') == 1
    assert xml.index("w:tblBorders") < xml.index("w:tblLook")  # the schema's order


def test_word_without_python_docx_says_what_to_install(odd, tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.startswith("docx"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(lmm.ModelError, match=r"pip install 'bayeslmm\[docx\]'"):
        odd.save(tmp_path / "odd.docx")
    assert not (tmp_path / "odd.docx").exists()


def test_twenty_models_go_on_in_further_tables(tmp_path):
    docx = pytest.importorskip("docx")
    with unchecked():
        fit = odd_fit()
    table = lmm.model_table(*[fit] * 20)
    assert len(table.layout.header) == 21
    document = docx.Document(str(table.save(tmp_path / "wide.docx")))
    heads = [[cell.text for cell in t.rows[0].cells] for t in document.tables]
    assert len(heads) > 1
    assert [name for head in heads for name in head[1:]] == [
        f"({i})" for i in range(1, 21)
    ]
    assert len({len(t.rows) for t in document.tables}) == 1
    page = document.sections[0]
    room = page.page_width - page.left_margin - page.right_margin
    for part in document.tables:
        assert sum(column.width for column in part.columns) <= room
    assert "sidewaystable" in table._repr_latex_()
    assert table._repr_html_().count('<th scope="col"') == 20


# --- files ----------------------------------------------------------------------------


def test_a_file_has_the_format_of_its_ending(odd, tmp_path):
    starts = {
        ".md": "Table: ",
        ".tex": "% needs",
        ".html": "<!doctype html>",
        ".csv": "model,formula,",
    }
    for ending, start in starts.items():
        path = odd.save(str(tmp_path / f"t{ending.upper()}"))
        assert path.read_text(encoding="utf-8").startswith(start)
    for name in ("t", "t.pdf", "t.doc"):
        with pytest.raises(lmm.OutputError, match=r"\.md, \.tex, \.html, \.docx"):
            odd.save(tmp_path / name)
    with pytest.raises(lmm.OutputError, match="could not be written"):
        odd.save(tmp_path / "nowhere" / "t.md")
