"""A fit as plain numbers, for ``summary.json``: full precision, strict JSON."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.archive.file import versions
from bayeslmm.comparison import answer, compare, reading, unit_words
from bayeslmm.design.rowless import rows_checksum
from bayeslmm.priors import Prior
from bayeslmm.priors.labels import corr_name
from bayeslmm.reporting.describe import header_lines
from bayeslmm.reporting.manifest import FORMAT, PROGRAM
from bayeslmm.reporting.record import Record

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit
    from bayeslmm.reporting.fitted import Fitted
    from bayeslmm.spec import ModelSpec

POSTERIOR_COLUMNS = ("mean", "median", "sd", "lower", "upper")
HEALTH_COLUMNS = ("ess_bulk", "ess_tail", "rhat", "mcse_mean")


def summary_json(
    fit: "Fitted", *, record: Record, files: Mapping[str, Mapping[str, Any]]
) -> str:
    """The fit as strict JSON, NaN as null; the manifest of a folder of results.

    Parameters
    ----------
    fit : Fit
        Model and fits; either of the fits may be None.
    record : Record
        What is known of the data, the seed and the date.
    files : mapping
        Size and checksum of the files beside it, by their path.

    Returns
    -------
    str
        A JSON object: ``program``, ``format``, ``written``, ``versions``, ``files``,
        ``formula``, ``residual``, ``family``, ``unit``, ``data``, ``rows``,
        ``groups``, ``header``, ``answer``, ``seed``, ``priors``, ``reml``,
        ``posterior``, ``comparison``.
    """
    model, reml, post = fit.model, fit.reml, fit.posterior
    content: dict[str, Any] = {
        "program": PROGRAM,
        "format": FORMAT,
        "written": record.written,
        "versions": versions(),
        "files": files,
        "formula": model.formula.text,
        "residual": model.residual,
        "family": model.family,
        "unit": unit_words(model),
        "data": {
            "path": record.data,
            "sha256": record.sha256,
            "rows_sha256": rows_checksum(model.recipe),
        },
        "rows": _rows(model),
        "groups": {t.group: t.n_levels for t in model.design.groups},
        "header": header_lines(model),
        "answer": list(answer(reml, post)),
        "seed": record.seed,
        "priors": _priors(model),
        "reml": None if reml is None else _reml(reml),
        "posterior": None if post is None else _posterior(post),
    }
    if reml is not None and post is not None:
        table = compare(reml, post)
        content["comparison"] = {
            "difference": table.attrs["difference"],
            "rows": _records(table[["difference_in_se", "difference_unit"]]),
            "reading": list(reading(reml, post)),
        }
    return json.dumps(_plain(content), indent=2, allow_nan=False, ensure_ascii=False)


def _rows(model: "ModelSpec") -> dict[str, Any]:
    """The account of the rows."""
    account = model.design.account
    return {
        "given": account.n_rows,
        "used": account.n_used,
        "missing": account.missing,
        "groups_lost": account.groups_lost,
        "unused_levels": account.unused_levels,
        "mixed": {name: column.others for name, column in account.mixed.items()},
        "coarse": {name: column.step for name, column in account.coarse.items()},
        "traps": account.traps,
        "dropped_columns": account.aliased,
        "checksums": None if account.origin is None else account.origin.checksums,
    }


def _priors(model: "ModelSpec") -> dict[str, Any]:
    """Name of the set, and each prior with its arguments at full precision."""
    priors, found = model.priors, {}
    for parameter in model.space.parameters:
        apart = model.design.residual
        of_residuals = apart is not None and parameter in apart.parameters
        if parameter.component in ("fixef", "sd") or of_residuals:
            found[parameter.label] = _prior(priors.of(parameter))
    corr = {
        corr_name(model.design, t): term.covariance.prior(term.k, priors.corr_eta[t])
        for t, term in enumerate(model.design.groups)
        if term.covariance.n_corr(term.k)
    }
    if model.family == "gaussian":
        found["sigma"] = _prior(priors.sigma)
    return {
        "name": priors.name,
        "center_predictors": priors.center_predictors,
        "references": [
            None if T is None else T.tolist()
            for T in (priors.fixed_turn, *priors.reference)
        ],
        "parameters": found | corr,
        "lines": [list(line) for line in priors.labels],
    }


def _prior(prior: Prior) -> dict[str, Any]:
    """One prior as its name, arguments and reason."""
    return {"name": prior.name, "args": prior.arguments, "reason": prior.reason}


def _reml(reml: "RemlFit") -> dict[str, Any]:
    """Estimates of each component, criterion and status."""
    status = reml.status
    return {
        "method": reml.method,
        "criterion": reml.criterion,
        "loglik": reml.loglik,
        "npar": reml.npar,
        "aic": reml.aic,
        "bic": reml.bic,
        "interval": "95% Wald",
        **_by_component(reml.summary(), ("estimate", "se", "lower", "upper")),
        "tests": {"ddf": "satterthwaite"}
        | {"fixed_effects": _records(reml.fixef()[["df", "t", "p"]])},
        "status": {
            "converged": status.converged,
            "singular": status.singular,
            "boundary": status.boundary,
            "message": status.message,
            "n_evaluations": status.n_evaluations,
            "gradient_norm": status.gradient_norm,
        },
    }


def _posterior(post: "Posterior") -> dict[str, Any]:
    """Posterior of each component, diagnostics and how sampling ended."""
    table = post.summary()
    diagnosis = post.diagnose()
    return {
        "method": post.method,
        "reason": post.reason,
        "chains": post.idata["posterior"].sizes["chain"],
        "draws": post.idata["posterior"].sizes["draw"],
        "partial": post.status.partial,
        "message": post.status.message,
        "interval": "95% ETI",
        **_by_component(table, (*POSTERIOR_COLUMNS, *HEALTH_COLUMNS)),
        "diagnostics": {
            "ok": diagnosis.ok,
            "messages": diagnosis.messages,
            "max_rhat": table["rhat"].max(),
            "min_ess_bulk": table["ess_bulk"].min(),
            "divergences": post.status.n_divergent,
        },
        "timing": dict(post.timing),
        "status": dataclasses.asdict(post.status),
    }


def _by_component(table: pd.DataFrame, columns: tuple[str, ...]) -> dict[str, Any]:
    """Rows of a summary under the name of their component."""
    names = {"fixef": "fixed_effects", "sd": "sds", "corr": "correlations"}
    found: dict[str, Any] = {
        name: _records(table.loc[table["component"] == component, list(columns)])
        for component, name in names.items()
    }
    rest = _records(table.loc[table["component"] == "sigma", list(columns)])
    if "sigma" in rest:
        found["sigma"] = rest.pop("sigma")
    return found | ({"others": rest} if rest else {})


def _records(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Rows by label."""
    return {
        str(label): {column: row[column] for column in table.columns}
        for label, row in table.iterrows()
    }


def _plain(value: object) -> Any:  # noqa: ANN401 (any JSON value)
    """The value in JSON's types; NaN and infinities become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
