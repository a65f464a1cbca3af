"""S-CMRL's `paper` form against the authors' own code, whose numbers on small cases are stored.

`scmrl_published/record.py` says how they were recorded: github.com/Brain-Cog-Lab/S-CMRL at 3be3df7, our weights put
into their model by role. Every neuron's spikes, logits, losses, and of every parameter's gradient two sums.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scmrl_published import cases
from snntorch import SpikingNeuron
from torch import Tensor, nn

from spikeport.models.network import LOGITS, SpikingNetwork
from spikeport.models.scmrl.build import build
from spikeport.models.scmrl.params import ScmrlParams
from spikeport.train.losses import LossSpec, added_loss

OURS = (
    (r"^core\.(audio|visual)\.0\.(\d)\.", lambda m: f"{m[1]}.embed.{int(m[2]) // 2}."),
    (r"^core\.(audio|visual)\.1\.block", r"\1.position"),
    (r"^core\.after\.(audio|visual)\.", r"\1."),
    (r"^core\.after\.first\.", "audio.mlp."),
    (r"^core\.after\.second\.", "visual.mlp."),
    (r"^core\.after\.mlp_(\w+)\.", r"\1.mlp."),
    (r"^core\.after\.fc_(\w+)$", r"joint.\1"),
    (r"^core\.after\.meet$", "joint.meet"),
    (r"^gates_(\w+)\.first\.", r"audio.\1."),
    (r"^gates_(\w+)\.second\.", r"visual.\1."),
    (r"^fuse\.align_(audio|visual)\.", r"\1.align."),
    (r"^fuse\.mlp_(\w+)\.", r"\1.mlp."),
    (r"(spatial|temporal)\.0$", r"\1.attended"),
    (r"(spatial|temporal)\.1(\.\d)", r"\1.proj\2"),
    (r"^readout\.(\w+)\.linear$", r"head.\1"),
    (r"^readout\.linear$", "head.joint"),
    (r"\.(0|1|2|linear|neuron)$", lambda m: ".norm" if m[1] == "1" else ""),
)
"""What leads from our names to roles; where a name is changed, this table follows."""
ALONE = (
    (r"^core\.embedding\.0\.(\d)\.", lambda m: f"audio.embed.{int(m[1]) // 2}."),
    (r"^core\.embedding\.1\.block", "audio.position"),
    (r"^core\.after\.", "audio."),
    (r"^fuse\.gate\.", "audio.spatial."),
    (r"^fuse\.mlp\.", "audio.mlp."),
)


@cache
def stored() -> dict[str, np.ndarray]:
    with np.load(cases.NUMBERS) as numbers:
        return dict(numbers)


def role(name: str, path: str) -> str:
    for ours, roles in (*(ALONE if name == "audio alone" else ()), *OURS):
        path = re.sub(ours, roles, path)
    return path


def network(name: str, **changes: Any) -> SpikingNetwork:
    """Return our network of a case with the case's weights."""
    given = {"channels": cases.CHANNELS, "heads": cases.HEADS, "mlp_ratio": cases.MLP_RATIO, "alpha": cases.ALPHA}
    params = ScmrlParams.model_validate({"form": "paper", **given, **cases.CASES[name].ours, **changes})
    net = build(params, cases.PICTURES, cases.CLASSES)
    with torch.no_grad():
        for named, part, value in weighted(name, net):
            value.copy_(torch.from_numpy(cases.draw(named, part, tuple(value.shape))))
    return net


def weighted(name: str, net: nn.Module) -> Iterator[tuple[str, str, Tensor]]:
    """Yield every weight, bias and statistic with its role and what it is there."""
    for path, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            named, norm = re.subn(r"\.norm$", "", role(name, path))
            for part, value in layer.state_dict(keep_vars=True).items():
                if part != "num_batches_tracked":
                    yield named, "norm." * norm + part, value


def given(net: SpikingNetwork) -> dict[str, Tensor]:
    return {side: torch.from_numpy(x) for side, x in cases.inputs().items() if side in net.input_names}


def evaluated(name: str, net: SpikingNetwork) -> tuple[Tensor, np.ndarray]:
    """Return the logits, step by step in evaluation, and the spikes in the order in which they are stored."""
    steps: dict[str, list[Tensor]] = {}
    for path, layer in net.named_modules():
        if isinstance(layer, SpikingNeuron):
            rows = steps.setdefault(role(name, path), [])
            layer.register_forward_hook(lambda _m, _i, out, rows=rows: rows.append(out))
    with torch.no_grad():
        logits = net.eval()(given(net))
    wanted = [r for r in cases.in_order(steps) if name == "published" or not cases.embeds(r)]
    return logits, np.concatenate([torch.stack(steps[r]).numpy().astype(bool).ravel() for r in wanted])


def trained(name: str, net: SpikingNetwork) -> tuple[Tensor, list[float], np.ndarray]:
    """Return the logits, the losses and the sums of gradients of one training step."""
    labels_B = torch.tensor(cases.LABELS)
    tensors = net.train().tensors(given(net), folded=True)
    heads = [LOGITS, *(n for n in ("logits_audio", "logits_visual") if n in tensors)]
    smoothed = nn.CrossEntropyLoss(label_smoothing=cases.SMOOTHING)
    losses = [smoothed(tensors[head], labels_B) for head in heads]
    if cases.CASES[name].theirs.get("contrastive"):
        spec = LossSpec(name="alignment-published", params={"temperature": cases.TEMPERATURE})
        losses.append(added_loss((spec,), tensors, labels_B))
    torch.stack(losses).sum().backward()
    grads = {f"{r} {part}": v.grad for r, part, v in weighted(name, net) if isinstance(v, nn.Parameter)}
    sums = []
    for key in cases.in_order(grads):
        grad = grads[key].double().numpy().ravel()
        sums.append((np.linalg.norm(grad), grad @ cases.direction(*key.split(" "), grad.size)))
    return tensors[LOGITS], [x.item() for x in losses], np.array(sums)


def differing(name: str, spikes: np.ndarray) -> int:
    """Return how many spikes are not those of the authors' code."""
    expected = np.unpackbits(stored()[f"{name}/spikes"], count=len(spikes)).astype(bool)
    return int((expected != spikes).sum())


def assert_trained(name: str, net: SpikingNetwork) -> None:
    logits, losses, sums = trained(name, net)
    np.testing.assert_allclose(logits.detach(), stored()[f"{name}/trained_logits"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(losses, stored()[f"{name}/losses"], rtol=1e-5)
    expected = stored()[f"{name}/gradients"]
    largest = expected[:, :1].max()
    assert (np.abs(sums - expected) <= 1e-4 * expected[:, :1] + 1e-6 * largest).all()


@pytest.mark.parametrize("name", cases.CASES)
def test_every_spike_is_that_of_the_authors_code(name: str) -> None:
    logits, spikes = evaluated(name, network(name))
    assert len(spikes) == len(stored()[f"{name}/spikes"]) * 8
    assert differing(name, spikes) == 0
    np.testing.assert_allclose(logits, stored()[f"{name}/logits"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", cases.CASES)
def test_a_training_step_has_the_loss_and_the_gradients_of_the_authors_code(name: str) -> None:
    assert_trained(name, network(name))


@pytest.mark.parametrize("fault", ["attention-threshold", "scrambled-heads"])
def test_without_one_of_its_faults_the_published_network_spikes_otherwise(fault: str) -> None:
    """The switch is seen: what the mended code gives is not what the published code gives, by far."""
    faults = cases.CASES[f"without {fault}"].ours["faults"]
    assert differing("published", evaluated("published", network("published", faults=faults))[1]) > 100


def test_a_membrane_that_is_not_detached_learns_otherwise() -> None:
    faults = cases.CASES["without detached-membrane"].ours["faults"]
    with pytest.raises(AssertionError):
        assert_trained("published", network("published", faults=faults))


def test_the_membranes_that_just_reach_their_threshold_fire() -> None:
    """Products of spikes meet the threshold exactly: the stored spikes tell `>=` from `>`."""
    assert differing("published", evaluated("published", network("published", fires="above"))[1]) > 100
