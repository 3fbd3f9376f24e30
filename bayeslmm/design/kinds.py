"""What Arrow columns hold: numbers, flags, text.

Takes Arrow types; gives the kind of each column, and says where kinds do not agree.
"""

from typing import TYPE_CHECKING, Literal

from bayeslmm.design.frame import repeated_names
from bayeslmm.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["integer", "real", "flag", "text", "null"]


def column_kinds(schema: "pa.Schema") -> tuple[dict[str, Kind], frozenset[str]]:
    """Kind of each column that can be used, and which declare their categories."""
    import pyarrow.types as pt

    if len(set(schema.names)) < len(schema.names):
        raise repeated_names(schema.names)
    strings = (schema.metadata or {}).get(b"bayeslmm_strings", b"").decode().split("\n")
    kinds = {field.name: kind_of(field.type) for field in schema}
    declared = {
        field.name
        for field in schema
        if pt.is_dictionary(field.type) and field.name not in strings
    }
    return kinds, frozenset(declared)  # pyright: ignore[reportReturnType]


def kind_of(type: "pa.DataType") -> Kind | str:
    """What a column of an Arrow type holds; the type's own name if it is of no use."""
    import pyarrow.types as pt

    if pt.is_integer(type):
        return "integer"
    if pt.is_floating(type) or pt.is_decimal(type):
        return "real"
    if pt.is_boolean(type):
        return "flag"
    if pt.is_dictionary(type) or is_string(type):
        return "text"
    return "null" if pt.is_null(type) else str(type)


def is_string(type: "pa.DataType") -> bool:
    """Whether an Arrow type is one of the string types."""
    import pyarrow.types as pt

    view = getattr(pt, "is_string_view", lambda _: False)
    return pt.is_string(type) or pt.is_large_string(type) or view(type)


def check_kind(name: str, type: "pa.DataType", first: Kind, where: str) -> None:
    """Raise unless a column holds what it held in the first rows (or only nulls)."""
    now = kind_of(type)
    numbers = {"integer", "real"}
    if now != first and {now, first} != numbers and "null" not in (now, first):
        raise DataError(
            f"Column {name!r} is {now} in {where} and {first} in the first rows. All "
            f"files and batches must have the same types: convert it."
        )
