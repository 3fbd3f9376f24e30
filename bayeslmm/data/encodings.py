"""Which encoding a text file has, when it is not the one that it was read with.

Takes the bytes of a file; gives a sentence that names an encoding which works, and
shows how the place reads in it, for nobody can tell one 8-bit alphabet from another.
"""

import codecs

from bayeslmm.data.options import option

# In the order of how many files have them. The last has a character for every byte.
CANDIDATES = ("utf-8", "cp1252", "latin-1")
MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
AROUND = 12  # characters shown on either side of the first one in doubt


def encoding_advice(content: bytes, tried: str) -> str:
    """Sentence that names an encoding in which the bytes can be read."""
    found = working_encoding(content, tried)
    if found == "utf-8":
        return f"It is UTF-8: use {option('encoding', 'utf-8')}, or leave it out."
    if found.startswith("utf-16"):
        return f"It looks like UTF-16: use {option('encoding', found)}."
    return (
        f"In the encoding of Windows for western Europe it reads "
        f"{_excerpt(content, found)!r}: if that is right, use "
        f"{option('encoding', found)}; if not, try 'cp1250' (central Europe), 'cp1251' "
        f"(Cyrillic), 'mac_roman', or save it as UTF-8."
    )


def working_encoding(content: bytes, tried: str) -> str:
    """The first encoding, other than the one that was tried, that fits the bytes."""
    wide = wide_encoding(content)
    if wide:
        return wide
    for name in CANDIDATES:
        if codecs.lookup(name) != codecs.lookup(tried) and _decodes(content, name):
            return name
    return CANDIDATES[-1]


def wide_encoding(content: bytes) -> str | None:
    """UTF-16, by its mark or by the zero bytes of its letters; None if it is not."""
    if content[:2] in MARKS:
        return MARKS[content[:2]]
    start = content[:4096]
    for first, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = start[first::2], start[1 - first :: 2]
        if zeros and zeros.count(0) > 0.8 * len(zeros) and not others.count(0):
            return name
    return None


def garbled(content: bytes, encoding: str) -> str | None:
    """An excerpt of UTF-8 text that was read in an 8-bit encoding; None if it is not.

    Such a reading never fails: each letter with an accent becomes two others.
    """
    eight_bits = len("é".encode(encoding, errors="replace")) == 1
    if not eight_bits or content.isascii() or not _decodes(content, "utf-8"):
        return None
    return _excerpt(content, encoding)


def _decodes(content: bytes, encoding: str) -> bool:
    """Whether bytes are text in an encoding."""
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _excerpt(content: bytes, encoding: str) -> str:
    """The text around the first byte that is not ASCII."""
    at = next((i for i, byte in enumerate(content) if byte > 127), 0)
    line = content[content.rfind(b"\n", 0, at) + 1 :].split(b"\n")[0].rstrip(b"\r")
    text = line.decode(encoding, errors="replace")
    place = next((i for i, letter in enumerate(text) if ord(letter) > 127), 0)
    return text[max(place - AROUND, 0) : place + AROUND]
