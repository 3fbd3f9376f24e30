"""How to cite what made a report: references, and a sentence for the methods section.

Takes a model and its fits; gives references of the software used and words that can be
pasted into a paper, with versions.
"""

from typing import TYPE_CHECKING

from bayeslmm.archive.file import versions
from bayeslmm.priors import Priors
from bayeslmm.tables.numbers import listed

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit
    from bayeslmm.spec import ModelSpec

# As CITATION.cff has it, and as the packages ask to be cited.
OWN = (
    "The bayeslmm developers (2026). bayeslmm: Bayesian linear mixed models with "
    "lme4's formulas, REML beside the posterior (version {version}) [Computer "
    "software]."
)
LME4 = (
    "Bates, D., Mächler, M., Bolker, B., & Walker, S. (2015). Fitting linear "
    "mixed-effects models using lme4. Journal of Statistical Software, 67(1). "
    "https://doi.org/10.18637/jss.v067.i01"
)
SATTERTHWAITE = (
    "Kuznetsova, A., Brockhoff, P. B., & Christensen, R. H. B. (2017). lmerTest "
    "package: Tests in linear mixed effects models. Journal of Statistical Software, "
    "82(13). https://doi.org/10.18637/jss.v082.i13"
)
PACKAGES = {
    "pymc": (
        "Abril-Pla, O., Andreani, V., Carroll, C., et al. (2023). PyMC: A modern and "
        "comprehensive probabilistic programming framework in Python. PeerJ Computer "
        "Science, 9, e1516. https://doi.org/10.7717/peerj-cs.1516"
    ),
    "bambi": (
        "Capretto, T., Piho, C., Kumar, R., Westfall, J., Yarkoni, T., & Martin, O. A. "
        "(2022). Bambi: A simple interface for fitting Bayesian linear models in "
        "Python. Journal of Statistical Software, 103(15). "
        "https://doi.org/10.18637/jss.v103.i15"
    ),
    "nutpie": (
        "Seyboldt, A., & the PyMC developers. nutpie: A fast sampler for Bayesian "
        "posteriors [Computer software]. https://github.com/pymc-devs/nutpie"
    ),
    "arviz": (
        "Kumar, R., Carroll, C., Hartikainen, A., & Martin, O. (2019). ArviZ: a "
        "unified library for exploratory analysis of Bayesian models in Python. "
        "Journal of Open Source Software, 4(33), 1143. "
        "https://doi.org/10.21105/joss.01143"
    ),
}
RHAT = (
    "Vehtari, A., Gelman, A., Simpson, D., Carpenter, B., & Bürkner, P.-C. (2021). "
    "Rank-normalization, folding, and localization: An improved R-hat for assessing "
    "convergence of MCMC. Bayesian Analysis, 16(2). https://doi.org/10.1214/20-BA1221"
)
SAMPLERS = {
    "nuts": "the No-U-Turn sampler of nutpie",
    "importance": "independent weighted draws",
    "quadrature": "quadrature",
}


def software(post: "Posterior") -> tuple[str, ...]:
    """Packages that made the draws and their diagnostics, beside this one."""
    nuts = ("nutpie",) if post.status.sampler == "nuts" else ()
    joint = ("pymc", "bambi") if post.method == "joint" else ()
    return (*joint, *nuts, "arviz")


def references(reml: "RemlFit | None", post: "Posterior | None") -> tuple[str, ...]:
    """What to cite, this package first."""
    found = [OWN.format(version=versions().get("bayeslmm", ""))]
    if post is not None:  # whose models, names and priors are PyMC's and bambi's
        names = dict.fromkeys(("pymc", "bambi", *software(post)))
        found += [*(PACKAGES[name] for name in names), RHAT]
    if reml is not None:
        found.append(LME4)
        if reml.model.design.p:
            found.append(SATTERTHWAITE)
    return tuple(found)


def citation(
    model: "ModelSpec", reml: "RemlFit | None", post: "Posterior | None"
) -> tuple[str, ...]:
    """Words for the methods section, then the references."""
    given = model.said, model.priors, model.family
    return methods_sentence(*given, reml, post), *references(reml, post)


def methods_sentence(
    formula: str,
    priors: Priors,
    family: str,
    reml: "RemlFit | None",
    post: "Posterior | None",
) -> str:
    """Words for the methods section, with what was used and its versions."""
    known = versions()
    kind = "linear mixed model" if family == "gaussian" else f"{family} mixed model"
    said = [
        f"We fitted the {kind} {formula} with bayeslmm {known.get('bayeslmm', '')} "
        f"(Python {known['python']})."
    ]
    if reml is not None:
        full = (
            "restricted maximum likelihood"
            if reml.method == "REML"
            else ("maximum likelihood")
        )
        t = (
            ", with t tests and intervals of fixed effects by Satterthwaite's degrees "
            "of freedom"
            if reml.model.design.p
            else ""
        )
        said.append(f"Point estimates are by {full} ({reml.method}){t}.")
    if post is not None:
        status = post.status
        used = listed(
            f"{name} {known.get(name, '')}".strip() for name in software(post)
        )
        what = (
            "all parameters"
            if post.method == "joint"
            else "the variance parameters, with fixed and random effects integrated out"
        )
        said.append(
            f"The posterior, under the priors {priors.name!r} listed below, was "
            f"explored by {SAMPLERS[status.sampler]} over {what}: "
            f"{status.chains} chains of {status.draws:,} draws ({used}). We report "
            f"medians and 95% equal-tailed intervals."
        )
    return " ".join(said)
