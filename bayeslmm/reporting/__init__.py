"""Fits -> text, HTML and JSON; the room that formats numbers.

Takes a model and its fits; gives what a person reads (tables on a terminal, a
self-contained page, the formula explained) and what a program reads (``summary.json``).
"""

from bayeslmm.reporting.describe import describe_text
from bayeslmm.reporting.explain import explain_text
from bayeslmm.reporting.figures import save_figures
from bayeslmm.reporting.fit_tables import fit_tables
from bayeslmm.reporting.html import report
from bayeslmm.reporting.lesson import lesson
from bayeslmm.reporting.model_table import model_table
from bayeslmm.reporting.paper_tables import PaperTable, PaperTables
from bayeslmm.reporting.summary import summary_json

__all__ = [
    "PaperTable",
    "PaperTables",
    "describe_text",
    "explain_text",
    "fit_tables",
    "lesson",
    "model_table",
    "report",
    "save_figures",
    "summary_json",
]
