"""Types and shapes are checked: at once, of results too, and again in long loops."""

import numpy as np
import pytest
from jaxtyping import Float, TypeCheckError
from typechecks import FIRST, STEP, checked, jaxtyped, start_test


@jaxtyped(typechecker=checked)
def scaled(
    x: Float[np.ndarray, " n"], by: Float[np.ndarray, " n"], rows: int = 0
) -> Float[np.ndarray, " n"]:
    return (x * by)[rows:]


THREE = np.ones(3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((THREE, np.ones(2)), "parameter 'by'"),
        ((THREE, 1.0), "parameter 'by'"),
        ((THREE.astype(int), THREE), "parameter 'x'"),
        ((THREE, THREE, 1), "return value"),
    ],
)
def test_the_first_wrong_call_is_refused(arguments, words):
    with pytest.raises(TypeCheckError, match=words):
        scaled(*arguments)


def test_long_loops_are_checked_now_and_then_and_another_test_anew():
    start_test()
    for _ in range(FIRST):
        scaled(THREE, THREE)
    refused = 0
    for _ in range(3 * STEP):
        try:
            scaled(THREE, THREE, 1)
        except TypeCheckError:
            refused += 1
    assert refused == 3
    start_test()
    with pytest.raises(TypeCheckError, match="return value"):
        scaled(THREE, THREE, 1)
