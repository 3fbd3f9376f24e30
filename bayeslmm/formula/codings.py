"""The codings of a factor that a formula can ask for, ``C(f, Sum)``.

Takes the second argument of ``C()`` as the parser found it; gives an `AskedCoding`, or
what to say of one that is unknown. R's names (``contr.sum``) and formulae's (``Sum``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bayeslmm.formula.nodes import Call, Name, Node, Number, String, render

CodingName = Literal["Treatment", "SAS", "Sum", "Helmert", "Poly"]

_NAMES: Mapping[str, CodingName] = {
    "treatment": "Treatment",
    "SAS": "SAS",
    "sum": "Sum",
    "helmert": "Helmert",
    "poly": "Poly",
}
# Parameters of Treatment: a level by its name, or its place from 1.
_BY_LEVEL, _BY_PLACE = ("reference", "ref"), "base"

WANTED = (
    'Treatment, Treatment("level"), SAS (last level as reference), Sum, Helmert or '
    "Poly; or R's contr.treatment, contr.treatment(base = 2), contr.SAS, contr.sum, "
    "contr.helmert, contr.poly"
)


@dataclass(frozen=True, slots=True)
class AskedCoding:
    """A coding: its kind and, for ``Treatment``, the reference.

    ``level`` is its name; where that is None, ``place`` is its place from 1.
    """

    kind: CodingName
    level: str | None = None
    place: int = 1


def factor_coding(node: Node) -> AskedCoding | None:
    """The coding that ``C(f, ...)`` asks for, None for any other node."""
    if not isinstance(node, Call) or node.function != "C" or len(node.args) < 2:
        return None
    return read_coding(node.args[1])


def read_coding(asked: Node) -> AskedCoding | None:
    """The coding that a second argument of ``C()`` names, None if it names none."""
    name = asked.function if isinstance(asked, Call) else ""
    name = asked.name if isinstance(asked, Name) else name
    kind = _NAMES.get(name.removeprefix("contr."))
    for known in _NAMES.values():
        kind = known if name == known else kind
    if kind is None:
        return None
    given: list[tuple[str, Node]] = []
    if isinstance(asked, Call):
        given += [(_BY_LEVEL[0], value) for value in asked.args] + [*asked.keywords]
    if not given:
        return AskedCoding(kind)
    return _treatment(*given[0]) if kind == "Treatment" and len(given) == 1 else None


def _treatment(key: str, value: Node) -> AskedCoding | None:
    """Treatment with a reference, None if that is none."""
    if key == _BY_PLACE:
        place = value.value if isinstance(value, Number) else 0.0
        whole = place >= 1.0 and place % 1.0 == 0.0
        return AskedCoding("Treatment", place=int(place)) if whole else None
    if key in _BY_LEVEL and isinstance(value, String | Number):
        level = value.value if isinstance(value, String) else render(value)
        return AskedCoding("Treatment", level)
    return None
