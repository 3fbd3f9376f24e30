"""Half characters (lone surrogates): said where they are read, never met later."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sampling import sample_unchecked

import bayeslmm as lmm
from bayeslmm import DataError, FormulaError

HALF = "\ud800"


def pupils(**changed: Any) -> pd.DataFrame:
    """Pupils, with columns of Python objects, which alone hold half characters."""
    data = lmm.simulate_classrooms(5, 8, seed=1).data
    data["classroom"] = data["classroom"].astype(object)
    for name, values in changed.items():
        data[name] = pd.Series(values, index=data.index, dtype=object)
    return data


@pytest.mark.parametrize("categorical", [False, True])
@pytest.mark.parametrize("term", ["(1 | sex)", "sex + (1 | classroom)"])
def test_a_level_with_half_a_character_is_refused(term: str, categorical: bool) -> None:
    """It broke figures, netCDF and printing, each with a UnicodeEncodeError."""
    data = pupils(sex=["f", f"m{HALF}"] * 20)
    if categorical:
        sexes = pd.CategoricalDtype(pd.Index(["f", f"m{HALF}"], dtype=object))
        data["sex"] = pd.Categorical.from_codes([0, 1] * 20, dtype=sexes)
    with pytest.raises(DataError, match=r"'sex' has the level 'm.ud800'") as error:
        lmm.Model(f"score ~ edu + {term}", data)
    str(error.value).encode()  # can be printed


def test_what_a_message_advises_works() -> None:
    data = pupils(sex=["f", f"m{HALF}"] * 20)
    with pytest.raises(DataError) as error:
        lmm.Model("score ~ (1 | sex)", data)
    advice = re.search(r"data\['sex'\].*\('utf-8'\)", str(error.value))
    assert advice is not None
    data["sex"] = eval(advice[0], {"data": data})
    model = lmm.Model("score ~ (1 | sex)", data)
    assert model.design.groups[0].levels == ("f", r"m\ud800")


@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_new_data_and_batches_are_read_alike() -> None:
    data = pupils(sex=["f", "m"] * 20)
    odd = pupils(sex=["f", HALF] * 20)
    fit = lmm.Model("score ~ edu + (1 | sex)", data).fit_reml()
    with pytest.raises(DataError, match="half of a character"):
        fit.predict(odd)
    with pytest.raises(DataError, match="Arrow cannot hold"):
        lmm.scan_rows("score ~ (1 | sex)", [odd])


def test_a_formula_with_half_a_character_is_refused() -> None:
    with pytest.raises(FormulaError, match="half of a character") as error:
        lmm.Model(f"score ~ `edu{HALF}` + (1 | classroom)", pupils())
    str(error.value).encode()


@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_labels_of_rows_are_written_out(tmp_path: Any) -> None:
    data = pupils()
    data.index = pd.Index([f"{HALF}{i}" for i in range(40)], dtype=object)
    model = lmm.Model("score ~ edu + (1 | classroom)", data)
    post = sample_unchecked(model, seed=1, draws=20, chains=2, log_likelihood=True)
    post.save(tmp_path / "draws.nc")
    assert np.asarray(model.row_labels)[0] == r"\ud8000"
