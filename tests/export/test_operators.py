"""The stateless operators against torch.nn.functional, drawn by hypothesis."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from export_nets import chain
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spikeport.export.interpreter import run
from spikeport.export.operators import operator
from spikeport.export.shapes import output_shape

EVEN = "ignore:Using padding='same' with even kernel:UserWarning"
SEEDS = st.integers(0, 2**32 - 1)


def small(low: int, high: int):
    return st.tuples(st.integers(low, high), st.integers(low, high))


def apply(node: nir.NIRNode, x_BN: np.ndarray) -> np.ndarray:
    """The interpreter's answer, whose shape must be the one that was promised."""
    y_BM = run(chain(x_BN.shape[1:], node), {"input": x_BN[None]}).nodes["output"][0]
    assert y_BM.shape[1:] == output_shape("n", node, x_BN.shape[1:])
    return np.asarray(y_BM)


@pytest.mark.filterwarnings(EVEN)
@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 3), small(1, 3), small(1, 4), small(1, 3), small(1, 2), small(3, 9), st.data())
def test_conv2d(seed, groups, channels, kernel, stride, dilation, side, data):
    named = data.draw(st.sampled_from([None, "same", "valid"])) if stride == (1, 1) else None
    padding = named or data.draw(small(0, 2))
    rng = np.random.default_rng(seed)
    out, inp = channels[0] * groups, channels[1] * groups
    x, weight = rng.normal(size=(2, inp, *side)), rng.normal(size=(out, inp // groups, *kernel))
    bias = rng.normal(size=out)
    tensors = (torch.from_numpy(v) for v in (x, weight, bias))
    try:
        wanted = F.conv2d(*tensors, stride=stride, padding=padding, dilation=dilation, groups=groups).numpy()
    except RuntimeError:
        assume(False)
    got = apply(nir.Conv2d(side, weight, stride, padding, dilation, groups, bias), x)
    np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings(EVEN)
@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 3), small(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.data())
def test_conv1d(seed, groups, channels, kernel, stride, dilation, data):
    length = data.draw(st.integers(10, 14))
    padding = data.draw(st.sampled_from([0, 1, 2, "valid", *(["same"] if stride == 1 else [])]))
    rng = np.random.default_rng(seed)
    out, inp = channels[0] * groups, channels[1] * groups
    x, weight = rng.normal(size=(2, inp, length)), rng.normal(size=(out, inp // groups, kernel))
    bias = rng.normal(size=out)
    tensors = (torch.from_numpy(v) for v in (x, weight, bias))
    wanted = F.conv1d(*tensors, stride=stride, padding=padding, dilation=dilation, groups=groups).numpy()
    got = apply(nir.Conv1d(length, weight, stride, padding, dilation, groups, bias), x)
    np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-10)


def test_same_padding_of_an_even_kernel_pads_behind():
    x = np.arange(1.0, 5.0).reshape(1, 1, 4)
    node = nir.Conv1d(4, np.array([[[1.0, 10.0]]]), 1, "same", 1, 1, np.zeros(1))
    assert apply(node, x).ravel().tolist() == [21, 32, 43, 4]


@settings(max_examples=40, deadline=None)
@given(SEEDS, small(1, 3), small(1, 3), small(4, 9), st.data())
def test_pools(seed, kernel, stride, side, data):
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    x = np.random.default_rng(seed).normal(size=(2, 3, *side))
    wanted = F.avg_pool2d(torch.from_numpy(x), kernel, stride, padding).numpy()
    fields = [np.array(v) for v in (kernel, stride, padding)]
    np.testing.assert_allclose(apply(nir.AvgPool2d(*fields), x), wanted, rtol=1e-12, atol=1e-12)
    total = wanted * kernel[0] * kernel[1]
    np.testing.assert_allclose(apply(nir.SumPool2d(*fields), x), total, rtol=1e-12, atol=1e-12)


def test_bare_numbers_for_pools_and_convolutions_hold_for_both_axes():
    x = np.random.default_rng(0).normal(size=(1, 1, 6, 6))
    two = nir.AvgPool2d(*[np.array([n, n]) for n in (3, 2, 1)])
    one = nir.AvgPool2d(*[np.array(n) for n in (3, 2, 1)])
    np.testing.assert_array_equal(apply(one, x), apply(two, x))


@pytest.mark.parametrize(("start", "end"), [(0, -1), (0, 1), (1, 2), (-2, -1), (1, 1), (0, 0)])
def test_flatten_counts_without_the_batch(start, end):
    x = np.random.default_rng(0).normal(size=(5, 2, 3, 4))
    wanted = torch.stack([torch.flatten(torch.from_numpy(sample), start, end) for sample in x]).numpy()
    np.testing.assert_array_equal(apply(nir.Flatten({"input": np.array([2, 3, 4])}, start, end), x), wanted)


@settings(max_examples=30, deadline=None)
@given(SEEDS, small(1, 6), st.lists(st.integers(1, 3), max_size=2))
def test_affine_works_on_the_last_axis(seed, sizes, more):
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=sizes), rng.normal(size=sizes[0])
    x = rng.normal(size=(2, *more, sizes[1]))
    wanted = F.linear(*(torch.from_numpy(v) for v in (x, weight, bias))).numpy()
    np.testing.assert_allclose(apply(nir.Affine(weight, bias), x), wanted, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(apply(nir.Linear(weight), x), wanted - bias, rtol=1e-10, atol=1e-10)


NODES = {
    "affine": ((4,), lambda r: nir.Affine(r.normal(size=(3, 4)), r.normal(size=3))),
    "scale": ((4,), lambda r: nir.Scale(r.normal(size=4))),
    "conv": ((2, 5, 5), lambda r: nir.Conv2d(None, r.normal(size=(4, 1, 3, 2)), 1, 1, 1, 2, r.normal(size=4))),
    "pool": ((2, 5, 5), lambda r: nir.AvgPool2d(np.array([2, 3]), np.array([1, 2]), np.array([1, 1]))),
    "flatten": ((2, 5, 5), lambda r: nir.Flatten({"input": np.array([2, 5, 5])}, 0, -1)),
}


@pytest.mark.parametrize(("shape", "make"), NODES.values(), ids=NODES.keys())
def test_magnitude_and_gain_bound_what_an_operator_does(shape, make):
    rng = np.random.default_rng(5)
    node = operator(make(rng))
    x, e = rng.normal(size=(20, *shape)), rng.normal(size=(20, *shape))
    assert np.all(np.abs(node.apply(x)) <= node.magnitude(np.abs(x)) * (1 + 1e-12))
    moved = np.abs(node.apply(x + e) - node.apply(x))
    assert np.all(moved <= node.gain(np.abs(e)) + 1e-12)
    assert moved.max() > 0.1
