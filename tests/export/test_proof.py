"""A bundle whose stages and golden recording disagree is found, though every hash fits."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nir
import numpy as np
import pytest
import snntorch
import torch
from damaged import Arrays, change_golden, copied, negate_weights
from export_nets import DT, leaky, spikes_like
from proof_nets import ABOUT, B, T, plain_bundle
from torch import Tensor, nn

from spikeport.deploy import backends
from spikeport.deploy.deployment import deploy_network
from spikeport.errors import UnfaithfulError
from spikeport.export import run_parts
from spikeport.export.audit import audit
from spikeport.export.bundle import Bundle
from spikeport.export.convert.trace import forget
from spikeport.export.drafts import draft
from spikeport.export.graph import ChipGraph
from spikeport.export.network import export_network
from spikeport.export.proof import replay
from spikeport.export.recording import FLOAT32, FLOAT64, Recording


class Across(nn.Module):
    """Chip -> host -> chip, with what the first chip gives handed back to it over a register."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.norm, self.v = nn.Linear(8, 6), nn.LayerNorm(6), nn.Linear(6, 8)
        self.first, self.last = (
            snntorch.Leaky(beta=0.8, init_hidden=True, threshold=0.3, reset_mechanism="zero") for _ in range(2)
        )

    def forward(self, x: Tensor, prev: Tensor) -> Tensor:
        answer: Tensor = self.last(2 * self.v(torch.relu(self.norm(self.first(3 * self.w(x + prev))))))
        return answer


class Cell(nn.Module):
    """A spiking LSTM, which runs on the host, between two chip stages."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.first = nn.Linear(8, 6), leaky(reset_mechanism="zero")
        self.cell = snntorch.SLSTM(6, 6, threshold=0.02, init_hidden=True)
        self.v, self.last = nn.Linear(6, 4), leaky(reset_mechanism="zero")

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.last(4 * self.v(self.cell(self.first(3 * self.w(x)))))
        return answer


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_bundle(tmp_path_factory.mktemp("plain") / "net.bundle")


@pytest.fixture(scope="module")
def across(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("across") / "net.bundle"
    export_network(Across(), {"x": spikes_like((8,), T, 10)}, DT, path, ABOUT, feedback={"prev": 0})
    return path


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("cell") / "net.bundle"
    export_network(Cell(), {"x": spikes_like((8,), T, 10)}, DT, path, ABOUT)
    return path


@pytest.fixture
def bundle(plain: Path, tmp_path: Path) -> Path:
    return copied(plain, tmp_path)


def looks_right(bundle: Path, out: Path) -> bool:
    """What hashes, and the reference held against itself, say of it."""
    opened = Bundle.open(bundle)
    return deploy_network(opened.network, backends.get("reference"), out, opened.golden().inputs, 8).as_declared


@pytest.mark.parametrize("which", ["plain", "across", "cell"])
def test_a_bundle_is_its_proof(which: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(which)
    told: list[str] = []
    found = replay(Bundle.open(path), told.append)
    assert found.disagreement is None
    assert found.entries > 1000
    assert len(told) == len(Bundle.open(path).network.stages)
    for nodes in Bundle.open(path).golden().nodes.values():
        assert all(values.any() for values in nodes.values())


@pytest.mark.parametrize(
    ("which", "file"), [("plain", "00_core.nir"), ("across", "00_chip_0.nir"), ("cell", "02_chip_2.nir")]
)
def test_negated_weights_are_found_and_hashes_do_not_tell(
    which: str, file: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    bundle = copied(request.getfixturevalue(which), tmp_path)
    negate_weights(bundle, file)
    assert looks_right(bundle, tmp_path / "out")
    found = replay(Bundle.open(bundle)).disagreement
    assert found is not None
    assert found.where.startswith(f"stage '{file[3:-4]}', node ")
    assert "it differs from the reference at step " in found.reason


@pytest.mark.parametrize("seed", range(5))
def test_one_flipped_spike_is_named(seed: int, bundle: Path, tmp_path: Path) -> None:
    node = Bundle.open(bundle).network.chips[0].graph.spiking[0]
    step, sample, neuron = (int(np.random.default_rng(seed).integers(n)) for n in (T, B, 12))

    def flip(arrays: Arrays) -> None:
        arrays[f"node/core/{node}"][step, sample, neuron] ^= 1

    change_golden(bundle, flip)
    assert looks_right(bundle, tmp_path / "out")
    found = replay(Bundle.open(bundle)).disagreement
    assert found is not None
    assert found.where == f"stage 'core', node '{node}'"
    assert f"at step {step}, sample {sample}, neuron ({neuron},)" in found.reason


def membrane(bundle: Path) -> str:
    graph = Bundle.open(bundle).network.chips[0].graph
    (name,) = (name for name in graph.neurons if isinstance(graph.nodes[name], nir.LI))
    return f"node/core/{name}"


@pytest.mark.parametrize(("roundoff", "apart", "fits"), [
    (FLOAT32, 2.0**-23, True),
    (FLOAT32, 1e-3, False),
    (FLOAT64, 2.0**-23, False),
])  # fmt: skip
def test_a_value_is_held_within_the_rounding_of_its_own_arithmetic(
    roundoff: float, apart: float, fits: bool, bundle: Path
) -> None:
    """2^-23 is one unit in the last place of float32; 20 steps of 12 roundings stay far below 1e-3."""
    name = membrane(bundle)

    def move(arrays: Arrays) -> None:
        values = arrays[name].astype(np.float64)
        step, sample, neuron = np.unravel_index(np.argmax(values), values.shape)
        assert values.max() > 0.5
        values[step, sample, neuron] *= 1 + apart
        arrays[name] = values
        arrays["unit_roundoff/core"] = np.array(roundoff)

    change_golden(bundle, move)
    found = replay(Bundle.open(bundle)).disagreement
    if roundoff == FLOAT64:
        assert found is not None  # float32's roundings are everywhere
        return
    assert (found is None) == fits


def test_the_arithmetic_is_recorded(bundle: Path, tmp_path: Path) -> None:
    assert Bundle.open(bundle).golden().unit_roundoff == {"core": FLOAT32}
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 6), leaky(reset_mechanism="zero")).double()
    exported = export_network(net, spikes_like((8,), T, 3).double(), DT, tmp_path / "d.bundle", ABOUT)
    assert exported.golden().unit_roundoff == {"core": FLOAT64}
    assert replay(exported).disagreement is None
    change_golden(bundle, lambda arrays: arrays.pop("unit_roundoff/core"))  # as earlier versions wrote it
    assert replay(Bundle.open(bundle)).disagreement is None


def test_a_spike_within_rounding_is_a_tie_but_not_many(tmp_path: Path) -> None:
    """v = w = 1 + 2^-23, one unit in the last place above the threshold of 1, in the first step of every sample."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), leaky(beta=0.5, threshold=1.0, reset_mechanism="zero"))
    with torch.no_grad():
        net[0].weight.fill_(1 + 2.0**-23)
    path = tmp_path / "net.bundle"
    (node,) = export_network(net, torch.ones(3, 4, 1), DT, path, ABOUT).network.chips[0].graph.spiking

    def unfire(samples: int) -> Any:
        def change(arrays: Arrays) -> None:
            assert arrays[f"node/core/{node}"].all()
            for name in (f"node/core/{node}", "node/core/output", "output/output"):
                arrays[name][0, :samples] = 0

        return change

    one, two = copied(path, tmp_path / "one"), copied(path, tmp_path / "two")
    change_golden(one, unfire(1))
    found = replay(Bundle.open(one))
    assert (found.disagreement, found.ties) == (None, 1)
    change_golden(two, unfire(2))
    found = replay(Bundle.open(two))
    assert found.disagreement is not None
    assert "2 of 24 entries differ within rounding, too many to tell" in found.disagreement.reason


@pytest.mark.parametrize(("apart", "fits"), [(1e-6, True), (1e-3, False)])
def test_an_answer_of_the_host_is_held_within_its_tolerance(apart: float, fits: bool, bundle: Path) -> None:
    def move(arrays: Arrays) -> None:
        arrays["output/logits"][0, 3, 1] += apart

    change_golden(bundle, move)
    found = replay(Bundle.open(bundle)).disagreement
    assert (found is None) == fits
    if found is not None:
        assert "tensor 'logits'" in found.where
        assert "step 0, sample 3" in found.reason


def test_an_answer_of_a_chip_stage_is_its_own_recording(across: Path, tmp_path: Path) -> None:
    bundle = copied(across, tmp_path)
    (answer,) = Bundle.open(bundle).network.outputs

    def flip(arrays: Arrays) -> None:
        arrays[f"output/{answer}"][7, 2, 1] = 1 - arrays[f"output/{answer}"][7, 2, 1]

    change_golden(bundle, flip)
    found = replay(Bundle.open(bundle)).disagreement
    assert found is not None
    assert "step 7, sample 2" in found.reason


def test_what_passes_between_stages_is_kept_and_compared(across: Path, cell: Path, tmp_path: Path) -> None:
    for path in (across, cell):
        bundle = copied(path, tmp_path / path.parent.name)
        (name, *_) = Bundle.open(bundle).golden().tensors

        def move(arrays: Arrays, name: str = name) -> None:
            values = arrays[f"tensor/{name}"] = arrays[f"tensor/{name}"].astype(np.float32)
            values[4, 1] += 0.01

        change_golden(bundle, move)
        found = replay(Bundle.open(bundle)).disagreement
        assert found is not None
        assert found.where.startswith("host stage 'host_1'")
        assert "step 4, sample 1" in found.reason


def test_a_bundle_that_keeps_nothing_between_its_stages_is_compared_all_the_same(across: Path, tmp_path: Path) -> None:
    bundle = copied(across, tmp_path)

    def forget(arrays: Arrays) -> None:
        for name in [name for name in arrays if name.startswith(("tensor/", "host/", "unit_roundoff/"))]:
            del arrays[name]

    change_golden(bundle, forget)
    assert replay(Bundle.open(bundle)).disagreement is None
    negate_weights(bundle, "02_chip_2.nir")
    found = replay(Bundle.open(bundle)).disagreement
    assert found is not None
    assert found.where.startswith("stage 'chip_2'")


@pytest.mark.parametrize(("apart", "told", "exact"), [(1e-5, 0.0, False), (1e-5, 2e-5, True), (3e-5, 2e-5, False)])
def test_an_error_of_the_input_is_carried_through_the_stage(apart: float, told: float, exact: bool) -> None:
    """y = 2 x through a wire: an input that is off by e gives 2 e, so that e is allowed and 1.5 e is not."""
    one = np.array([1])
    ends = {"input": nir.Input({"input": one}), "output": nir.Output({"output": one})}
    nodes = {**ends, "w": nir.Affine(np.array([[2.0]]), np.zeros(1))}
    graph = ChipGraph.from_nir(nir.NIRGraph(nodes, [("input", "w"), ("w", "output")], type_check=False), 1e-3)
    recording = Recording({"output": np.full((3, 2, 1), 2 * (1 + apart))}, {"output": 0}, 3, FLOAT64)
    assert audit(graph, {"input": np.ones((3, 2, 1))}, recording, input_errors={"input": told}).exact == exact


def test_a_flipped_spike_of_a_hosts_neuron_is_found_unless_it_is_a_tie(cell: Path, tmp_path: Path) -> None:
    host = "host/host_1/"

    def flip(margin: float | None) -> Any:
        def change(arrays: Arrays) -> None:
            spikes, above = arrays[f"{host}spikes/cell"], arrays[f"{host}cell"]
            step, sample, neuron = np.unravel_index(np.argmax(np.abs(above)), above.shape)
            spikes[step, sample, neuron] = 1 - spikes[step, sample, neuron]
            if margin is not None:
                above[step, sample, neuron] = margin

        return change

    beyond, tie = copied(cell, tmp_path / "beyond"), copied(cell, tmp_path / "tie")
    change_golden(beyond, flip(None))
    found = replay(Bundle.open(beyond)).disagreement
    assert found is not None
    assert "neuron 'cell'" in found.where
    change_golden(tie, flip(1e-6))
    assert replay(Bundle.open(tie)).disagreement is None


def test_what_would_be_refused_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spikeport.export import network

    right = network._golden

    def wrong(*args: Any) -> Any:
        golden = right(*args)
        nodes = {stage: {name: 1 - x for name, x in nodes.items()} for stage, nodes in golden.nodes.items()}
        return type(golden)(golden.inputs, nodes, golden.outputs)

    monkeypatch.setattr(network, "_golden", wrong)
    net = nn.Sequential(nn.Linear(8, 6), leaky(reset_mechanism="zero"))
    with pytest.raises(UnfaithfulError, match="it is not its golden recording"):
        export_network(net, spikes_like((8,), T, 3), DT, tmp_path / "n.bundle", ABOUT)
    assert list(tmp_path.iterdir()) == []
    export_network(net, spikes_like((8,), T, 3), DT, tmp_path / "n.bundle", ABOUT, check=False)


class Normed(nn.Module):
    """A batch norm in a chip part before a host part: folded there, which rounds otherwise than torch does."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.bn, self.first = nn.Linear(8, 64), nn.BatchNorm1d(64), leaky(threshold=0.3)
        self.norm, self.v, self.last = nn.LayerNorm(64), nn.Linear(64, 8), nn.BatchNorm1d(8)
        self.end = leaky(threshold=0.3, reset_mechanism="none", output=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.v(torch.relu(self.norm(self.first(self.bn(self.w(x))))))
        _, mem = self.end(self.last(h))
        return mem


def test_what_a_chip_part_hands_on_is_what_was_recorded_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a spike within rounding differs between the two, and the stages behind are held against another input."""
    torch.manual_seed(0)
    net = Normed().train()
    for _ in range(20):
        net(torch.rand(50, 8))
        forget(net)
    sample = {"x": torch.rand(30, 40, 8)}

    def apart() -> tuple[int, float]:
        drafts = draft(net.eval(), sample, DT, None, False)
        pairs = [(drafts.tensors[t].numpy(), c.recording.nodes[n]) for c in drafts.chips for n, t in c.outputs.items()]
        return sum(int(np.count_nonzero(x)) for x, _ in pairs), max(float(np.abs(x - y).max()) for x, y in pairs)

    fired, difference = apart()
    assert fired > 1000
    assert difference == 0
    monkeypatch.setattr(run_parts, "NormsInFloat64", lambda module: SimpleNamespace(run=module))
    assert apart()[1] > 0  # as torch runs it
