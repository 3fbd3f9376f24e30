"""What a model says: formula, design, cross-products, priors and family; no verbs.

Takes what a user writes and checks everything at the border; gives the `ModelSpec` that
every room to the right takes.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, cast

import numpy as np

from bayeslmm.design import Design, ParameterSpace, Recipe, build_design
from bayeslmm.design.again import Rereader
from bayeslmm.design.another import answer_recipe, response_account
from bayeslmm.design.arrays import rows_of
from bayeslmm.design.frame import open_frame
from bayeslmm.design.labels import label_rows
from bayeslmm.design.notes import warn_of_data
from bayeslmm.design.rows import Rows
from bayeslmm.design.scan import Scan
from bayeslmm.design.source import column_names, open_source
from bayeslmm.errors import (
    DataError,
    ModelError,
    check_flag,
    check_made,
    check_progress,
)
from bayeslmm.families import check_family
from bayeslmm.formula import Formula, parse_formula
from bayeslmm.marginal.conditioned import Conditioned
from bayeslmm.marginal.conditioning import condition
from bayeslmm.marginal.responding import Responder, make_responder
from bayeslmm.marginal.stream import (
    Plan,
    Tally,
    check_streamable,
    finish,
    make_plan,
    stream_model,
)
from bayeslmm.priors import Priors, changed_rule, make_priors

# How a posterior can be drawn.
Method = Literal["auto", "nuts", "importance", "quadrature", "joint"]
PriorRule = str | Mapping[str, object] | Priors
PARTS = (
    "_conditioned",
    "_prior_rule",
    "_priors",
    "_rereader",
    "_responder",
    "family",
    "formula",
    "plan",
    "recipe",
    "row_labels",
    "weights_column",
)


class ModelSpec:
    """A mixed model as data: everything that a fit, a graph or a table needs of it.

    Made by `bayeslmm.Model`, which has the same parameters and attributes, says what
    each is, and adds the verbs.
    """

    __slots__ = (*PARTS, "__weakref__")

    family: str
    formula: Formula
    recipe: Recipe
    plan: Plan | None
    row_labels: np.ndarray | None
    weights_column: str | None
    _prior_rule: tuple[object, bool]
    _priors: Priors | None
    _rereader: Rereader | None
    _responder: Responder | None

    def __init__(
        self,
        formula: str,
        data: object,
        *,
        priors: PriorRule = "weak",
        family: str = "gaussian",
        weights: object = None,
        residual: str | None = None,
        center_predictors: bool = True,
        progress: bool | Literal["auto"] = "auto",
    ) -> None:
        check_family(family)
        check_flag(center_predictors, "center_predictors")
        check_progress(progress)
        self.family = family
        gaussian = family == "gaussian"
        source = open_source(data)
        frame = open_frame(data) if source is None else None
        self.formula = parse_formula(
            formula, columns=column_names(frame, source), residual=residual
        )
        self._check_residual(source)
        if source is None:
            self.recipe = build_design(
                self.formula, frame, weights=weights, gaussian=gaussian
            )
            self._conditioned = condition(self.recipe.design) if gaussian else None
            self.plan = self._rereader = None
            rows = rows_of(self.design, "labels of the rows")
            self.row_labels = label_rows(data, rows.position)
        else:
            self.row_labels = None
            check_streamable(family, source)
            streamed = stream_model(
                self.formula, source, weights=weights, progress=progress
            )
            self.recipe, self._conditioned = streamed.recipe, streamed.conditioned
            self.plan, self._rereader = streamed.plan, streamed.rereader
        warn_of_data(self.design.account)
        self.weights_column = weights if isinstance(weights, str) else None
        self._responder = None
        self._set_priors(priors, center_predictors=center_predictors)

    def _check_residual(self, source: object) -> None:
        """Raise where residuals cannot have a structure."""
        said = self.residual
        if said is None:
            return
        if self.family != "gaussian":
            raise ModelError(
                f"residual={said!r} gives residuals SDs and correlations, and a "
                f"response of family {self.family!r} has no residuals of its own. "
                f"Leave residual out, or let family be 'gaussian'."
            )
        if source is not None:
            raise DataError(
                f"residual={said!r} needs all rows at once: strata and series are "
                f"known when every row is, and batches come one by one. Fit the model "
                f"to a data frame in memory."
            )

    def _set_priors(self, priors: object, *, center_predictors: bool) -> None:
        """Make the priors, and keep the rule for other responses."""
        rule = dict(priors) if isinstance(priors, Mapping) else priors
        self._priors = make_priors(
            rule, self.design, center_predictors=center_predictors, family=self.family
        )
        self._prior_rule = rule, self._priors.center_predictors

    @property
    def priors(self) -> Priors:
        """The prior of every parameter, with its reason."""
        if self._priors is None:
            rule, center = self._prior_rule
            self._set_priors(rule, center_predictors=center)
        assert self._priors is not None, "they have just been made"
        return self._priors

    def with_response[M: "ModelSpec"](self: M, y: object) -> M:
        """The model of another response of the same rows.

        Use it for many responses, simulated ones or several columns of one table:
        everything that does not depend on y is computed once.

        Parameters
        ----------
        y : array_like, shape (n,)
            Response of the rows used, in their order, finite, in the units in which the
            formula reads it: for ``log(rt) ~ ...`` the logarithms, as `simulate` gives
            them. A pandas Series goes by its labels, which must be `row_labels`.

        Returns
        -------
        Model
            Equal to the model of the data with that response, up to rounding. Weights
            and offset stay. Priors are made anew by the rule they were made by: those
            that are scaled by the response, as the default ones are, follow the new
            one; those given as numbers stay.

        Raises
        ------
        DataError
            If y is no response of these rows, or the rows were read in batches.

        Warns
        -----
        DataWarning
            If digits of y were lost, or a value seems to stand for a missing one.
        """
        self._check_rows_are_there()
        if self.family == "gaussian":
            self.responder()
        new = self._copy()
        new.recipe = answer_recipe(self.recipe, y, self.row_labels)
        if self._responder is not None:
            new._conditioned = self._responder.respond(new.design)
        warn_of_data(response_account(new.design))
        new._priors = None  # made when asked for: REML has none
        return new

    def with_priors[M: "ModelSpec"](self: M, priors: PriorRule) -> M:
        """The model with some of its priors changed, or others; no data are read.

        Parameters
        ----------
        priors : mapping, str or Priors
            A dict as for `Model` changes what it names and keeps the rest as it is;
            with ``"set"`` in it the rest comes from that set. The name of a set
            replaces all; so do the `Priors` of a model of the same parameters, which do
            not follow the response. A prior given for a bar term means its effects at
            the zero of the predictors, and so do then all of that term.

        Returns
        -------
        Model
            This one stays as it is.

        Raises
        ------
        PriorError
            If a key names nothing here, or a prior cannot be honoured.

        Examples
        --------
        >>> import bayeslmm as lmm
        >>> pupils = lmm.simulate_classrooms(6, seed=1).data
        >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
        >>> other = model.with_priors({"1|classroom": "HalfNormal(5)"})
        >>> print(other.priors.sd[0][0], "|", other.priors.sigma)
        HalfNormal(sigma=5) | HalfStudentT(nu=3, sigma=1.583)
        """
        new = self._copy()
        rule, center = self._prior_rule
        if isinstance(priors, Mapping):
            priors = changed_rule(rule, priors, self.design)
        new._set_priors(priors, center_predictors=center)
        return new

    def _copy[M: "ModelSpec"](self: M) -> M:
        """A model of the same parts."""
        new = type(self).__new__(type(self))
        for name in PARTS:
            setattr(new, name, getattr(self, name))
        return new

    def responder(self) -> Responder:
        """What does not depend on the response; computed when first asked for."""
        self._check_rows_are_there()
        if self._responder is None:
            self._responder = make_responder(self.design, self.conditioned)
        return self._responder

    def _check_rows_are_there(self) -> None:
        """Raise if the rows were read in batches, before another response is taken."""
        if self.plan is not None:
            raise DataError(
                f"This model has the sums of {self.plan.source} and not its rows, so "
                f"no other response can be put beside them. Write the response into a "
                f"column of the data and make a model of that, or read the rows used "
                f"into a data frame."
            )

    @classmethod
    def from_tally[M: "ModelSpec"](
        cls: type[M],
        scan: Scan,
        tally: Tally,
        *,
        priors: PriorRule = "weak",
        center_predictors: bool = True,
    ) -> M:
        """Gaussian model of data that were summed in parts, on any machines.

        Parameters
        ----------
        scan : Scan
            What `bayeslmm.scan_rows` found in all the data.
        tally : Tally
            The sum of what `bayeslmm.sum_partition` gave for every part.
        priors, center_predictors
            As for `Model`.

        Returns
        -------
        Model
            The same as from all the data at once, up to rounding.

        Raises
        ------
        DataError
            If parts are missing, or the design cannot carry the model.
        """
        check_flag(center_predictors, "center_predictors")
        check_made(scan, Scan, "scan", "bayeslmm.scan_rows")
        check_made(tally, Tally, "tally", "the sum of bayeslmm.sum_partition's results")
        model = cls.__new__(cls)
        model.family, model.formula = "gaussian", scan.formula
        model.plan, model._rereader = make_plan(scan, 1), None
        model.recipe, model._conditioned = finish(scan, tally)
        warn_of_data(model.design.account)
        model.row_labels, model.weights_column = None, scan.weights
        model._responder = None
        model._set_priors(priors, center_predictors=center_predictors)
        return model

    def __getstate__(self) -> tuple[None, dict[str, object]]:
        """State to be pickled: without what is known of the rows beside the design."""
        state = {name: getattr(self, name) for name in PARTS}
        return None, {**state, "_rereader": None, "_responder": None}

    @property
    def design(self) -> Design:
        """Arrays of the model."""
        return self.recipe.design

    @property
    def conditioned(self) -> Conditioned:
        """Cross-products in safe coordinates; Gaussian models only."""
        if self._conditioned is None:
            raise ModelError(
                f"The marginal likelihood integrates the effects out of a Gaussian "
                f"model; family {self.family!r} has none in closed form. Use "
                f"model.sample(method='joint')."
            )
        return self._conditioned

    @property
    def space(self) -> ParameterSpace:
        """Every parameter: its label, its range, which coordinate has it."""
        return self.design.space

    @property
    def residual(self) -> str | None:
        """Structure of the residuals as it is written, None without one."""
        return " * ".join(own.label for own in self.formula.residual) or None

    @property
    def said(self) -> str:
        """Formula, and structure of the residuals, on one line."""
        text = self.formula.text
        return f"{text}, residual {self.residual}" if self.residual else text

    def __repr__(self) -> str:
        """Formula, family and sizes on one line."""
        sizes = ", ".join(f"{t.group}: {t.n_levels}" for t in self.design.groups)
        own = f"residual={self.residual!r}, " if self.residual else ""
        return (
            f"Model({self.formula.text!r}, family={self.family!r}, {own}"
            f"rows={self.design.n}, groups=[{sizes}], priors={self.priors.name!r})"
        )

    def read_rows(self) -> Iterator[Rows]:
        """The rows used, read again if they were read in batches.

        Returns
        -------
        iterator of Rows
            At most 65,536 at a time if they are read; all rows of a frame in memory.

        Raises
        ------
        DataError
            If the model does not know where its rows are.
        """
        if self.plan is None:
            return iter([rows_of(self.design, "what goes over all rows")])
        if self._rereader is None:
            raise DataError(
                f"This model has the sums of {self.plan.source} and does not know "
                f"where the rows are, because it was made by from_tally(), pickled, "
                f"copied or loaded. Read some rows at a time into a data frame and "
                f"give it to predict()."
            )
        return self._rereader.read(self.recipe)


def model_of_rows(model: ModelSpec, data: object, weights: object) -> ModelSpec:
    """The model of other rows: the same formula, family and rule for the priors.

    Parameters
    ----------
    model : ModelSpec
        Whose formula, family and priors hold.
    data : DataFrame or other table
        The other rows.
    weights : str or array, optional
        Column of `data` with precision weights, or these.
    """
    rule, center = model._prior_rule
    return ModelSpec(
        model.formula.text,
        data,
        priors=cast("PriorRule", rule),
        family=model.family,
        weights=weights,
        residual=model.residual,
        center_predictors=center,
    )
