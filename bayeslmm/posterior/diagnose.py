"""Whether the draws can be trusted, in words.

Takes the draws and how the run ended, gives a `Diagnosis`: ArviZ's R-hat, effective
sample sizes and E-BFMI, the sampler's divergences and tree depths, each with what it
means and what to do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Bool

from bayeslmm.design.arrays import Design
from bayeslmm.graph.names import safe_name
from bayeslmm.posterior.tables import diagnostics_table, hide_missing
from bayeslmm.posterior.tails import Missing
from bayeslmm.tables.notebook import fragment

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# Limits of Vehtari et al. (2021), Bayesian Anal. 16(2): R-hat 1.01, 100 effective draws
# for each chain; of Betancourt (2016), arXiv:1604.00695: E-BFMI 0.3.
MAX_RHAT, MIN_ESS_PER_CHAIN, MIN_BFMI = 1.01, 100, 0.3
NAMED = 5  # parameters that a sentence names before it counts the others


@dataclass(frozen=True, slots=True)
class SamplingStatus:
    """How a run of the sampler ended.

    Attributes
    ----------
    chains, draws : int
        Chains and draws of each that there are.
    partial : bool
        Whether the run was interrupted, so that there are fewer than asked for.
    n_divergent : int
        Divergent transitions after tuning.
    missing : Missing
        Which posterior means and SDs do not exist.
    sampler : {"nuts", "importance", "quadrature"}
        What made the draws; only NUTS has divergences.
    missed : float
        Log density by which some chain stays below the highest point that is known of
        the posterior, 0 where the number of its coordinates explains it.
    unvisited : float
        Probability of modes that the draws have not visited.
    modes : int
        Modes that matter, 0 where nobody looked.
    asked : int
        Draws of each chain that were asked for where fewer suffice, else 0.
    far : tuple of str
        Predictors too far from zero for priors that refer to it.
    how : str
        How weighted points were made, and what they are worth; else empty.
    """

    chains: int
    draws: int
    partial: bool = False
    n_divergent: int = 0
    missing: Missing = field(default_factory=Missing)
    sampler: Literal["nuts", "importance", "quadrature"] = "nuts"
    missed: float = 0.0
    unvisited: float = 0.0
    modes: int = 0
    asked: int = 0
    far: tuple[str, ...] = ()
    how: str = ""

    @property
    def clean(self) -> bool:
        """Whether there is nothing that the reader must know."""
        return not status_messages(self)

    @property
    def message(self) -> str:
        """How the run ended, in plain sentences."""
        made = f"{self.chains} chains of {self.draws} draws"
        made += ", no divergences" if self.sampler == "nuts" else ""
        made += f" ({self.how})" if self.how else ""
        if self.draws < self.asked:
            made += (
                f" (asked {self.asked * self.chains:,}, kept "
                f"{self.draws * self.chains:,} weighted: as many as the diagnosis "
                "needs, because each is expensive here)"
            )
        return " ".join(status_messages(self)) or f"Sampling ended as planned: {made}."


@dataclass(frozen=True, slots=True, repr=False)
class Diagnosis:
    """What the diagnostics say.

    Attributes
    ----------
    ok : bool
        Whether nothing speaks against using the draws.
    messages : tuple of str
        Plain sentences: the problems and what to do, or that there are none.
    table : DataFrame
        Columns ``mcse_mean``, ``ess_bulk``, ``ess_tail``, ``rhat`` by label.
    """

    ok: bool
    messages: tuple[str, ...]
    table: "pd.DataFrame"

    def __repr__(self) -> str:
        """The messages, one on each line."""
        return "\n".join(self.messages)

    def _repr_html_(self) -> str:
        """The messages and their table, for notebooks."""
        return fragment(sentences=self.messages, tables=[self.table])


def status_of(
    tree: "xr.DataTree", asked: tuple[int, int], missing: Missing
) -> SamplingStatus:
    """How a run of NUTS ended, read off the draws; `asked` are chains and draws."""
    sizes, stats = tree["posterior"].sizes, tree["sample_stats"]
    divergent = stats["diverging"].to_numpy().sum() if "diverging" in stats else 0
    made = sizes["chain"], sizes["draw"]
    return SamplingStatus(
        *made, partial=made != asked, n_divergent=int(divergent), missing=missing
    )


def diagnose(design: Design, tree: "xr.DataTree", status: SamplingStatus) -> Diagnosis:
    """Diagnosis of the draws of a model.

    Parameters
    ----------
    design : Design
        Arrays of the model.
    tree : DataTree
        Its draws.
    status : SamplingStatus
        How the run ended.

    Returns
    -------
    Diagnosis
        Fixed effects, SDs, correlations and sigma are judged; random effects too where
        the sampler drew them (joint model).

    References
    ----------
    .. [1] Vehtari et al. (2021). Rank-normalization, folding, and localization.
       Bayesian Anal. 16(2). https://doi.org/10.1214/20-BA1221
    """
    table = diagnostics_table(design, tree)
    problems = [
        *status_messages(status),
        *_convergence_messages(table, status),
        *_effect_messages(design, tree),
        *_sampler_messages(tree),
    ]
    found = tuple(problems) or (_all_is_well(table, status),)
    shown = hide_missing(table, table.index, status.missing)
    return Diagnosis(not problems, found, shown)


def status_messages(status: SamplingStatus) -> list[str]:
    """What is to be said about the run itself."""
    messages = []
    if status.partial:
        messages.append(
            f"The run was interrupted: {status.chains} chains of {status.draws} draws "
            "are complete, fewer than asked for. Intervals are less exact; sample "
            "again for a full run."
        )
    if status.n_divergent:
        total = status.chains * status.draws
        messages.append(
            f"{status.n_divergent} of {total} draws ended in a divergence: the sampler "
            "missed a part of the posterior, most likely a tail of an SD. Sample again "
            "with target_accept=0.99; if they remain, give the SDs a tighter prior."
        )
    if status.missed:
        messages.append(
            f"The draws miss the middle of the posterior: some chain stays below a "
            f"known point of it by a factor of exp({status.missed:.0f}), at a local "
            "mode, and its figures are wrong. Take the mean off the predictors whose "
            "effects vary (x - mean(x)) and sample again; if it remains, simplify the "
            "random-effects term."
        )
    if status.unvisited:
        messages.append(
            f"The posterior has {status.modes} modes, and the draws have not visited "
            f"some that hold about {status.unvisited:.0%} of it. Take the mean off the "
            "predictors whose effects vary (x - mean(x)), or simplify the "
            "random-effects term."
        )
    if status.far:
        names = " and ".join(status.far[:NAMED])
        messages.append(
            f"Priors of the SDs and correlations refer to {names} = 0, very far from "
            f"the data, where the intercept's SD is huge and its correlation nearly "
            f"1 or -1: they overrule the data. Take the mean off (x - mean(x)) and "
            f"sample again."
        )
    if status.missing.mean:
        messages.append(
            f"The posterior of {_names(status.missing.mean)} has no mean: its levels "
            "are few and the prior of an SD is flat or nearly so. Read the median, or "
            "use a proper prior such as priors='weak'; model.propriety() says more."
        )
    return messages


def _convergence_messages(table: "pd.DataFrame", status: SamplingStatus) -> list[str]:
    """R-hat and effective sample sizes."""
    messages = []
    stuck = _labels_where(table, table["rhat"].to_numpy() > MAX_RHAT)
    if status.chains == 1:
        messages.append(
            "There is only one chain, so nothing shows whether it has converged. "
            "Sample with chains=4."
        )
    elif len(stuck) and status.sampler == "nuts":
        # chains over weighted points start by their weights: those are what is checked
        worst = table["rhat"].max()
        messages.append(
            f"The chains disagree about {_names(stuck)} (R-hat up to {worst:.3f}, "
            f"should be below {MAX_RHAT}). Sample again with more draws and tune."
        )
    enough = MIN_ESS_PER_CHAIN * status.chains
    for column, meaning in (("ess_bulk", "means"), ("ess_tail", "interval ends")):
        few = _labels_where(table, ~(table[column].to_numpy() >= enough))
        if len(few):
            messages.append(
                f"Only {table[column].min():.0f} effective draws ({column}) for the "
                f"{meaning} of {_names(few)}; {enough} are advised. Raise draws."
            )
    return messages


def _effect_messages(design: Design, tree: "xr.DataTree") -> list[str]:
    """R-hat of random effects that the sampler drew itself (joint model)."""
    if tree.attrs.get("method") != "joint" or tree["posterior"].sizes["chain"] == 1:
        return []
    import arviz_stats as az

    names = [safe_name(v.name) for term in design.groups for v in term.variables]
    rhat = az.rhat(tree, var_names=names)
    worst = {name: float(np.nanmax(rhat[name].to_numpy())) for name in names}
    stuck = [name for name, value in worst.items() if value > MAX_RHAT]
    if not stuck:
        return []
    return [
        f"The chains disagree about levels of {_names(stuck)} (R-hat up to "
        f"{max(worst.values()):.3f}, should be below {MAX_RHAT}). Sample again with "
        "more draws and tune."
    ]


def _sampler_messages(tree: "xr.DataTree") -> list[str]:
    """Energy and tree depth."""
    import arviz_stats as az

    messages, stats = [], tree["sample_stats"]
    if "energy" in stats.data_vars:
        bfmi = np.asarray(az.bfmi(tree)["energy"])
        low = int((bfmi < MIN_BFMI).sum())
        if low:
            messages.append(
                f"E-BFMI is below {MIN_BFMI} in {low} of {bfmi.size} chains (lowest "
                f"{bfmi.min():.2f}): heavy tails are explored slowly. Raise draws, or "
                "give the SDs a tighter prior."
            )
    if "reached_max_treedepth" in stats.data_vars:
        deepest = int(stats["reached_max_treedepth"].to_numpy().sum())
        if deepest:
            messages.append(
                f"{deepest} draws reached the largest tree depth: correct but slow. "
                "Rescaled predictors or more tune may help."
            )
    return messages


def _all_is_well(table: "pd.DataFrame", status: SamplingStatus) -> str:
    """What was checked, with the worst value of each."""
    others = f", no divergences, E-BFMI above {MIN_BFMI}"
    if status.sampler == "importance":
        others = "; the weights of the points passed their checks"
    if status.sampler == "quadrature":
        others = "; the draws are independent"
    if status.modes > 1:
        others += f"; the posterior has {status.modes} modes, all visited"
    return (
        f"No problem found: R-hat at most {table['rhat'].max():.3f}, at least "
        f"{table['ess_bulk'].min():.0f} effective draws for means and "
        f"{table['ess_tail'].min():.0f} for interval ends{others}."
    )


def _labels_where(table: "pd.DataFrame", chosen: Bool[np.ndarray, " m"]) -> list[str]:
    """Labels of the chosen rows."""
    return [str(label) for label in np.asarray(table.index)[chosen]]


def _names(labels: Sequence[str]) -> str:
    """The first few labels, and how many more there are."""
    shown = ", ".join(repr(label) for label in labels[:NAMED])
    more = len(labels) - NAMED
    return f"{shown} and {more} more" if more > 0 else shown
