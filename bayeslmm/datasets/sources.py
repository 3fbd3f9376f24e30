"""Where each public data set comes from, and which of its columns are factors."""

from dataclasses import dataclass, field

_RDATASETS = (
    "https://raw.githubusercontent.com/vincentarelbundock/Rdatasets/"
    "1dcc2bf5f955cc1224a3e1307256e1fe86b68dae/csv/"
)
_PYSTATSML = (
    "https://raw.githubusercontent.com/duchesnay/pystatsml/"
    "e020a9ffe7c0e853ec6a1a14bd50f7156acce220/statistics/lmm/datasets/"
)
_LME4 = "R package lme4 (GPL >= 2), through Rdatasets"
_NLME = "R package nlme (GPL >= 2), through Rdatasets"
# Levels of InstEval's dept, in the order that R has them.
_DEPARTMENTS = tuple("15,5,10,12,6,7,4,8,9,14,1,3,11,2".split(","))  # noqa: SIM905
_TUTORIAL = "pystatsml (CC-BY 4.0)"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a data set comes from, and which of its columns are factors.

    Attributes
    ----------
    url, sha256 : str
        Address of the CSV file, and the checksum of its content.
    origin : str
        Who made it, and under which licence it may be used.
    factors : dict
        Levels of each factor in the order of R; sorted, as numbers where they are, if
        the tuple is empty.
    ordered : frozenset of str
        Factors whose levels have an order.
    package : tuple of str
        Package of R and name of the data set there, as ``rdatasets`` has it.
    columns : dict of str
        Names there, in the order of the file, if they are others.
    digest : str
        SHA-256 of the values, for a copy that is not the file; see `digest_of`.
    """

    url: str
    sha256: str
    origin: str
    factors: dict[str, tuple[str, ...]]
    ordered: frozenset[str] = field(default_factory=frozenset)
    package: tuple[str, str] | None = None
    columns: dict[str, str] = field(default_factory=dict)
    digest: str = ""


SOURCES = {
    "sleepstudy": Source(
        _RDATASETS + "lme4/sleepstudy.csv",
        "20922ddc87d538bf2344f73d49000eeb2d7e14934b6191a3e071fefc329942c4",
        _LME4,
        {"Subject": ()},
        package=("lme4", "sleepstudy"),
        digest="4cfdb84c24d14262f64a4bdcbe73876718de494fefee193a5b0108c73f042c2b",
    ),
    "Dyestuff": Source(
        _RDATASETS + "lme4/Dyestuff.csv",
        "7a0c76e36c68aad3bddeff58811b89a07fb7a88cbf9ccf5d2b6fa6c30f6ca578",
        _LME4,
        {"Batch": ()},
        package=("lme4", "Dyestuff"),
        digest="384a19b9ed3ba2a7e0acbab8abe578da86a20e2ba7afc2a8349286b170d5e33c",
    ),
    "Dyestuff2": Source(
        _RDATASETS + "lme4/Dyestuff2.csv",
        "51c763504ad0128821c857a27b9189f9d160347fbd111fafda6f58ad3f0db7bf",
        _LME4,
        {"Batch": ()},
        package=("lme4", "Dyestuff2"),
        digest="c6e4b3e47e97a5cc48ab96a6a8b78222707cd04d070dcb5659412e7bc90acccd",
    ),
    "Pastes": Source(
        _RDATASETS + "lme4/Pastes.csv",
        "5b18e90d073850c572f4bb080a397f60b9e8b292d26038d547296c99d87a6e25",
        _LME4,
        {"batch": (), "cask": (), "sample": ()},
        package=("lme4", "Pastes"),
        digest="81c9762a30de0afe51093d943a8a193d8958e13e98224ab9197eb28cf688e29d",
    ),
    "Penicillin": Source(
        _RDATASETS + "lme4/Penicillin.csv",
        "0caff3b1bf332fcb8cc0e410ce3f5e49c390b3bc10beda1bc4587fee1c3a466d",
        _LME4,
        {"plate": (), "sample": ()},
        package=("lme4", "Penicillin"),
        digest="43196a20756d2e154506343cd33dc37a5ba34e77b1b317120a397d585e01f2f2",
    ),
    "InstEval": Source(
        _RDATASETS + "lme4/InstEval.csv",
        "13498ab015df1c2c2af465d13965cca0e91868029b0e4328557b3c709cddf476",
        _LME4,
        {
            "s": (),
            "d": (),
            "studage": (),
            "lectage": (),
            "service": (),
            "dept": _DEPARTMENTS,
        },
        frozenset({"studage", "lectage"}),
        package=("lme4", "InstEval"),
        digest="d51b94b89f6315da40c4c59e7c656990d9dcdbfdf331d29b0fa55a671aa1a477",
    ),
    "cbpp": Source(
        _RDATASETS + "lme4/cbpp.csv",
        "8919ad586aabfa75fa3b3ece7ad7b398c7b31bf17467f17c304cbec86afa910a",
        _LME4,
        {"herd": (), "period": ()},
        package=("lme4", "cbpp"),
        digest="86337cf85f52dfbbb985226bcd94ceaed1ad6701f4507eef776a622bb041d639",
    ),
    "Machines": Source(
        _RDATASETS + "nlme/Machines.csv",
        "4b629377d25a6db6ffc3bef41dfb86dbcc8f4952c19f9170a926cddc4f4f8f91",
        _NLME,
        {"Worker": tuple("624135"), "Machine": ()},
        frozenset({"Worker"}),
        package=("nlme", "Machines"),
        digest="e8f113f90c8d328ead79c2104ad83788e08d80bf4dc1512add1a8f5312a00752",
    ),
    "score_parentedu_byclass": Source(
        _PYSTATSML + "score_parentedu_byclass.csv",
        "d2e30660b9e0d540a057d29c027fba3c19b4aeb9d8ae6ab04b20aabf9f1d8dd9",
        _TUTORIAL,
        {"classroom": ()},
    ),
    "rat_pup": Source(
        _PYSTATSML + "rat_pup.csv",
        "6b9c0d3a52f07e949c41ba4f88b59e4449d39999a80cd4e7730641b1465ffd36",
        _TUTORIAL,
        {"sex": (), "treatment": ()},
        package=("nlme", "RatPupWeight"),
        columns={
            "rownames": "pup_id",
            "weight": "weight",
            "sex": "sex",
            "Litter": "litter",
            "Lsize": "litsize",
            "Treatment": "treatment",
        },
        digest="2ae260dc96ca4598033d838d34ca796fd61544f962021f654e93c91ea9d68d9b",
    ),
}

DATASETS: tuple[str, ...] = tuple(sorted(SOURCES, key=str.lower))
