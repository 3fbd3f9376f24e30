"""Fits -> text, HTML and JSON; the room that formats numbers.

Takes a model and its fits; gives what a person reads (tables on a terminal, a
self-contained page, the formula explained) and what a program reads (``summary.json``).
"""

from bayeslmm.reporting.describe import describe_text
from bayeslmm.reporting.explain import explain_text
from bayeslmm.reporting.figures import save_figures
from bayeslmm.reporting.html import report
from bayeslmm.reporting.lesson import lesson
from bayeslmm.reporting.summary import summary_json

__all__ = [
    "describe_text",
    "explain_text",
    "lesson",
    "report",
    "save_figures",
    "summary_json",
]
