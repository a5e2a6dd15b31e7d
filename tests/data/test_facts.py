import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minamo.data import Prepare, Rows, as_dataset, gather
from minamo.data import dataset as module


def _rounded(value: float) -> float:
    return round(value, 3)


@given(
    hnp.arrays(
        np.float64, st.tuples(st.integers(2, 40), st.integers(1, 4)), elements=st.floats(-1e6, 1e6).map(_rounded)
    ),
    st.integers(1, 9),
)
def test_moments_are_numpys_whatever_the_blocks(x, block):
    kept, module.ROWS_AT_ONCE = module.ROWS_AT_ONCE, block
    try:
        facts = gather(as_dataset(x, "x"))
    finally:
        module.ROWS_AT_ONCE = kept
    assert facts.mean == pytest.approx(x.mean(0), rel=1e-9, abs=1e-6)
    assert np.sqrt(facts.var) == pytest.approx(x.std(0), rel=1e-6, abs=1e-3)
    assert set(facts.constant) == set(np.flatnonzero((x == x[0]).all(0)))


def test_a_large_mean_costs_no_accuracy():
    x = 1e9 + np.random.default_rng(0).normal(size=(10_000, 2))
    assert gather(as_dataset(x, "dates")).var == pytest.approx(x.var(0), rel=1e-6)


def test_standardizing_gives_mean_0_variance_1_and_its_determinant():
    x = np.random.default_rng(0).normal([5, 1e9, 2], [3, 100, 1], size=(500, 3))
    x[:, 2] = 7.0
    data = as_dataset(x, "x")
    prepare = Prepare.standardizing(gather(data), 1.0)
    model = next(iter(Rows(data.x, prepare).batches(500))).x.double().numpy()
    assert model.mean(0) == pytest.approx([0, 0, 0], abs=1e-6)
    assert model.std(0) == pytest.approx([1, 1, 0], abs=1e-6)
    assert prepare.log_det == pytest.approx(-np.log(x[:, :2].std(0)).sum())
    again = Prepare.from_json(prepare.to_json())
    assert again.to_model(Rows(data.x, prepare).x).equal(prepare.to_model(Rows(data.x, prepare).x))


def test_inspection_and_batches_make_no_second_copy():
    """A resident array is shared: what `Rows` holds is the memory it was given."""
    x = np.zeros((100, 10), np.float32)
    data = as_dataset(x, "x")
    assert np.shares_memory(x, data.x)
    assert Rows(data.x, Prepare()).x.data_ptr() == x.ctypes.data
