"""Host stages with state: snnTorch's spiking LSTM cells, step by step, as torch runs them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import snntorch
import torch
from onnx import TensorProto, helper
from torch import Tensor, fx, nn

from spikeport.deploy import backends
from spikeport.deploy.pipeline import lower_network, run_network
from spikeport.errors import ArtefactError, UnfaithfulError
from spikeport.export.bundle import Bundle
from spikeport.export.convert.private import forget
from spikeport.export.host_run import HostStepper
from spikeport.export.host_state import STATE_IN, HostNeuron, SpikingLSTMStep, host_neurons
from spikeport.export.host_verify import verify_steps
from spikeport.export.manifest import HostSpec
from spikeport.export.network import Description, export_network
from spikeport.export.onnx_macs import macs_per_call
from spikeport.export.onnx_stage import HostFunction
from spikeport.export.stages import HostStage

ABOUT = Description("host", {}, {})
T, B = 25, 3
RESETS = ("none", "subtract", "zero")


def spikes(*shape: int) -> Tensor:
    return (torch.rand(T, B, *shape, generator=torch.Generator().manual_seed(3)) < 0.4).float()


def neuron(**kwargs: Any) -> snntorch.Leaky:
    return snntorch.Leaky(beta=0.8, init_hidden=True, **kwargs)


class Dense(nn.Module):
    """Leaky -> SLSTM -> SLSTM without memory -> Leaky, every state inside."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self.w, self.first = nn.Linear(6, 8), neuron()
        self.cell = snntorch.SLSTM(8, 8, threshold=0.05, init_hidden=True, **kwargs)
        self.wide = snntorch.SLSTM(8, 5, threshold=0.05, init_hidden=True)
        self.v, self.last = nn.Linear(5, 4), neuron()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(4 * self.v(self.wide(self.cell(self.first(3 * self.w(x))))))
        return y


class ByHand(nn.Module):
    """A pooling SConv2dLSTM whose states the user's loop carries, between convolutions."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self.w, self.first = nn.Conv2d(1, 2, 3, padding=1), neuron()
        self.cell = snntorch.SConv2dLSTM(2, 4, 3, threshold=0.05, **kwargs)
        self.v, self.last = nn.Linear(4 * 2 * 2, 4), neuron()

    def forward(self, x: Tensor, syn: Tensor, mem: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        spk, syn, mem = self.cell(self.first(3 * self.w(x)), syn, mem)
        return self.last(4 * self.v(spk.flatten(1))), syn, mem


def run(bundle: Bundle) -> dict[str, Any]:
    golden = bundle.golden()
    ran = run_network(bundle.network, lower_network(bundle.network, backends.get("reference")), golden.inputs)
    for stage, nodes in golden.nodes.items():
        for name, values in nodes.items():
            np.testing.assert_allclose(ran.recordings[stage].nodes[name], values, atol=1e-5, err_msg=name)
    return ran.tensors


def host(bundle: Bundle) -> HostStage:
    (stage,) = (stage for stage in bundle.network.stages if isinstance(stage, HostStage))
    return stage


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("kind", ["dense", "forgetful", "conv", "max", "avg"])
def test_a_step_is_snntorchs_own_to_the_last_bit(kind: str, reset: str) -> None:
    about: dict[str, Any] = {"threshold": 0.05, "reset_mechanism": reset, "init_hidden": True, "output": True}
    if kind in ("dense", "forgetful"):
        layer: Any = snntorch.SLSTM(8, 8 if kind == "dense" else 5, **about)
        x_TB = spikes(8)
    else:
        pools = {"max": {"max_pool": 2}, "avg": {"avg_pool": 2}}.get(kind, {})
        layer = snntorch.SConv2dLSTM(2, 3, 3, **pools, **about)
        x_TB = spikes(2, 4, 4)
    cell = HostNeuron("n", layer)
    step = SpikingLSTMStep(cell)
    states = [] if cell.forgets else [torch.zeros(0)]
    fired, delayed = 0.0, 0.0
    with torch.no_grad():
        for x_B in x_TB:
            expected = layer(x_B)
            if states and states[0].numel() == 0:
                states = [torch.zeros_like(expected[1])] * 2
            got = step(x_B, *states)
            delayed += float((states[1] > 0.05).sum()) if states else 0.0
            assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
            states = list(got[1:]) if states else []
            fired += float(got[0].sum())
    assert fired > 10
    assert delayed > 10 or cell.forgets


def test_the_reset_waits_one_step() -> None:
    """Weights 0: i = f = o = 1/2, g = tanh 2. syn: 0.482, 0.723, ...; mem = tanh(syn) / 2, then minus the reset."""
    layer = snntorch.SLSTM(1, 1, threshold=0.2, init_hidden=True, output=True, reset_mechanism="subtract")
    with torch.no_grad():
        for p in layer.parameters():
            p.zero_()
        layer.lstm_cell.bias_ih[2] = 2.0
    step = SpikingLSTMStep(HostNeuron("n", layer))
    syn = mem = torch.zeros(1, 1)
    seen = []
    with torch.no_grad():
        for _ in range(3):
            spk, syn, mem = step(torch.zeros(1, 1), syn, mem)
            seen.append((float(spk), round(float(syn), 4), round(float(mem), 4)))
    # 0.2239 > 0.2 spikes and is not yet reset; 0.3093 - 0.2 is, and so is silent; then no reset is due.
    assert seen == [(1.0, 0.482, 0.2239), (0.0, 0.723, 0.1094), (1.0, 0.8435, 0.3438)]


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, nn.Module]:
    torch.manual_seed(0)
    model = Dense(reset_mechanism="subtract")
    return export_network(model, spikes(6), 1e-3, tmp_path_factory.mktemp("d") / "n.bundle", ABOUT), model


def test_a_dense_cell_runs_beside_the_chip(dense: tuple[Bundle, nn.Module]) -> None:
    bundle, model = dense
    stage = host(bundle)
    assert dict(stage.states) == {"cell/syn": (8,), "cell/mem": (8,)}
    assert bundle.manifest.verification.status == "exact"
    tensors = run(bundle)
    forget(model)
    with torch.no_grad():
        expected = torch.stack([model(x) for x in spikes(6)])
    (name,) = bundle.network.outputs
    np.testing.assert_array_equal(tensors[name], expected)
    assert expected.sum() > 20


def test_every_sample_starts_from_zero_and_every_step_does_not(dense: tuple[Bundle, nn.Module]) -> None:
    bundle, _ = dense
    stage, tensors = host(bundle), run(bundle)
    ((node, tensor),), ((_, written),) = stage.inputs.items(), stage.outputs.items()
    np.testing.assert_array_equal(run(bundle)[written], tensors[written])
    zeros = {STATE_IN + n: np.zeros((B, *shape), np.float32) for n, shape in stage.states.items()}
    naive = [HostFunction(stage.path)({node: x, **zeros})[written] for x in tensors[tensor]]
    assert np.any(np.stack(naive) != tensors[written])


def test_a_cell_that_snntorch_lets_forget_has_no_state_and_says_so(dense: tuple[Bundle, nn.Module]) -> None:
    bundle, _ = dense
    (note,) = (r for r in bundle.manifest.rewrites if r.node == "wide")
    assert "input_size" in note.what


def test_dense_cells_are_counted(dense: tuple[Bundle, nn.Module]) -> None:
    stage = host(dense[0])
    assert stage.macs_per_call == 4 * 8 * (8 + 8) + 4 * 5 * (8 + 5)
    assert stage.input_elements == 8 + 16
    assert stage.output_elements == 5 + 16
    assert {"Sigmoid", "Tanh", "Mul"} <= set(stage.not_counted)


def test_a_convolutional_cell_with_states_by_hand(tmp_path: Path) -> None:
    model = ByHand(reset_mechanism="zero", max_pool=2)
    x_TB = spikes(1, 4, 4)
    bundle = export_network(model, {"x": x_TB}, 1e-3, tmp_path / "n.bundle", ABOUT)
    stage = host(bundle)
    assert dict(stage.states) == {"cell/syn": (4, 4, 4), "cell/mem": (4, 4, 4)}
    # 16 gate channels, each a sum over 2 + 4 channels; 3 taps at 4 places of an axis, 2 of which meet padding.
    assert stage.macs_per_call == 16 * 6 * (4 * 3 - 2) ** 2
    assert stage.weights == 16 * 6 * 9
    syn = mem = torch.zeros(0)
    rows = []
    with torch.no_grad():
        for x in x_TB:
            y, syn, mem = model(x, syn, mem)
            rows.append(y)
    (name,) = bundle.network.outputs
    np.testing.assert_array_equal(run(bundle)[name], torch.stack(rows))


def test_grouped_convolutions_are_counted(tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 4, 6, 5])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    kernel = helper.make_tensor("w", TensorProto.FLOAT, [8, 2, 3, 1], np.ones(48))
    node = helper.make_node("Conv", ["x", "w"], ["c"], group=2, strides=[2, 1], pads=[1, 0, 0, 0])
    last = helper.make_node("Softplus", ["c"], ["y"])
    graph = helper.make_graph([node, last], "g", [x], [y], [kernel])
    onnx.save(helper.make_model(graph), tmp_path / "c.onnx")
    # Along the first axis one place of padding in front, 3 taps, stride 2: 3 outputs, the first of which misses one.
    assert macs_per_call(tmp_path / "c.onnx") == (8 * 2 * (3 * 3 - 1) * 5, ("Softplus",))


def test_quantised_states_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnfaithfulError, match="neuron 'cell': state_quant"):
        export_network(Dense(state_quant=lambda x: x.round()), spikes(6), 1e-3, tmp_path / "n.bundle", ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_a_cell_called_twice_is_refused() -> None:
    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            return isinstance(m, snntorch.SLSTM)

    model = nn.Sequential(cell := snntorch.SLSTM(3, 3, init_hidden=True), cell)
    with pytest.raises(UnfaithfulError, match="twice"):
        host_neurons(fx.GraphModule(model, Tracer().trace(model)))


@dataclass
class Replay:
    """A stepper that answers what it was told, and keeps what it is given to go on from."""

    answers: list[dict[str, np.ndarray]]
    state: dict[str, np.ndarray] = field(default_factory=dict)
    resumed: list[float] = field(default_factory=list)

    def step(self, inputs_B: Any) -> dict[str, np.ndarray]:
        if self.state:
            self.resumed.append(float(self.state["n/mem"][0, 0]))
        answer = self.answers.pop(0)
        self.state = {"n/mem": answer["state_out/n/mem"]}
        return answer


def one_difference(above: float) -> tuple[Replay, Any]:
    """Two samples of 60,000 neurons, two steps; one spike differs, `above` its threshold in torch."""
    shape = (2, 2, 60_000)
    torch_spikes, margin, mem = torch.zeros(shape), torch.full(shape, -0.5), torch.full(shape, 0.5)
    torch_spikes[0, 0, 7], margin[0, 0, 7] = 1, above
    inside = {"spikes/n": torch_spikes, "n": margin, "state_out/n/mem": mem}
    answers = [{"spikes/n": np.zeros(shape[1:]), "state_out/n/mem": mem[t].numpy() + np.float32(1e-6)} for t in (0, 1)]
    neurons, replay = ["n"], Replay(answers)
    expected = {"state_out/n/mem": mem}
    return replay, lambda: verify_steps("host_1", replay, {"x": mem}, expected, neurons, inside)  # type: ignore[arg-type]


def test_a_spike_within_rounding_is_a_tie_and_the_sample_goes_on_from_torch() -> None:
    replay, verify = one_difference(2e-6)
    agreement = verify()
    assert (agreement.ties, agreement.entries) == (1, 240_000)
    assert agreement.difference == pytest.approx(1e-6, rel=0.1)
    assert replay.resumed == [0.5]


def test_a_spike_beyond_rounding_is_another_network() -> None:
    _, verify = one_difference(5e-5)
    with pytest.raises(UnfaithfulError, match=r"neuron 'n' \[7\].*step 0, sample 0.*5e-05"):
        verify()


def test_a_file_without_the_manifests_state_is_refused(dense: tuple[Bundle, nn.Module]) -> None:
    with pytest.raises(ArtefactError, match="cell/v"):
        HostStepper(host(dense[0]).path, {"cell/v": (8,)}, B)


def test_a_bundle_of_before_opens() -> None:
    old = {"name": "h", "file": "h.onnx", "sha256": "0" * 64, "form": "step", "timesteps_out": 1, "inputs": {}}
    spec = HostSpec(**old, outputs={}, macs_per_call=0, input_elements=1, output_elements=1)
    assert spec.states == {}


def test_a_gated_cell_whose_state_is_fed_back(tmp_path: Path) -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w, self.first = nn.Linear(6, 8), neuron()
            self.cell, self.v, self.last = nn.GRUCell(8, 5), nn.Linear(5, 4), neuron()

        def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            h = self.cell(self.first(3 * self.w(x)), h)
            return self.last(4 * self.v(h)), h

    model, x_TB = Gated(), spikes(6)
    bundle = export_network(model, x_TB, 1e-3, tmp_path / "n.bundle", ABOUT, feedback={"h": 1})
    assert dict(host(bundle).states) == {"h": (5,)}
    assert bundle.network.registers == ()
    h, rows = torch.zeros(B, 5), []
    with torch.no_grad():
        for x in x_TB:
            y, h = model(x, h)
            rows.append(y)
    np.testing.assert_array_equal(run(bundle)[bundle.network.outputs[0]], torch.stack(rows))
