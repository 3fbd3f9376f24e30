"""Equations in MathML: well-formed, safe, and those of the model."""

import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

import bayeslmm as lmm
from bayeslmm.covariance import STRUCTURES
from bayeslmm.reporting.equations import Equations, equations

EXACT = 1e-12


def data(n: int = 72) -> pd.DataFrame:
    """A factor of three levels, numbers, two grouping factors."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"x": rng.normal(size=n), "y": rng.normal(size=n)})
    frame["f"], frame["g"] = np.resize(list("abc"), n), np.arange(n) % 12
    frame["h"], frame["w"] = rng.permutation(np.arange(n) % 8), 1.0
    frame["t"] = np.arange(n) // 12
    frame["k"] = rng.poisson(2.0, n)
    return frame


def found(formula: str, **options) -> Equations:
    """Equations of a model; each is well-formed."""
    own = equations(lmm.Model(formula, data(), **options))
    for line in own.lines:
        ET.fromstring(line)
    return own


def words(element: ET.Element) -> str:
    """All characters of an element."""
    return "".join(element.itertext())


def value(element: ET.Element, known: dict[str, float]) -> float:
    """What an entry of a covariance matrix is: a product of symbols and powers."""
    if element.tag in ("mrow", "mtd", "math"):
        return math.prod(value(child, known) for child in element)
    if element.tag == "mn":
        return float(words(element))
    if element.tag == "msubsup" or (
        element.tag == "msup" and words(element[-1]).isdigit()
    ):
        base = "".join(words(child) for child in element[:-1])
        return known[base] ** int(words(element[-1]))
    return known[words(element)]


@pytest.mark.parametrize("word", STRUCTURES)
def test_the_matrix_is_the_covariance_of_the_structure(word):
    """At random SDs and correlations, entry by entry."""
    called = word.removeprefix("hom")
    option = ", hom = TRUE" if word.startswith("hom") else ""
    called, option = ("ar1", option) if word == "ar1" else (called, option)
    if word == "hetar1":
        called, option = "ar1", ", hom = FALSE"
    model = lmm.Model(f"y ~ 1 + {called}(0 + f | g{option})", data())
    (term,) = model.design.groups
    assert term.structure == word
    own, k, rng = STRUCTURES[word], term.k, np.random.default_rng(1)
    factor = own.corr_factor(rng.uniform(0.6, 1.4, own.n_corr(k)), k)
    corr = factor @ factor.T
    sds = np.full(k, 1.7) if own.homogeneous else rng.uniform(0.5, 2.0, k)
    told = equations(model)
    labels = {label: words(ET.fromstring(symbol)) for symbol, label, _ in told.symbols}
    known = {
        labels[p.label]: float(sds[p.index[0]]) for p in model.space.sds(0)
    } | dict(
        zip(
            [labels[p.label] for p in model.space.corrs(0)],
            own.read(corr).tolist(),
            strict=True,
        )
    )
    table = ET.fromstring(told.lines[1]).findall(".//mtable")[-1]
    shown = [[value(cell, known) for cell in row] for row in table]
    np.testing.assert_allclose(shown, np.outer(sds, sds) * corr, rtol=EXACT, atol=EXACT)


def test_the_sum_has_each_column_and_effect_once():
    own = found("y ~ x + f + (x | g) + (1 | h)")
    line = words(ET.fromstring(own.lines[0]))
    assert line == ("yi=β0+β1xi+β2f[b]i+β3f[c]i+b0,g[i]+b1,g[i]xi+b0,h[i]+ei")
    assert [label for _, label, _ in own.symbols][:4] == [
        *("Intercept", "x", "f[b]", "f[c]")
    ]


def test_two_terms_of_one_group_have_numbers_of_their_own():
    own = found("y ~ x + (x || g)")
    symbols = {label: words(ET.fromstring(symbol)) for symbol, label, _ in own.symbols}
    assert len(set(symbols.values())) == len(symbols)
    assert "b0,g[i]+b1,g[i]xi" in words(ET.fromstring(own.lines[0]))


@pytest.mark.parametrize(
    ("formula", "options", "last"),
    [
        ("y ~ x + (1 | g)", {"weights": "w"}, "ei∼Normal(0,σ2wi)"),
        ("y ~ x + (1 | g)", {"residual": "varident(f)"}, "δa=1"),
        ("y ~ x + (1 | g)", {"residual": "ar1(t | g)"}, "|ti−tk|"),
        ("k ~ x + (1 | g)", {"family": "poisson"}, "ki∼Poisson(μi)"),
        ("y ~ 0 + (1 | g)", {}, "yi=b0,g[i]+ei"),
        ("y ~ x", {"residual": "ar1(t | g)"}, "yi=β0+β1xi+ei"),
    ],
)
def test_the_rest_of_the_model_is_there(formula, options, last):
    own = found(formula, **options)
    assert any(last in words(ET.fromstring(line)) for line in own.lines)


def test_each_parameter_has_one_symbol_of_its_own():
    own = equations(lmm.Model("y ~ x + (x | g) + (1 | h)", data()))
    symbols = [words(ET.fromstring(symbol)) for symbol, _, _ in own.symbols]
    assert len(set(symbols)) == len(symbols) == 7


def test_names_are_words_and_long_ones_are_cut():
    frame = data().rename(columns={"g": "<mi>g</mi>&", "x": "x" * 10_000})
    model = lmm.Model(f"y ~ {'x' * 10_000} + (1 | `<mi>g</mi>&`)", frame)
    own = equations(model)
    assert all("<mi>g</mi>&" not in line for line in own.lines)
    assert any("&lt;mi&gt;g" in line for line in own.lines)
    assert max(len(re.sub("<[^>]*>", "", line)) for line in own.lines) < 200
