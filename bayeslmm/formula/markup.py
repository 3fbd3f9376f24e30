"""A heading and sentences as HTML, escaped, for notebooks. Needs nothing."""

import html
from collections.abc import Iterable


def sentence_list(head: str = "", sentences: Iterable[str] = ()) -> str:
    """One line above a list; either may be missing."""
    parts = [f"<p><strong>{html.escape(head)}</strong></p>"] if head else []
    items = "".join(f"<li>{html.escape(one)}</li>" for one in sentences)
    return "\n".join([*parts, f"<ul>{items}</ul>"] if items else parts)
