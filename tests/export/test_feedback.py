"""Feedback by hand: `def forward(self, x, prev): ...; return out, new_prev`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import snntorch
import torch
from torch import Tensor, nn

from spikeport.deploy import backends
from spikeport.deploy.deployment import audit_run
from spikeport.deploy.lockstep import looped_stages
from spikeport.deploy.pipeline import lower_network, run_network
from spikeport.errors import ArtefactError, UnfaithfulError, UsageError
from spikeport.export.bundle import Bundle
from spikeport.export.call import export
from spikeport.export.convert import convert
from spikeport.export.convert.private import forget
from spikeport.export.interpreter import run
from spikeport.export.stages import TensorRegister
from spikeport.models.network import core_network

T, B, DT = 30, 3, 1e-3


def spikes(*shape: int) -> Tensor:
    return (torch.rand(T, B, *shape, generator=torch.Generator().manual_seed(3)) < 0.4).float()


def neuron(**kwargs: Any) -> snntorch.Leaky:
    return snntorch.Leaky(beta=0.8, init_hidden=True, **kwargs)


class Base(nn.Module):
    """What the wirings below are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.first = nn.Linear(6, 8), neuron()
        self.v, self.last = nn.Linear(8, 8), neuron(reset_mechanism="zero")
        self.back = nn.Linear(8, 8)
        self.plain = nn.Linear(8, 8, bias=False)
        self.norm = nn.LayerNorm(8)


class Above(Base):
    """The second layer's spikes reach the first one step later, through weights with a bias."""

    def forward(self, x: Tensor, prev: Tensor) -> tuple[Tensor, Tensor]:
        y = self.last(3 * self.v(self.first(3 * self.w(x) + self.back(prev))))
        return y, y


class Direct(Base):
    """A neuron reads a layer's spikes of now and of the step before."""

    def forward(self, x: Tensor, prev: Tensor) -> tuple[Tensor, Tensor]:
        h = self.first(3 * self.w(x))
        return self.last(h + prev), h


class Weighted(Base):
    """What comes back is a stateless function of spikes that gives 0 of nothing."""

    def forward(self, x: Tensor, prev: Tensor) -> tuple[Tensor, Tensor]:
        y = self.last(3 * self.v(self.first(3 * self.w(x) + prev)))
        return y, self.plain(y)


class Joined(Base):
    """Its shape shows only behind the layer that reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Linear(14, 8)

    def forward(self, x: Tensor, prev: Tensor) -> Tensor:
        y: Tensor = self.first(3 * self.both(torch.cat([x, prev], 1)))
        return y


class Biased(Base):
    """What comes back has a bias, which NIR would give before the first step already."""

    def forward(self, x: Tensor, prev: Tensor) -> tuple[Tensor, Tensor]:
        y = self.last(3 * self.v(self.first(3 * self.w(x) + prev)))
        return y, self.back(y)


class Across(Base):
    """Chip -> host -> chip, and back to the first."""

    def forward(self, x: Tensor, prev: Tensor) -> tuple[Tensor, Tensor]:
        y = self.last(3 * self.v(self.norm(self.first(3 * self.w(x) + self.back(prev)))))
        return y, y


class Through(Base):
    """An input, and an argument, of the step before."""

    def forward(self, x: Tensor, prev: Tensor) -> tuple[Tensor, Tensor]:
        return self.first(3 * self.w(x) + 3 * self.w(prev)), x


def own_loop(model: nn.Module, x_TB: Tensor, place: int, delayed: bool = True) -> Tensor:
    """The user's own loop; the naive one never feeds back."""
    forget(model)
    prev, rows = torch.zeros(B, 8), []
    with torch.no_grad():
        for x in x_TB:
            out = model(x, prev)
            out = out if isinstance(out, tuple) else (out,)
            prev = out[place] if delayed else prev
            rows.append(out[0])
    return torch.stack(rows)


def reference(bundle: Bundle) -> dict[str, Any]:
    network = bundle.network
    return run_network(network, lower_network(network, backends.get("reference")), bundle.golden().inputs).tensors


@pytest.mark.parametrize(
    ("kind", "place", "registers"),
    [
        (Above, 1, {("last", "back")}),
        (Direct, 1, {("first", "prev")}),
        (Weighted, 1, {("plain", "first_membrane")}),
        (Joined, 0, {("first", "both_2")}),
    ],
)
def test_a_loop_on_the_chip_is_a_register_edge(
    kind: type[Base], place: int, registers: set[tuple[str, str]], tmp_path: Path
) -> None:
    model, x_TB = kind(), spikes(6)
    bundle = export(model, x_TB, DT, tmp_path / "n.bundle", feedback={"prev": place})
    (stage,) = bundle.network.chips
    assert stage.graph.inputs == ("x",)
    loops = {edge for edge in stage.graph.registers if not edge[1].endswith("_reset")}
    assert loops == registers
    assert ("prev" in stage.graph.nodes) == (kind is Direct)
    expected = own_loop(model, x_TB, place)
    np.testing.assert_array_equal(reference(bundle)[bundle.network.outputs[0]], expected)
    assert expected.sum() > 20
    assert not torch.equal(own_loop(model, x_TB, place, delayed=False), expected)


@pytest.fixture(scope="module")
def across(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, nn.Module]:
    torch.manual_seed(0)
    model = Across()
    out = tmp_path_factory.mktemp("across") / "n.bundle"
    return export(model, spikes(6), DT, out, feedback={"prev": 1}), model


def test_a_loop_across_stages_runs_in_lockstep(across: tuple[Bundle, nn.Module]) -> None:
    (bundle, model), x_TB = across, spikes(6)
    (register,) = bundle.network.registers
    assert (register.tensor, register.source, register.shape) == ("prev", "stage_2", (8,))
    expected = own_loop(model, x_TB, 1)
    network, golden = bundle.network, bundle.golden()
    ran = run_network(network, lower_network(network, backends.get("reference")), golden.inputs)
    np.testing.assert_array_equal(ran.tensors["stage_2"], expected)
    assert expected.sum() > 20
    assert not torch.equal(own_loop(model, x_TB, 1, delayed=False), expected)
    for stage in network.chips:
        for node in stage.graph.spiking:
            np.testing.assert_array_equal(ran.recordings[stage.name].nodes[node], golden.nodes[stage.name][node])
    for name in ("norse", "lava-float"):
        with pytest.raises(UnfaithfulError, match=f"'stage_2' of the step before.*'{name}'"):
            lower_network(network, backends.get(name))


class Cell(Base):
    """A cell of torch, whose hidden state forward hands back."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, prev: Tensor) -> tuple[Tensor, Tensor]:
        now = self.cell(self.first(3 * self.w(x)), prev)
        return self.last(3 * self.v(now)), now


class LongCell(Cell):
    def forward(self, x: Tensor, prev: Tensor, c: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        now, c = self.cell(self.first(3 * self.w(x)), (prev, c))
        return self.last(3 * self.v(now)), now, c


@pytest.mark.parametrize("cell", [nn.GRUCell, nn.RNNCell, nn.LSTMCell])
def test_a_cells_hidden_state_comes_back(cell: type[nn.Module], tmp_path: Path) -> None:
    long = cell is nn.LSTMCell
    model, x_TB = (LongCell if long else Cell)(cell(8, 8)), spikes(6)
    feedback = {"prev": 1, "c": 2} if long else {"prev": 1}
    bundle = export(model, x_TB, DT, tmp_path / "n.bundle", feedback=feedback)
    forget(model)
    states, rows = [torch.zeros(B, 8)] * len(feedback), []
    with torch.no_grad():
        for x in x_TB:
            y, *states = model(x, *states)
            rows.append(y)
    expected = torch.stack(rows)
    np.testing.assert_array_equal(reference(bundle)[bundle.network.outputs[0]], expected)
    assert expected.sum() > 10


def test_every_chip_stage_of_a_loop_can_be_audited(across: tuple[Bundle, nn.Module]) -> None:
    network, bundle = across[0].network, across[0]
    ran = run_network(network, lower_network(network, backends.get("reference")), bundle.golden().inputs)
    assert all(agreement.exact for agreement in audit_run(network, ran).values())


def test_a_register_that_no_stage_writes_is_refused(across: tuple[Bundle, nn.Module]) -> None:
    damaged = replace(across[0].network, registers=(TensorRegister("prev", "stage_9", (8,)),))
    with pytest.raises(ArtefactError, match="prev"):
        looped_stages(damaged)


def test_a_bias_on_the_loop_is_refused_with_the_value_of_its_start() -> None:
    model = Biased()
    with pytest.raises(UnfaithfulError, match=r"'back', which gives .* before the first step"):
        convert(model, {"x": spikes(6)[0]}, DT, feedback={"prev": 1})
    # And rightly so: as a register edge it is another network, that starts with the bias.
    assert model.back.bias.abs().max() > 0


def test_the_argument_is_named_where_feedback_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"argument 'prev'.*feedback=\{'prev': "):
        export(Above(), spikes(6), DT, tmp_path / "n.bundle")


@pytest.mark.parametrize(
    ("kind", "feedback", "error", "reason"),
    [
        (Above, {"perv": 1}, UsageError, "no such argument.*prev"),
        (Above, {"prev": 2}, UsageError, r"outputs are \[0, 1\]"),
        (Above, {"prev": -1}, UsageError, r"outputs are \[0, 1\]"),
        (Above, {"x": 1}, UsageError, "in the sample too"),
        (Through, {"prev": 1}, UnfaithfulError, "as it came"),
    ],
)
def test_refused(kind: type[Base], feedback: dict[str, int], error: type[Exception], reason: str, tmp_path) -> None:
    with pytest.raises(error, match=reason):
        export(kind(), spikes(6), DT, tmp_path / "n.bundle", feedback=feedback)
    assert list(tmp_path.iterdir()) == []


def test_a_neurons_own_state_needs_no_feedback() -> None:
    class ByHand(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w, self.first = nn.Linear(6, 8), snntorch.Leaky(beta=0.8)

        def forward(self, x: Tensor, mem: Tensor) -> tuple[Tensor, Tensor]:
            spk, mem = self.first(self.w(x), mem)
            return spk, mem

    with pytest.raises(UsageError, match="neuron's state"):
        convert(ByHand(), {"x": spikes(6)[0]}, DT, feedback={"mem": 1})


def test_a_spiking_network_calls_its_core_without_feedback(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="SpikingNetwork"):
        export(core_network(Above(), None, ("x", "prev")), {"x": spikes(6)}, DT, tmp_path / "n", feedback={"prev": 1})


def test_a_shape_that_cannot_be_told_is_asked_for() -> None:
    class Ring(Base):
        def forward(self, x: Tensor, prev: Tensor) -> tuple[Tensor, Tensor]:
            return self.first(3 * self.w(x)), self.last(2 * prev)

    with pytest.raises(UsageError, match="shape cannot be told"):
        convert(Ring(), {"x": spikes(6)[0]}, DT, feedback={"prev": 1})


def test_the_first_step_sees_nothing() -> None:
    """One neuron, beta 0, theta 1: prev adds 2, so it spikes at the step after an input spike, and ever after."""

    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = snntorch.Leaky(beta=0.0, threshold=1.0, init_hidden=True, reset_mechanism="none")
            self.last = snntorch.Leaky(beta=0.0, threshold=1.0, init_hidden=True, reset_mechanism="none")

        def forward(self, x: Tensor, prev: Tensor) -> tuple[Tensor, Tensor]:
            h = self.first(2 * x)
            y = self.last(2 * prev)
            return y, h

    x_TB = torch.tensor([1.0, 0, 0, 1, 1, 0]).reshape(-1, 1, 1)
    with pytest.raises(UsageError):
        convert(One(), {"x": x_TB[0]}, DT, feedback={"prev": 0})
    conversion = convert(One(), {"x": x_TB[0]}, DT, feedback={"prev": 1})
    assert not any(isinstance(node, nir.Input) and name == "prev" for name, node in conversion.graph.nodes.items())
    got = run(conversion.graph, {"x": x_TB.numpy()}).nodes["output_0"]
    assert got.ravel().tolist() == [0, 1, 0, 0, 1, 1]
