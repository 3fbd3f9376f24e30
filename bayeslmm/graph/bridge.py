"""The bambi model with correlated effects: the one place that knows bambi's internals.

Takes a `Model`; gives a subclass of ``bambi.Model`` whose graph has our random part.
Bambi makes the fixed part, links, families and the response; its terms are checked
against ours before they are used. `tests/test_graph.py` has a canary that says in plain
words which of bambi's internals has moved.
"""

import functools
import warnings
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.design.arrays import Design, EffectVariable, FixedVariable
from bayeslmm.errors import ModelError
from bayeslmm.families import FAMILIES
from bayeslmm.graph.blocks import add_effects, add_factors
from bayeslmm.graph.fixed import add_fixed, free_names
from bayeslmm.graph.names import (
    Foreign,
    effect_dims,
    fixed_names,
    response_name,
    safe_name,
)
from bayeslmm.graph.orders import bambi_orders, reorder
from bayeslmm.graph.residual import add_residual, given_before
from bayeslmm.graph.terms import (
    bambi_priors,
    bambi_words,
    check_response,
    graph_rows,
    label_positions,
)
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import bambi as bmb

# formulae holds an indicator for every row and level, and copies it while it builds.
MAX_INDICATOR_BYTES = 2e9


def to_bambi(model: ModelSpec) -> "bmb.Model":
    """The same model as a bambi model, correlated effects included.

    ``fit``, ``predict``, ``compute_log_likelihood``, ``prior_predictive`` and
    ``bambi.interpret`` work as on any bambi model. New data for ``predict`` must have
    the evaluated columns (``log(x)``), as in ``bambi_model.data``.

    Parameters
    ----------
    model : Model
        Formula, data and priors.

    Returns
    -------
    bambi.Model
        Built lazily: ``build()`` makes its ``backend.model``.

    Raises
    ------
    ModelError
        If bambi cannot express a term or the family; the message names it.
    """
    if model.design.residual is not None:
        raise ModelError(
            f"Bambi has no words for residual={model.design.residual.label!r}, and its "
            f"own methods would take residuals to be independent. model.to_pymc() has "
            f"them."
        )
    _check_indicators(model)
    bambi_model = make_bambi(model, groups=True)
    for t in range(len(model.design.groups)):
        _check_group(bambi_model, model.design, t)
    return bambi_model


def _check_indicators(model: ModelSpec) -> None:
    """Raise before formulae builds indicator matrices that do not fit."""
    for term in model.design.groups:
        size = 8.0 * model.design.n * term.n_levels * len(term.variables)
        if size > MAX_INDICATOR_BYTES:
            raise ModelError(
                f"Bambi would build an indicator column for each of the "
                f"{term.n_levels} levels of {term.group!r}, {size / 1e9:.1f} GB for "
                f"{model.design.n} rows. model.sample() and model.to_pymc() build none."
            )


def make_bambi(model: ModelSpec, *, groups: bool) -> "bmb.Model":
    """A bambi model with our random part; with bambi's own terms for it if `groups`."""
    graph_rows(model.design)
    _check_names(model)
    if model.design.has_weights and not FAMILIES[model.family].weights:
        known = ", ".join(f.name for f in FAMILIES.values() if f.weights)
        raise ModelError(
            f"Precision weights divide a residual variance, which family "
            f"{model.family!r} has not. Weights go with {known}."
        )
    check_response(model)
    formula, frame = bambi_words(model, groups=groups)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        bambi_model = _model_class()(
            formula,
            frame,
            family=model.family,
            priors=bambi_priors(model, groups=groups),
            center_predictors=model.priors.center_predictors,
        )
    bambi_model.source = model
    for variable in model.design.fixed:
        _check_fixed(bambi_model, model, variable)
    return bambi_model


def without_groups(model: ModelSpec) -> "bmb.Model":
    """The built model whose random part is ours alone; its graph is the joint one."""
    bambi_model = make_bambi(model, groups=False)
    bambi_model.build()
    return bambi_model


def _check_names(model: ModelSpec) -> None:
    """Raise if a predictor or the response is named as a parameter of the family."""
    parent, others = FAMILIES[model.family].parent, FAMILIES[model.family].others
    fixed, response = fixed_names(model.design), response_name(model.design)
    for label, name in (*fixed.items(), (model.design.response, response)):
        if name in (parent, *others):
            raise ModelError(
                f"The column {label!r} has the name of a parameter of family "
                f"{model.family!r}, and PyMC needs distinct names. Rename the column."
            )


def _check_fixed(
    bambi_model: Foreign, model: ModelSpec, variable: FixedVariable
) -> None:
    """Raise unless bambi's columns of a fixed variable are ours."""
    component = _parent(bambi_model, model)
    name = fixed_names(model.design)[variable.name]
    if variable.name == "Intercept":
        return
    term = component.common_terms.get(name)
    columns = graph_rows(model.design).X[:, list(variable.columns)]
    order: list[int] | None = [0]
    if term is not None and variable.coords:
        theirs = term.coords.get(f"{name}_dim", ())
        order = label_positions(theirs, variable.coords)
    if term is None or order is None or not _same(term.data, columns[:, order]):
        raise ModelError(
            f"Bambi codes the fixed term {variable.name!r} otherwise than lme4 does, "
            "so the joint PyMC model cannot be made through it. Method 'nuts' does not "
            "need bambi; or write the term with columns of your own."
        )
    _order_prior(term.prior, order)


def _order_prior(prior: Foreign, order: list[int]) -> None:
    """Put a prior's values into bambi's order of the coefficients."""
    for argument, value in prior.args.items():
        if np.ndim(value) == 1 and len(order) > 1:
            prior.args[argument] = np.asarray(value)[order]


def _check_group(bambi_model: Foreign, design: Design, t: int) -> None:
    """Raise unless bambi's columns and levels of a bar term are ours."""
    component, term = _parent(bambi_model, bambi_model.source), design.groups[t]
    for variable in term.variables:
        found = component.group_specific_terms.get(safe_name(variable.name))
        if found is None or not _same_effect(found, design, t, variable):
            raise ModelError(
                f"Bambi cannot express the term {term.label}: its columns for "
                f"{variable.name!r} are not those of lme4. model.to_pymc() and "
                "model.sample(method='joint') do not need bambi's terms."
            )


def _same_effect(
    found: Foreign, design: Design, t: int, variable: EffectVariable
) -> bool:
    """Whether bambi's term has our levels, columns and coordinates, in any order."""
    rows, dims = graph_rows(design), effect_dims(design)
    if not np.array_equal(found.group_index, rows.codes[t]):
        return False
    columns = rows.Z[t][:, list(variable.effects)]
    if not variable.coords:
        return _same(found.predictor, columns)
    dim = safe_name(f"{variable.expr}__expr_dim")
    order = label_positions(found.coords.get(dim, ()), variable.coords)
    if order is None or dims[variable.name] != dim:
        return False
    _order_prior(found.prior.args["sigma"], order)
    return _same(found.predictor, columns[:, order])


def _same(theirs: Foreign, ours: np.ndarray) -> bool:
    """Whether two blocks of columns are equal to rounding."""
    theirs = np.asarray(theirs, float).reshape(len(ours), -1)
    return theirs.shape == ours.shape and np.allclose(
        theirs, ours, rtol=1e-9, atol=1e-9
    )


def _parent(bambi_model: Foreign, model: ModelSpec) -> Foreign:
    """Bambi's component of the linear predictor."""
    return bambi_model.parameters[FAMILIES[model.family].parent]


# --- bambi's classes ------------------------------------------------------------------


@functools.cache
def _model_class() -> type:
    """Subclass of ``bambi.Model`` that builds our random part and knows our weights."""
    import bambi as bmb

    class CorrelatedModel(bmb.Model):
        """A bambi model whose random effects are those of a bayeslmm model."""

        source: ModelSpec

        def build(self) -> None:
            """Make the PyMC model."""
            self.backend = _backend_class()()
            self.backend.build(self)
            self.built = True

        def _compute_likelihood_params(
            self, idata: Foreign, *args: Foreign, **kwargs: Foreign
        ) -> Foreign:
            """Bambi's, which goes by position: draws in its order, then in ours."""
            ours = reorder(idata, bambi_orders(_parent(self, self.source)))
            idata = super()._compute_likelihood_params(idata, *args, **kwargs)
            reorder(idata, ours)
            return idata

        def compute_log_likelihood(self, *args: Foreign, **kwargs: Foreign) -> Foreign:
            """Bambi's, which knows no precision weights."""
            _refuse_weights(self.source, "compute_log_likelihood")
            return super().compute_log_likelihood(*args, **kwargs)

        def predict(self, *args: Foreign, **kwargs: Foreign) -> Foreign:
            """Bambi's; of new responses only without weights."""
            if kwargs.get("kind", args[1] if len(args) > 1 else "") == "response":
                _refuse_weights(self.source, "predict(kind='response')")
            return super().predict(*args, **kwargs)

    return CorrelatedModel


def _refuse_weights(model: ModelSpec, what: str) -> None:
    """Raise if the model has weights, which bambi's own methods would ignore."""
    if model.design.has_weights:
        raise ModelError(
            f"Bambi's {what} does not know precision weights and would be silently "
            "wrong. Use the methods of the Posterior."
        )


@functools.cache
def _backend_class() -> type:
    """Subclass of bambi's PyMC backend with our random part and response."""
    import pymc as pm
    from bambi.backend import PyMCModel
    from bambi.backend.model_components import ConstantComponent

    class CorrelatedBackend(PyMCModel):
        """``PyMCModel.build`` of bambi 0.21 with two of its three parts replaced."""

        def build(self, spec: Foreign) -> None:
            """Make the PyMC model of a `CorrelatedModel`."""
            self.model, self.components = pm.Model(), {}
            for name, values in spec.response_term.coords.items():
                self.model.add_coords({name: values})
            with self.model:
                for name, component in spec.marginal_parameters.items():
                    self.components[name] = ConstantComponent(component)
                    self.components[name].build(self, spec)
                for name, component in spec.conditional_parameters.items():
                    self.components[name] = _component_class()(component)
                    self.components[name].build(self, spec)
                term = _response_class()(spec.response_term, spec.family)
                term.build(self, spec)
                self.build_potentials(spec)
            self.spec = spec

    return CorrelatedBackend


@functools.cache
def _component_class() -> type:
    """Subclass of bambi's linear predictor whose random part is ours."""
    import pytensor.tensor as pt
    from bambi.backend.model_components import DistributionalComponent
    from bambi.backend.terms import CommonTerm

    class FreeTerm(CommonTerm):
        """Coefficients that have the prior, under their own name."""

        def __init__(self, term: Foreign, name: str) -> None:
            super().__init__(term)
            self.free = name

        @property
        def name(self) -> str:
            """Name of the variable."""
            return self.free

    class CorrelatedComponent(DistributionalComponent):
        """Random effects with the covariance of their bar term."""

        def build_common_terms(self, pymc_backend: Foreign, bmb_model: Foreign) -> None:
            """Bambi's own, but for the product: compiling a dot costs 20 s in numba."""
            if not self.component.common_terms:
                return
            stated, terms = [], self.component.common_terms.values()
            free = free_names(bmb_model.source)
            for term in terms:
                common = FreeTerm(term, free[term.name])
                pymc_backend.model.add_coords(common.coords)
                stated.append(common.build(bmb_model))
            data = np.column_stack([term.data for term in terms])
            if self.has_intercept and bmb_model.center_predictors:
                self.design_matrix_without_intercept = data
                data = data - data.mean(axis=0)
            coefficients = add_fixed(bmb_model.source, terms, pt.concatenate(stated))
            self.output += (data * coefficients).sum(axis=1)

        def build_group_specific_terms(
            self, pymc_backend: Foreign, bmb_model: Foreign
        ) -> None:
            """Add the random part to the linear predictor."""
            del pymc_backend
            model = bmb_model.source
            factors = add_factors(model.design, model.priors)
            self.output += add_effects(model.design, model.priors, factors)

    return CorrelatedComponent


@functools.cache
def _response_class() -> type:
    """Subclass of bambi's response whose residuals have weights and a structure."""
    from bambi.backend.terms import ResponseTerm

    class WeightedResponse(ResponseTerm):
        """Residual variance sigma**2 / weight, as in lme4; strata and series."""

        def build(self, pymc_backend: Foreign, bmb_model: Foreign) -> Foreign:
            """Make the response distribution."""
            self.source = bmb_model.source
            self.weights = graph_rows(bmb_model.source.design).weights
            return super().build(pymc_backend, bmb_model)

        def build_distribution(self, kwargs: Foreign, pymc_backend: Foreign) -> Foreign:
            """Bambi's distribution, with the SD of each row."""
            design, rows = self.source.design, graph_rows(self.source.design)
            tensors = add_residual(design, self.source.priors)
            if tensors is not None and rows.residual is not None:
                given = (design, rows, tensors)
                mu, sigma = given_before(*given, kwargs["mu"], kwargs["sigma"])
                kwargs = {**kwargs, "mu": mu, "sigma": sigma}
            elif self.weights is not None:
                # pytensor 3's rewrite of sign(sigma / root) forgets its shape, and
                # says so with a traceback for each place; it has none of a product
                share = 1.0 / np.sqrt(self.weights)
                kwargs = {**kwargs, "sigma": kwargs["sigma"] * share}
            return super().build_distribution(kwargs, pymc_backend)

    return WeightedResponse
