"""Numbers, dates and times that are text, and how to convert them.

Takes the levels of a text column; gives sentences on what they hold. What was made text
on purpose (few codes) is not said.
"""

import re

from bayeslmm.data.numbers import number_in
from bayeslmm.errors import listed

MONTH = r"(jan|feb|mar|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-z]*\.?"
YEAR = r"(\d{4}|\d\d)"
DATE = re.compile(
    rf"(\d{{4}}([-/.])\d{{1,2}}\2\d{{1,2}}|\d{{1,2}}([./-])\d{{1,2}}\3{YEAR}"
    rf"|\d{{1,2}}\.?[ -]{MONTH},?[ -]{YEAR}|{MONTH} \d{{1,2}},? {YEAR})"
    r"([T ,]+\d{1,2}:\d\d.*)?",
    re.IGNORECASE,
)
DAY_FIRST = re.compile(r"(1[3-9]|2\d|3[01])[./-]\d{1,2}[./-].*|\d{1,2}\.\d{1,2}\..*")
TIME = re.compile(r"\d{1,2}:\d\d(:\d\d([.,]\d+)?)?( ?[ap]m)?", re.IGNORECASE)
# A number with a decimal comma, thousands, a unit of money or a per cent sign.
DRESSED = re.compile(
    r"[$€£]?\s*[+-]?\d{1,3}([ ,.'\xa0\u202f]?\d{3})*([.,]\d+)?\s*[%$€£]?"
)
COMMA_LAST = re.compile(r".*,(\d{1,2}|\d{4,})\D*|.*\..*,\d+\D*")
FEW = 30  # whole numbers as text with no more levels were made text on purpose
FEW_TIMES = 12  # clock times with no more levels are appointments


def textual_sentences(name: str, levels: tuple[str, ...]) -> list[str]:
    """Sentence on dates, times or numbers that became categories, if they are that."""
    texts, n = [level.strip() for level in levels], len(levels)
    if n > 2 and all(map(DATE.fullmatch, texts)):
        first = ", dayfirst=True" if any(map(DAY_FIRST.fullmatch, texts)) else ""
        return [
            f"{name!r} holds dates as text ({levels[0]!r}) and became {n} "
            f"categories: for a trend make it a number, such as days since the first: "
            f"(d - d.min()).dt.days with d = pandas.to_datetime(x{first})"
        ]
    if n > FEW_TIMES and all(map(TIME.fullmatch, texts)):
        return [
            f"{name!r} holds times as text ({levels[0]!r}) and became {n} "
            f"categories: for a trend make it a number, such as hours"
        ]
    how = conversion(levels)
    numbers = [number_in(level) for level in levels]
    plain = all(number is not None for number in numbers)
    whole = all(number is not None and number % 1 == 0 for number in numbers)
    on_purpose = (whole and n <= FEW) or (not plain and n <= 2)
    if how is None or on_purpose:
        return []
    what = "as text" if plain else "that are text for their signs"
    return [
        f"{name!r} holds numbers {what} ({listed(levels, 2)}) and became {n} "
        f"categories: convert it, {how}, or write factor({name}) if they are categories"
    ]


def conversion(levels: tuple[str, ...]) -> str | None:
    """How to make numbers of texts, in words for Python; None if they are none.

    Examples
    --------
    >>> conversion(("1", "2.5"))
    'pandas.to_numeric(x)'
    >>> conversion(("1,5", "2"))
    "lmm.read(path, decimal=',')"
    >>> conversion(("10%", "12.5%"))
    "pandas.to_numeric(x.str.replace('[^0-9.+-]', '', regex=True))"
    """
    if all(number_in(level) is not None for level in levels):
        return "pandas.to_numeric(x)"
    texts = [level.strip() for level in levels]
    if not all(map(DRESSED.fullmatch, texts)):
        return None
    if not any(map(COMMA_LAST.fullmatch, texts)):
        return "pandas.to_numeric(x.str.replace('[^0-9.+-]', '', regex=True))"
    if all(re.fullmatch(r"[+-]?\d+(,\d+)?", text) for text in texts):
        return "lmm.read(path, decimal=',')"
    return (
        "pandas.to_numeric(x.str.replace('[^0-9,+-]', '', regex=True)"
        ".str.replace(',', '.'))"
    )
