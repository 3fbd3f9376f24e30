"""Dataclasses, tuples, dicts and arrays <-> tagged JSON with arrays beside it.

Only classes in the list of forms are written or made: reading runs no code of the file.
Tuples are JSON's arrays; every JSON object has its kind under ``"@"``. Fields that a
later version wrote are left out, those that an earlier one had not take their default.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any

import numpy as np

from bayeslmm.errors import InputFileError

TAG = "@"
ODD = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


@dataclass(frozen=True, slots=True)
class Form:
    """How one class is written.

    Attributes
    ----------
    made : callable
        Makes an object of the fields, given by name.
    fields : mapping of str to str
        Names of arguments of `made`, with the attributes that they come from.
    needed : frozenset of str
        Those without a default.
    """

    made: Callable[..., Any]
    fields: Mapping[str, str]
    needed: frozenset[str]


def form_of(
    kind: type,
    *,
    made: Callable[..., Any] | None = None,
    without: tuple[str, ...] = (),
    **renamed: str,
) -> Form:
    """The form of a dataclass or named tuple: the fields that it is made of.

    Parameters
    ----------
    kind : type
        The class.
    made : callable, optional
        Makes the object; by default the class.
    without : tuple of str
        Fields that are not written.
    **renamed : str
        Further arguments, with the attributes that they come from.
    """
    if dataclasses.is_dataclass(kind):
        own = {f.name: f for f in dataclasses.fields(kind) if f.init}
        needed = {
            name
            for name, f in own.items()
            if f.default is MISSING and f.default_factory is MISSING
        }
    else:
        own, needed = dict.fromkeys(kind._fields), {*kind._fields}  # pyright: ignore[reportAttributeAccessIssue]
    kept = {name: name for name in own if name not in without}
    return Form(made or kind, kept | renamed, frozenset(needed & {*kept}))


Forms = Mapping[type, Form]


@dataclass(frozen=True, slots=True)
class Writer:
    """Values as JSON; ``arrays`` fills with what JSON only names."""

    forms: Forms
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    _names: dict[int, str] = field(default_factory=dict)

    def plain(self, value: object) -> Any:  # noqa: ANN401 (any JSON value)
        """One value.

        Raises
        ------
        TypeError
            If it is of a class that is not listed.
        """
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, str | bool | int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {TAG: "float", "is": str(value)}
        if isinstance(value, np.ndarray):
            return self._array(value)
        if type(value) is tuple:
            return [self.plain(item) for item in value]
        if isinstance(value, list):
            return {TAG: "list", "items": [self.plain(item) for item in value]}
        if isinstance(value, Mapping):
            items = [[self.plain(k), self.plain(v)] for k, v in value.items()]
            return {TAG: "dict", "items": items}
        form = self.forms.get(type(value))
        if form is None:
            raise TypeError(f"{type(value).__name__} is not among what can be saved")
        own = {name: getattr(value, of) for name, of in form.fields.items()}
        tag = {TAG: type(value).__name__}
        return tag | {name: self.plain(item) for name, item in own.items()}

    def _array(self, value: np.ndarray) -> dict[str, Any]:
        """An array by its name; one of objects, by its items."""
        if value.dtype.kind in "OUT":
            items = [self.plain(item) for item in value.ravel().tolist()]
            return {TAG: "objects", "shape": list(value.shape), "items": items}
        name = self._names.setdefault(id(value), str(len(self.arrays)))
        self.arrays[name] = value
        return {TAG: "array", "name": name}


@dataclass(frozen=True, slots=True)
class Reader:
    """JSON as values; the inverse of `Writer`."""

    by_tag: Mapping[str, Form]
    arrays: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, forms: Forms, arrays: Mapping[str, np.ndarray]) -> "Reader":
        """For classes by their names."""
        return cls({kind.__name__: form for kind, form in forms.items()}, arrays)

    def value(self, plain: Any) -> Any:  # noqa: ANN401 (any JSON value)
        """One value.

        Raises
        ------
        InputFileError
            If it is of a class that is not known here, or lacks a field.
        """
        if isinstance(plain, list):
            return tuple(self.value(item) for item in plain)
        if not isinstance(plain, dict):
            return plain
        tag = plain.get(TAG)
        if tag == "float":
            return ODD[plain["is"]]
        if tag == "array":
            return self.arrays[plain["name"]]
        if tag == "objects":
            found = np.empty(plain["shape"], dtype=object)
            found.ravel()[:] = [self.value(item) for item in plain["items"]]
            return found
        if tag == "list":
            return [self.value(item) for item in plain["items"]]
        if tag == "dict":
            return {self.value(k): self.value(v) for k, v in plain["items"]}
        form = self.by_tag.get(str(tag))
        if form is None:
            raise InputFileError(
                f"it holds a {tag!r}, which this version of bayeslmm does not know"
            )
        absent = form.needed - {*plain}
        if absent:
            raise InputFileError(f"a {tag!r} in it lacks {', '.join(sorted(absent))}")
        own = {name: plain[name] for name in form.fields if name in plain}
        return form.made(**{name: self.value(item) for name, item in own.items()})
