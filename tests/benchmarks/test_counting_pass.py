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

from spikeport.benchmarks.counting.torch_counter import SpikeCounter, compiled
from spikeport.benchmarks.counting.torch_counter.compiled import Columns, Nonzero
from spikeport.errors import UnfaithfulError, UsageError

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


def test_what_the_caller_of_a_closed_model_does_is_none_of_its_work() -> None:
    model = net()
    with torch.no_grad(), SpikeCounter(model) as counter:
        counter.start(5)
        _ = X[:, 0] * 2
        model(X[:, 0])
        left = counter.counts().not_counted
        assert not any("mul" in name for name in left)
        assert "between modules" not in left
        model[4](torch.ones(5, 36))
        assert "parts of the model were called by themselves" in counter.counts().not_counted["between modules"]


def test_the_caller_of_another_model_is_watched() -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = net()

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x)[0]

    model = Whole().eval()
    with torch.no_grad(), SpikeCounter(model) as counter:
        counter.start(5)
        _ = X[:, 0] * 2
        model.layers[4](torch.ones(5, 36)) @ torch.ones(5, 3)
        counts = counter.counts()
    assert any("mul" in name for name in counts.not_counted)
    assert any("mm" in name for name in counts.layers)


def test_hooks_that_come_later_are_refused() -> None:
    model = net()
    with torch.no_grad(), SpikeCounter(model) as counter:
        counter.start(5)
        model(X[:, 0])
        model[0].register_forward_hook(lambda *_: None)
        with pytest.raises(UnfaithfulError, match="another SpikeCounter"):
            counter.start(5)


@pytest.mark.parametrize("by", [{}, {"by_step": True}, {"by_sample": True}])
@pytest.mark.parametrize("spread", [2**18, -1])
def test_inference_mode_counts_the_same_and_is_read_outside(by, spread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "SPREAD", spread)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    found = []
    for mode in (torch.no_grad, torch.inference_mode):
        model = net()
        with SpikeCounter(model, **by) as counter:
            for _ in range(2):
                counter.start(5)
                with mode():
                    model(X[:, 0])
                    model(X[:, 1])
                found.append(counter.counts())
    assert found[:2] == found[2:]


def test_attention_in_inference_mode_is_read_outside() -> None:
    class Attends(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x @ x.mT

    with SpikeCounter(Attends().eval()) as counter:
        for turn in (1, 2):
            counter.start(2)
            with torch.inference_mode():
                counter.model(torch.ones(2, 3, 4))
            assert counter.counts().synops_ac == turn * 2 * 3 * 4 * 3


class Handwritten(nn.Module):
    """A LIF whose membrane is a buffer that each step replaces."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(n, n, generator=torch.Generator().manual_seed(n)) * 0.5)
        self.register_buffer("mem", torch.zeros(8, n))

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.linear(x, self.w)
        self.mem = 0.9 * self.mem + y
        z = (self.mem > 0.3).float()
        self.mem = self.mem - z
        return z


def test_a_replaced_buffer_makes_nothing_else_a_constant() -> None:
    model = nn.Sequential(Handwritten(128), Handwritten(128), Handwritten(128)).eval()
    x = (torch.rand(8, 20, 128, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    with torch.no_grad(), SpikeCounter(model) as counter:
        counter.start(8)
        for t in range(20):
            model(x[:, t])
    assert [layer.rows for layer in counter.counts().layers.values()] == [160, 160, 160]


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_buffer_that_numpy_fills_anew_is_looked_at_anew(kind: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "SPREAD", -1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    buffer = torch.zeros(6, 1, 4, dtype=kind)
    model = nn.Linear(4, 2, bias=False).to(kind).eval()
    with torch.no_grad(), SpikeCounter(model) as counter:
        for value in (1.0, 0.5):
            buffer.numpy()[:] = value
            counter.start(6)
            model(buffer[:, 0])
    assert (counter.counts().synops_ac, counter.counts().synops_mac) == (48, 48)


def test_two_counters_of_one_model_are_refused() -> None:
    model = net()
    with SpikeCounter(model), pytest.raises(UsageError, match="another SpikeCounter"), SpikeCounter(model):
        pass
    assert "forward" not in model[0].__dict__


def test_a_model_that_changes_while_it_is_counted_is_refused() -> None:
    for change in (
        lambda m: m.append(nn.Identity()),
        lambda m: m.__setitem__(0, nn.Identity()),
        lambda m: m[0].register_forward_hook(lambda *_: None),
    ):
        model = net()
        with torch.no_grad(), SpikeCounter(model) as counter:
            counter.start(5)
            model(X[:, 0])
            change(model)
            with pytest.raises(UnfaithfulError, match="while it was counted"):
                model(X[:, 0])


def test_a_model_converted_after_it_was_named_keeps_its_names() -> None:
    model = Handwritten(4).eval()
    counter = SpikeCounter(model)
    model.double()
    with torch.no_grad(), counter:
        counter.start(8)
        model(torch.ones(8, 4, dtype=torch.float64))
    assert {name: layer.weights for name, layer in counter.counts().layers.items()} == {"w": 16}


def test_a_neuron_without_a_rule_is_listed() -> None:
    model = nn.Sequential(snn.LeakyParallel(4, 4)).eval()
    with torch.no_grad(), SpikeCounter(model) as counter:
        counter.start(2)
        model(torch.ones(3, 2, 4))
    assert "is no known neuron" in counter.counts().not_counted["0"]


def test_a_complex_input_is_refused_whenever_it_comes() -> None:
    model = nn.Conv1d(1, 1, 2, bias=False).eval()
    with torch.no_grad(), SpikeCounter(model) as counter:
        counter.start(1)
        model(torch.ones(1, 1, 4))
        with pytest.raises(UnfaithfulError, match="complex"):
            model(torch.ones(1, 1, 4, dtype=torch.complex64))


def test_a_backward_pass_is_listed_and_not_counted() -> None:
    model = Handwritten(4).eval()
    with SpikeCounter(model) as counter:
        counter.start(8)
        model(torch.ones(8, 4))
        model.mem.sum().backward()
        counts = counter.counts()
    assert counts.not_counted["backward"] == "the backward pass, which is none of inference"
    assert {name: layer.dense for name, layer in counts.layers.items()} == {"w": 8 * 16}


def test_weights_that_change_under_their_map_are_refused() -> None:
    for kept in (False, True):
        model = nn.Linear(4, 3, bias=False).eval()
        with torch.no_grad(), SpikeCounter(model, nonzero_weights_only=kept) as counter:
            counter.start(1)
            model(torch.ones(1, 4))
            model.weight.zero_()
            if not kept:
                counter.start(1)
                continue
            with pytest.raises(UnfaithfulError, match=r"layer 'Linear'.*weights changed"):
                counter.start(1)


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
def test_sparse_inputs_are_refused(layout: torch.layout) -> None:
    model = nn.Linear(4, 3, bias=False).eval()
    with torch.no_grad(), SpikeCounter(model) as counter:
        counter.start(2)
        with pytest.raises(UnfaithfulError, match="dense tensors"):
            model(torch.eye(4)[:2].to_sparse(layout=layout))


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_a_layer_without_weights_yet_is_refused_and_one_without_inputs_counts_nothing() -> None:
    with pytest.raises(UnfaithfulError, match="no weights yet"):
        SpikeCounter(nn.LazyLinear(3).eval())
    model = nn.Linear(0, 3).eval()
    with torch.no_grad(), SpikeCounter(model) as counter:
        counter.start(2)
        model(torch.ones(2, 0))
    assert counter.counts().synops_ac == 0
