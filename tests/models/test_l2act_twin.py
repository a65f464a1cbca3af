"""The ANN twins: the spiking network's layers and parameters, with ReLU.

Shapes: B batch, F frames.
"""

from __future__ import annotations

import pytest
import torch
from l2act_nets import PICTURES, SHAPES, network, params

from spikeport.errors import UsageError
from spikeport.models.l2act.build import build
from spikeport.models.l2act.twin import L2ActTwin, twin
from spikeport.models.twin import Equivalent

F, B = 3, 2
SEQUENCES = frozenset({"visual", "audio"})
INPUTS = {"visual": torch.rand(B, F, 2, 9, 9), "audio": torch.rand(B, F, 12)}


def equivalent(kind: str = "relu", macs: int | None = None) -> Equivalent:
    return Equivalent(kind, 6, F, macs, SEQUENCES)  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{}, {"heads": True}, {"fusion_reads": "spikes", "l2": {"scale": "none"}}])
def test_a_twin_has_the_networks_weights_and_tensors(changes: dict[str, object]) -> None:
    made = twin(params(**changes), SHAPES, 4, equivalent())
    net = build(params(**changes), SHAPES, 4)
    count, count_net = (sum(p.numel() for p in module.parameters()) for module in (made, net))
    assert count == count_net
    expected = {"logits", "logits_visual", "logits_audio"} if "heads" in changes else {"logits"}
    tensors = made.tensors(INPUTS)
    assert expected == {name for name in tensors if name.startswith("logits")}
    assert tensors["logits"].shape == (B, 4)


def test_frames_meet_as_means_and_are_then_normalised() -> None:
    made = twin(params(), SHAPES, 4, equivalent()).eval()
    tensors = made.tensors(INPUTS)
    by_hand = torch.stack([made.encoders["audio"](x) for x in INPUTS["audio"].unbind(1)]).mean(0)
    torch.testing.assert_close(tensors["x_audio"][0], by_hand)
    torch.testing.assert_close(tensors["e_audio"][0].norm(dim=1), torch.full((B,), 10**0.5))


def test_per_frame_is_the_mean_of_the_answers_to_each_frame() -> None:
    torch.manual_seed(0)
    each = twin(params(), SHAPES, 4, equivalent("per-frame")).eval()
    alone = [each({name: x[:, f : f + 1] for name, x in INPUTS.items()}) for f in range(F)]
    torch.testing.assert_close(each(INPUTS), torch.stack(alone).mean(0))
    assert each.tensors(INPUTS).keys() == {"logits"}
    with pytest.raises(UsageError, match="no frames"):
        twin(params(), SHAPES, 4, Equivalent("per-frame"))


def test_macs_and_runs_by_hand() -> None:
    made = twin(params(modality="audio"), {"audio": (12,)}, 4, Equivalent("relu", 6, F, None, frozenset({"audio"})))
    assert isinstance(made, L2ActTwin)
    assert made.macs(F) == F * 12 * 10 + 10 * 4
    assert made.runs_per_sample(F) == {"encoders.audio.0.0": F, "behind.readout.linear": 1}


def test_a_matched_twin_comes_near() -> None:
    own = twin(params(), PICTURES, 4, Equivalent()).macs(1)
    made = twin(params(), PICTURES, 4, Equivalent("matched", macs=3 * own))
    assert made.macs(1) == pytest.approx(3 * own, rel=0.1)
    assert next(made.parameters()).device.type == "cpu"
    with pytest.raises(UsageError, match="needs the number to match"):
        twin(params(), PICTURES, 4, Equivalent("matched"))


def test_quantised_twins_learn() -> None:
    made = twin(params(), SHAPES, 4, equivalent("quantised"))
    made(INPUTS).sum().backward()
    assert network().params == params()
    assert all(p.grad is not None for p in made.parameters())
