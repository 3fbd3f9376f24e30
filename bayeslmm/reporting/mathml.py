"""Mathematics as MathML, which browsers show without a library.

Takes symbols, names and numbers; gives elements as `Markup`. Names from the data are
escaped, and those that would push an equation aside lose their middle.
"""

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from bayeslmm.reporting.svg import short


def tag(name: str, *children: str, **attributes: str) -> Markup:
    """An element; what is not markup is escaped."""
    extra = Markup().join(
        Markup(' {}="{}"').format(key, value) for key, value in attributes.items()
    )
    inside = Markup().join(children)
    return Markup("<{n}{e}>{i}</{n}>").format(n=Markup(name), e=extra, i=inside)


def mi(name: str) -> Markup:
    """A symbol."""
    return tag("mi", name)


def mo(sign: str) -> Markup:
    """An operator."""
    return tag("mo", sign)


def mn(value: int | str) -> Markup:
    """A number."""
    return tag("mn", str(value))


def name_of(text: str) -> Markup:
    """A name from the data, upright; a long one without its middle."""
    return tag("mtext", short(text))


def row(*parts: str) -> Markup:
    """Parts side by side."""
    return tag("mrow", *parts)


def sub(base: str, below: str) -> Markup:
    """An index."""
    return tag("msub", base, below)


def sup(base: str, above: str) -> Markup:
    """A power."""
    return tag("msup", base, above)


def subsup(base: str, below: str, above: str) -> Markup:
    """An index and a power."""
    return tag("msubsup", base, below, above)


def matrix(rows: Iterable[Iterable[str]]) -> Markup:
    """A matrix in brackets."""
    cells = (tag("mtr", *(tag("mtd", cell) for cell in own)) for own in rows)
    return row(mo("("), tag("mtable", *cells), mo(")"))


def display(*parts: str) -> Markup:
    """An equation on a line of its own."""
    return tag("math", row(*parts), displaystyle="true")


def inline(*parts: str) -> Markup:
    """Mathematics within a line."""
    return tag("math", *parts)


def total(parts: Sequence[str]) -> list[str]:
    """Parts with a plus between them."""
    found: list[str] = []
    for i, part in enumerate(parts):
        found += [mo("+"), part] if i else [part]
    return found
