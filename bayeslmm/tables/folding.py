"""Long names of parameters on several lines, broken where a reader would."""

import re

BREAKS = re.compile(r"(?<=[\[\]|:,_ )])")  # a name may go on below after these


def folded(name: str, width: int) -> str:
    """A parameter's name on as many lines as it needs, none wider than `width`.

    ``subj_corr[Intercept:condition[incongruent]]`` breaks after signs; a word that is
    wider than a line is broken anywhere.
    """
    lines = [""]
    for part in BREAKS.split(name):
        pieces = [part[i : i + width] for i in range(0, len(part), width)]
        for piece in pieces:
            if len(lines[-1]) + len(piece) > width and lines[-1]:
                lines.append("")
            lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def ends_kept(name: str, longest: int) -> str:
    """A name with its middle left out where it is longer.

    Both ends stay: names often differ in their last letters only.
    """
    if len(name) <= longest:
        return name
    half = (longest - 1) // 2
    return f"{name[:half]}…{name[-half:]}"
