"""S-CMRL: its parts by hand, its faults by name, its forms against each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scmrl_nets import ACTIVE, CLASSES, SHAPES, awake, network, params, rates, samples, settled
from torch import Tensor, nn

from spikeport.errors import UsageError
from spikeport.models.scmrl.attention import Complement, SpatialAttention, TemporalAttention
from spikeport.models.scmrl.baselines import RelativeAttention
from spikeport.models.scmrl.build import build
from spikeport.models.scmrl.chip import Coincidence, TokenGate, TraceGate
from spikeport.models.scmrl.layers import lif
from spikeport.models.scmrl.params import ScmrlParams
from spikeport.models.scmrl.twin import twin
from spikeport.models.state import reset_state
from spikeport.models.surrogate import SigmoidSurrogate
from spikeport.models.twin import Equivalent
from spikeport.train.recipe import load_recipe

Picture = tuple[int, int, int]

ALL = [
    ("fixed", {}),
    ("paper", {}),
    ("chip", {}),
    ("fixed", {"method": "none", "fuse": "concat"}),
    ("fixed", {"method": "weight"}),
    ("fixed", {"method": "sca"}),
    ("fixed", {"method": "cmci"}),
    ("chip", {"method": "none"}),
    ("fixed", {"modality": "audio"}),
    ("chip", {"modality": "visual"}),
    ("fixed", {"modality": "visual", "self_attention": True}),
    ("fixed", {"branches": ("temporal",), "align": False}),
    ("chip", {"branches": ("spatial",)}),
]


def brute_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, temporal: bool) -> Tensor:
    """Sum by sum: out[t, b, c, n] = 0.25 sum over m of (sum over c' of the head of c: q[c', n] k[c', m]) v[c, m]."""
    q, k, v = (x.flatten(3) for x in (q, k, v))
    if temporal:
        q, k, v = (x.permute(3, 1, 2, 0) for x in (q, k, v))
    out = torch.zeros_like(v)
    width = q.shape[2] // heads
    for c in range(q.shape[2]):
        head = slice(c // width * width, c // width * width + width)
        scores = torch.einsum("tbcn,tbcm->tbnm", q[:, :, head], k[:, :, head])
        out[:, :, c] = 0.25 * torch.einsum("tbnm,tbm->tbn", scores, v[:, :, c])
    return out.permute(3, 1, 2, 0) if temporal else out


def qkv() -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [(torch.rand(5, 2, 6, 2, 3, generator=draw) < 0.4).float() for _ in range(3)]


@pytest.mark.parametrize("temporal", [False, True])
def test_attention_is_the_sum_that_the_paper_writes(temporal: bool) -> None:
    q, k, v = qkv()
    module = TemporalAttention(2) if temporal else SpatialAttention(2)
    expected = brute_attention(q, k, v, 2, temporal).reshape(q.shape)
    torch.testing.assert_close(module(q, k, v), expected)


def test_scrambled_heads_mix_steps_into_one_another() -> None:
    """With one step's values alone not zero, correct attention still reaches every step; its own q must be there."""
    q, k, v = qkv()
    q[1:] = 0  # only step 0 asks, so only step 0 may get an answer
    right, wrong = (TemporalAttention(2, scrambled)(q, k, v) for scrambled in (False, True))
    assert right[1:].abs().max() == 0
    assert wrong[1:].abs().max() > 0
    torch.testing.assert_close(right.flatten().sort().values, wrong.flatten().sort().values)


def test_the_complement_multiplies_means_by_hand() -> None:
    spatial, temporal = torch.zeros(2, 1, 1, 1, 4), torch.zeros(2, 1, 1, 1, 4)
    spatial[0, ..., :3] = 1  # mean over tokens 3/4 at step 0, 0 at step 1
    temporal[:, ..., 2] = 1  # mean over steps 1 at token 2
    temporal[1, ..., 3] = 1  # 1/2 at token 3
    out = Complement()(spatial, temporal)
    np.testing.assert_allclose(out[:, 0, 0, 0].numpy(), [[0, 0, 0.75, 0.375], [0, 0, 0, 0]])


def test_the_relative_position_is_a_parameter_and_not_drawn_anew() -> None:
    module = RelativeAttention(2, 6, relative=True)
    q, k, v = qkv()
    torch.testing.assert_close(module(q, k, v), module(q, k, v), rtol=0, atol=0)
    assert not torch.equal(module(q, k, v), SpatialAttention(2)(q, k, v))


@pytest.mark.parametrize(("form", "at"), [("paper", True), ("fixed", False)])
def test_a_lif_is_the_papers_neuron(form: str, at: bool) -> None:
    """`v += (I - v) / 2; spike where v >= 1; v = 0`, step by step beside it; only above 1 where `fixed` has it."""
    neuron = lif(params(form=form))
    drawn = torch.rand(40, 7, generator=torch.Generator().manual_seed(2)) * 3
    ties = torch.randint(0, 9, (40, 7), generator=torch.Generator().manual_seed(3)) / 4
    reset_state(neuron)
    v, met = torch.zeros(7), 0
    for row in torch.cat([drawn, ties]):
        v = v + (row - v) / 2
        met += int((v == 1).sum())
        spikes = ((v >= 1) if at else (v > 1)).float()
        v = v * (1 - spikes)
        torch.testing.assert_close(neuron(row), spikes)
    assert met > 10, "the boundary was met"


def test_where_a_neuron_fires_can_be_chosen() -> None:
    for form, fires, expected in [("paper", "above", 0), ("fixed", "at", 1), ("chip", "at", 1), ("chip", None, 0)]:
        neuron = lif(params(form=form, fires=fires))
        reset_state(neuron)
        assert neuron(torch.tensor([2.0])).tolist() == [expected]


def test_the_surrogate_is_finite_far_from_the_threshold() -> None:
    u = torch.tensor([-1e4, -0.5, 0.0, 0.5, 1e4], requires_grad=True)
    spikes = SigmoidSurrogate(4.0)(u)
    assert spikes.tolist() == [0, 0, 0, 1, 1]
    spikes.sum().backward()
    s = 1 / (1 + np.exp(-4 * np.array([-0.5, 0.0, 0.5])))
    assert u.grad is not None
    np.testing.assert_allclose(u.grad[1:4].numpy(), 4 * s * (1 - s), rtol=1e-5)
    assert u.grad[[0, 4]].tolist() == [0, 0]


def test_a_coincidence_is_and() -> None:
    a, b = torch.tensor([0.0, 0, 1, 1]), torch.tensor([0.0, 1, 0, 1])
    neuron = Coincidence(4.0)
    reset_state(neuron)
    for _ in range(3):
        assert neuron(a, b).tolist() == [0, 0, 0, 1]


def test_a_token_gate_opens_whole_tokens_only() -> None:
    net = settled(network("chip"), samples())
    (side,) = [m for m in net.modules() if isinstance(m, TokenGate)][:1]
    reset_state(side)
    own, other = (torch.rand(2, 8, 5, 5, generator=torch.Generator().manual_seed(s)).round() for s in (3, 4))
    with torch.no_grad():
        out = side(own, other)
        reset_state(side)
        gate, keys = side.gate(side.q(own)), side.k(other)
    assert 0 < gate.mean() < 1
    torch.testing.assert_close(out, keys * gate)


def test_a_trace_gate_is_causal_and_opens_whole_channels() -> None:
    net = settled(network("chip"), samples())
    (side,) = [m for m in net.modules() if isinstance(m, TraceGate)][:1]
    steps = [torch.rand(2, 8, 5, 5, generator=torch.Generator().manual_seed(s)).round() for s in range(4)]
    with torch.no_grad():
        reset_state(side)
        outs = [side(x, x) for x in steps]
        reset_state(side)
        other = [side(x, x) for x in (*steps[:3], 1 - steps[3])]
        reset_state(side)
        for x, out in zip(steps, outs, strict=True):
            torch.testing.assert_close(out, side.v(x) * side.trace(side.q(x)))
    for before, after in zip(outs[:3], other[:3], strict=True):
        torch.testing.assert_close(before, after)


@pytest.mark.parametrize(("form", "changes"), ALL)
def test_time_folded_execution_gives_the_same_spikes(form: str, changes: dict[str, object]) -> None:
    inputs = samples()
    net = awake(network(form, **ACTIVE, **changes), inputs)
    inputs = {name: inputs[name] for name in net.input_names}
    with torch.no_grad():
        stepwise, folded = net.tensors(inputs), net.tensors(inputs, folded=True)
    assert stepwise["logits"].shape == (6, CLASSES)
    assert all(0.005 < rate < 0.99 for rate in rates(stepwise).values())
    assert all(float(x.abs().sum()) > 0 for name, x in stepwise.items() if name.startswith("tokens"))
    for name in stepwise:
        torch.testing.assert_close(stepwise[name], folded[name], rtol=1e-5, atol=1e-5)


def alive(form: str) -> tuple[float, float]:
    """Return the rate behind the attention at initialisation, and the largest gradient that reaches its queries."""
    wide = {"channels": 32, "audio": ({"channels": 32, "kernel": 4, "padding": 0},)}
    net = network(form, **wide, visual=({"channels": 16, "pool": True}, {"channels": 32, "pool": True}))
    tensors = net.tensors(samples(8, 16), folded=True)
    gate = tensors["gate_audio_spatial"].mean()
    gate.backward()
    query = net.get_submodule("core.after.audio.spatial.q.0")
    assert isinstance(query, nn.Conv2d)
    assert query.weight.grad is not None
    return float(gate.detach()), float(query.weight.grad.abs().max())


def test_the_gates_are_alive_when_fixed_and_dead_as_published() -> None:
    """The published threshold of 1 silences the neurons behind the attention at initialisation, and their gradient."""
    rate, gradient = alive("fixed")
    assert rate > 1e-4
    assert gradient > 1e-5
    rate, gradient = alive("paper")
    assert rate == 0
    assert gradient < 1e-9


def aligned_after(form: str, updates: int) -> tuple[float, float]:
    """Return the rates of both aligned residuals after so many updates on three patterns of sight and sound."""
    wide = {"channels": 32, "audio": ({"channels": 32, "kernel": 4, "padding": 0},)}
    net = network(form, **wide, visual=({"channels": 16, "pool": True}, {"channels": 32, "pool": True}))
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    draw = torch.Generator().manual_seed(1)
    patterns = {name: (torch.rand(CLASSES, *shape, generator=draw) < 0.3).float() for name, shape in SHAPES.items()}
    for _ in range(updates):
        labels_B = torch.randint(0, CLASSES, (16,), generator=draw)
        inputs = {
            name: (pattern[labels_B] * torch.rand(8, 16, *SHAPES[name], generator=draw) > 0.4).float()
            for name, pattern in patterns.items()
        }
        tensors = net.tensors(inputs, folded=True)
        optimizer.zero_grad()
        nn.functional.cross_entropy(tensors["logits"], labels_B).backward()
        optimizer.step()
    return float(tensors["aligned_audio"].mean().detach()), float(tensors["aligned_visual"].mean().detach())


def test_the_residual_wakes_in_training_while_the_published_one_sleeps() -> None:
    """At initialisation it is silent in both, a product of two small means; the thresholds decide when it wakes."""
    assert min(aligned_after("fixed", 41)) > 1e-3
    assert max(aligned_after("paper", 41)) < 1e-4


def test_a_single_modality_can_attend_to_itself() -> None:
    inputs = samples()
    net = awake(network("fixed", **ACTIVE, modality="audio", self_attention=True), inputs)
    with torch.no_grad():
        tensors = net.tensors({"audio": inputs["audio"]})
        alike = SpatialAttention(2)(*(tensors[f"{name}_audio_spatial"] for name in "qkv"))
        before = net.get_submodule("fuse.gate")
        assert torch.equal(tensors["attended_audio"], alike)
        assert float(alike.mean()) > 0
        assert any(float(before(x).sum()) > 0 for x in tensors["attended_audio"])


def test_a_detached_membrane_lets_no_gradient_through_time() -> None:
    for fault, reaches in (((), True), (("detached-membrane",), False)):
        # In evaluation, since the statistics of batch norm join all steps.
        net = settled(network("fixed", modality="audio", faults=fault), samples())
        x = samples()["audio"].requires_grad_()
        for folded in (True, False):
            x.grad = None
            net.tensors({"audio": x}, folded=folded)["tokens"][3].sum().backward()
            assert x.grad is not None
            assert bool(x.grad[3].abs().sum() > 0)
            assert bool(x.grad[:3].abs().sum() > 0) == reaches


def test_faults_come_by_form_or_by_name() -> None:
    assert params("paper").has("scrambled-heads")
    assert not params("fixed").has("scrambled-heads")
    assert not params("paper", faults=()).has("scrambled-heads")
    assert params("fixed", faults=("scrambled-heads",)).has("scrambled-heads")


@pytest.mark.parametrize(
    ("recipe", "audio", "visual", "classes", "parameters"),
    [
        ("s-cmrl-crema-d", (1, 128, 128), (3, 128, 128), 6, 4_204_038),
        ("s-cmrl-urbansound8k", (1, 128, 128), (3, 128, 128), 10, 267_146),
        ("s-cmrl-mnistdvs", (1, 28, 28), (2, 28, 28), 10, 4_022_666),
    ],
)
def test_the_papers_sizes(recipe: str, audio: Picture, visual: Picture, classes: int, parameters: int) -> None:
    """The facts' 4.23, 0.274 and 4.05 M hold dead layers, and biases without effect before a norm, too."""
    given = ScmrlParams.model_validate(load_recipe(recipe, ["model.params.form=paper"]).model.params)
    net = build(given, dict(zip(given.inputs, (audio, visual), strict=True)), classes)
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_the_alignment_layer_has_the_threshold_of_the_attention() -> None:
    def threshold(**changes: object) -> float:
        neuron = network(**changes).get_submodule("fuse.align_audio.neuron")
        return float(neuron.threshold)

    assert threshold() == 2 * 0.5
    assert threshold(align_threshold=0.25) == 2 * 0.25
    assert threshold(form="paper", fires="above") == 2 * 1.0
    assert threshold(form="paper", fires="above", faults=()) == 2 * 0.5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"heads": 3}, "must divide channels"),
        ({"branches": ("spatial", "spatial")}, "name one twice"),
        ({"form": "chip", "faults": ("scrambled-heads",)}, "the published code's"),
        ({"channels": 16}, "must have channels 16"),
        ({"self_attention": True}, "a single modality's"),
        ({"self_attention": True, "modality": "audio", "form": "chip"}, "not the chip form's"),
    ],
)
def test_parameters_that_do_not_fit(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        params(**{"form": "fixed", **changes})  # type: ignore[arg-type]


def test_inputs_that_do_not_fit() -> None:
    with pytest.raises(UsageError, match="same grid of both"):
        build(params(), SHAPES | {"audio": (1, 9, 9)}, 3)
    with pytest.raises(UsageError, match="Give its encoding a shape"):
        build(params(), SHAPES | {"audio": (64,)}, 3)
    with pytest.raises(UsageError, match="leave nothing of it"):
        build(params(), SHAPES | {"audio": (1, 2, 2)}, 3)
    with pytest.raises(UsageError, match="which no chip does"):
        network("chip", method="sca")


@pytest.mark.parametrize(("form", "changes"), ALL)
def test_every_network_has_a_twin(form: str, changes: dict[str, object]) -> None:
    frames = {name: x.transpose(0, 1).flatten(2) for name, x in samples(5, 3).items()}
    kind = Equivalent("relu", 5, 5, frame_inputs=frozenset(frames))
    net = twin(params(form, **changes), SHAPES, CLASSES, kind).eval()
    assert net({name: frames[name] for name in net.input_names}).shape == (3, CLASSES)
    runs = net.runs_per_sample(5)
    assert {runs[name] for name in runs if name.startswith("embeddings")} == {5}
    assert {runs[name] for name in runs if name.startswith("behind")} == {1}


def test_a_matched_twin_comes_near_what_it_matches() -> None:
    kind = Equivalent("relu", 5, 5, frame_inputs=frozenset(SHAPES))
    small, large = (twin(params(), SHAPES, CLASSES, kind).macs(frames) for frames in (1, 5))
    assert large < 5 * small
    matched = twin(params(), SHAPES, CLASSES, Equivalent("matched", 5, 5, 4 * large, frozenset(SHAPES)))
    assert matched.macs(5) == pytest.approx(4 * large, rel=0.5)
