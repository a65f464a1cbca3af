"""The compiled passes of the counter against numpy, and when a closed model is no longer watched.

Shape suffixes: R rows, N elements of one row.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

from spikeport.benchmarks.counting.torch_counter import SpikeCounter, compiled
from spikeport.benchmarks.counting.torch_counter.compiled import Columns, Nonzero
from spikeport.errors import UnfaithfulError

VALUES = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, 0.5, -3.0, 1e-45, 1 + 2**-23, math.inf, -math.inf, math.nan])


def expected(z: Tensor, width: int) -> np.ndarray:
    """Return [unit, graded] by column."""
    z_RN = z.detach().numpy().reshape(-1, width)
    unit = np.abs(z_RN) == 1
    return np.stack([unit.sum(0), ((z_RN != 0) & ~unit).sum(0)])


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 70), st.integers(1, 9), st.data())
def test_every_value_counts_as_numpy_counts_it(width: int, rows: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(VALUES, min_size=rows * width, max_size=rows * width))
    z = torch.tensor(values).reshape(rows, width)
    columns, nonzero = Columns((width,)), Nonzero()
    assert columns.add(z, rows)
    assert columns.add(z, rows)
    assert nonzero.add(z)
    assert np.array_equal(columns.read().numpy(), 2 * expected(z, width))
    assert nonzero.total == np.count_nonzero(z.numpy())


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(lambda x: x[:, 2], id="a step of a batch-first window"),
        pytest.param(lambda x: x[2], id="a step of a time-first window"),
        pytest.param(lambda x: x[0, :1].expand(7, 3, 4), id="rows that are one row"),
        pytest.param(lambda x: x[:, 0].requires_grad_(), id="with gradient"),
    ],
)
def test_rows_are_found_where_they_lie(view) -> None:
    x = torch.randint(-1, 3, (6, 5, 3, 4), generator=torch.Generator().manual_seed(0)).float()
    z = view(x)
    columns = Columns((3, 4))
    assert columns.add(z, len(z))
    assert np.array_equal(columns.read().numpy(), expected(z, 12))


@pytest.mark.parametrize(
    "z",
    [
        pytest.param(torch.ones(4, 6).T, id="transposed"),
        pytest.param(torch.ones(6, 8)[:, ::2], id="with gaps in the row"),
        pytest.param(torch.ones(6, 4, dtype=torch.float64), id="double"),
        pytest.param(torch.ones(6, 4, dtype=torch.bool), id="bool"),
        pytest.param(nn.Parameter(torch.ones(6, 4)), id="a class of its own"),
    ],
)
def test_what_a_pass_cannot_read_is_left_to_torch(z: Tensor) -> None:
    columns = Columns((4,))
    assert not columns.add(z, 6)
    assert not columns.read().any()


def test_nothing_and_no_memory_count_nothing() -> None:
    columns, nonzero = Columns((4,)), Nonzero()
    for z in (torch.zeros(0, 4), torch._efficientzerotensor((2, 4))):
        assert columns.add(z, len(z))
        assert nonzero.add(z)
    assert (int(columns.read().sum()), nonzero.total) == (0, 0)


def test_more_rows_than_single_precision_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "EXACT_ROWS", 10)
    columns, z = Columns((3,)), torch.tensor([[1.0, 0.0, 2.0]]).repeat(4, 1)
    for _ in range(7):
        assert columns.add(z, 4)
        assert columns._rows < 10
    assert columns.read().tolist() == [[28, 0, 0], [0, 0, 28]]
    assert not columns.add(z.repeat(3, 1), 12), "so many rows at once are left to torch"


def net() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 3), snn.Leaky(0.9, init_hidden=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5)]
    return nn.Sequential(*layers, snn.Leaky(0.9, init_hidden=True, output=True)).eval()


X = (torch.rand(5, 6, 2, 8, 8, generator=torch.Generator().manual_seed(1)) < 0.3).float()


def counted(model: nn.Module, x_BT: Tensor) -> tuple[object, ...]:
    with torch.no_grad(), SpikeCounter(model) as counter:
        counter.start(len(x_BT))
        for t in range(x_BT.shape[1]):
            model(x_BT[:, t])
        counts = counter.counts()
    return counts.layers, {name: (n.spikes, n.updates) for name, n in counts.neurons.items()}


def test_torch_and_the_passes_count_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = counted(net(), X)
    monkeypatch.setattr(compiled, "SPREAD", -1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert counted(net(), X) == passed
    assert not any(compiled.pays(n) for n in (0, 1, 2**20))


def test_a_closed_model_is_watched_until_it_has_run() -> None:
    model = net()
    with torch.no_grad(), SpikeCounter(model) as counter:
        counter.start(5)
        _ = X[:, 0] * 2
        model(X[:, 0])
        left = counter.counts().not_counted
        _ = X[:, 0] - 1
        model(X[:, 1])
        assert counter.counts().not_counted == left, "what its caller does is none of its work"
        counter.start(5)
        model(X[:, 0])
        assert "between modules" not in counter.counts().not_counted
        model[4](torch.ones(5, 36))
        assert "parts were called by themselves" in counter.counts().not_counted["between modules"]
    assert _get_current_dispatch_mode() is None
    assert any("mul" in name for name in left)


def test_parts_alone_stay_watched() -> None:
    model = net()
    with torch.no_grad(), SpikeCounter(model) as counter:
        counter.start(5)
        for t in range(2):
            z = X[:, t]
            for part in model:
                out = part(z)
                z = out[0] if isinstance(out, tuple) else out
            _ = z @ model[4].weight
        counts = counter.counts()
    assert "between modules" not in counts.not_counted
    assert counts.layers["4"].rows == 20


def test_hooks_that_come_later_are_refused() -> None:
    model = net()
    with torch.no_grad(), SpikeCounter(model) as counter:
        counter.start(5)
        model(X[:, 0])
        model[0].register_forward_hook(lambda *_: None)
        with pytest.raises(UnfaithfulError, match="another SpikeCounter"):
            counter.start(5)


def test_a_mode_of_the_callers_own_keeps_its_place() -> None:
    class Seen(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.names: list[str] = []

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.names.append(str(func))
            return func(*args, **(kwargs or {}))

    model = net()
    with torch.no_grad(), SpikeCounter(model) as counter:
        counter.start(5)
        with Seen() as seen:
            model(X[:, 0])
            _ = X[:, 0] + 1
            assert any("add" in name for name in seen.names)
        _ = X[:, 0] * 3
        assert any("mul" in name for name in counter.counts().not_counted), "ours was below, and is still there"
