"""What becomes of the L2 layer on a chip: dropped, folded as a constant, or left to the host.

- `drop`: a single modality with a bias-free head decides alike without its norm, since `argmax W (a r) = argmax W r`
  for every a > 0. Exact.
- `host`: the layer stays between encoders and fusion. Exact, and costs a round trip and a window of latency.
- `constant`: `e = c r`, c folded into the fusion's first weights, so that the encoders' spikes go straight into it,
  step by step: all but the readout is one chip stage. An approximation twice: norms vary between samples, and the
  fusion sees spikes where it learned on their mean.

`auto` is exact: `drop` where that is, else `host`. `constant` is never taken unless told.

c is what comes nearest over the samples, `argmin_c sum (s r / max(||r||, eps) - c r)^2`, for each modality:

    c = s sum_i n_i^2 / max(n_i, eps) / sum_i n_i^2,   n_i = ||r_i||

Shape suffixes: T time steps, B samples, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from spikeport.errors import UsageError
from spikeport.models.l2act.build import L2ActNetwork, build
from spikeport.models.l2act.encoders import pooled
from spikeport.models.l2act.normalise import Embedding, scale
from spikeport.models.l2act.params import L2ActParams
from spikeport.models.network import CORE, SpikingNetwork
from spikeport.models.sides import Side

Treatment = Literal["drop", "constant", "host"]
How = Literal["auto"] | Treatment


@dataclass(frozen=True)
class Norms:
    """The norms of one modality's r over samples.

    Attributes:
        constant: c.
        mean: of the norms.
        variation: their standard deviation over their mean: how far from constant they are.
        silent: share of samples whose norm is below eps.
    """

    constant: float
    mean: float
    variation: float
    silent: float


@dataclass(frozen=True)
class Treated:
    """A network with its L2 layer treated.

    Attributes:
        network: a new one, in evaluation mode; the given one is untouched.
        how: which treatment.
        reason: why that one.
        exact: whether its decisions are those of the given network.
        norms: what `constant` was measured on, by modality.
    """

    network: L2ActNetwork
    how: Treatment
    reason: str
    exact: bool
    norms: Mapping[Side, Norms] = field(default_factory=dict)


def treat(network: SpikingNetwork, how: How, samples: Mapping[str, Tensor] | None = None) -> Treated:
    """Return `network` with its L2 layer treated, without heads that only training reads.

    Args:
        network: trained, of the family `l2-actspikenet`.
        how: see the module.
        samples: encoded inputs [T, B, *shape] of the training part, on which `constant` is measured.

    Raises:
        UsageError: the network has no L2 layer, or none that can be treated so.
    """
    if not has_l2(network):
        raise UsageError(f"network {type(network).__name__}", "it has no L2 layer to treat", "Export it as it is")
    assert isinstance(network, L2ActNetwork)
    if how == "constant":
        return _with_constants(network, samples)
    if how == "host":
        return _host(network, "as told")
    if how == "auto" and (reason := _not_droppable(network.params)):
        return _host(network, reason)
    return _dropped(network)


def has_l2(network: SpikingNetwork) -> bool:
    """Return whether `network` has an L2 layer."""
    return isinstance(network, L2ActNetwork) and network.params.l2.scale != "none"


def _not_droppable(params: L2ActParams) -> str | None:
    if params.modality != "both" and not params.head_bias and params.l2.on != "per-step":
        return None
    if params.modality == "both":
        return "the fusion's neurons see the norms' ratio and their size"
    return "its head has a bias" if params.head_bias else "each step has a norm of its own"


def _not_foldable(params: L2ActParams) -> str | None:
    if params.modality != "both":
        return "a single modality has no fusion to fold it into"
    if params.l2.on == "membrane":
        return "its r weighs late steps more, and spikes that go straight on weigh all alike"
    return None


def _host(network: L2ActNetwork, reason: str) -> Treated:
    params = network.params.model_copy(update={"stage": "joint", "heads": False})
    return Treated(_rebuilt(network, params, network.state_dict()), "host", reason, exact=True)


def _dropped(network: L2ActNetwork) -> Treated:
    if reason := _not_droppable(network.params):
        raise UsageError("L2 treatment 'drop'", f"it would change decisions: {reason}", "Choose host or constant")
    params = network.params.model_copy(update={"l2": network.params.l2.model_copy(update={"scale": "none"})})
    reason = "the head has no bias, so that its decision does not depend on the norm"
    return Treated(_rebuilt(network, params, network.state_dict()), "drop", reason, exact=True)


def _with_constants(network: L2ActNetwork, samples: Mapping[str, Tensor] | None) -> Treated:
    if reason := _not_foldable(network.params):
        raise UsageError("L2 treatment 'constant'", reason, "Choose host, or auto")
    if samples is None:
        raise UsageError("L2 treatment 'constant'", "it is measured on samples", "Give some of the training part")
    norms = measured(network, samples)
    spread = ", ".join(f"{side} {found.variation:.0%}" for side, found in norms.items())
    return Treated(fold(network, norms), "constant", f"as told; norms vary by {spread}", exact=False, norms=norms)


def fold(network: L2ActNetwork, norms: Mapping[Side, Norms]) -> L2ActNetwork:
    """Return `network` with its norms replaced by the constants of `norms`, in the fusion's first weights."""
    weights = dict(network.state_dict())
    for side, found in norms.items():
        weights[f"fusion.{side}.weight"] = found.constant * weights[f"fusion.{side}.weight"]
    l2 = network.params.l2.model_copy(update={"scale": "none", "on": "rate"})
    changes = {"l2": l2, "fusion_reads": "spikes", "stage": "joint", "heads": False}
    return _rebuilt(network, network.params.model_copy(update=changes), weights)


def measured(network: L2ActNetwork, samples: Mapping[str, Tensor]) -> dict[Side, Norms]:
    """Return the norms of each modality's r over `samples`, encoded inputs [T, B, *shape]."""
    params = network.params
    with torch.no_grad():
        tensors = _evaluated(network, samples)
    found: dict[Side, Norms] = {}
    for side in params.sides:
        x_TBC = pooled(tensors[f"x_{side}"])
        n = torch.linalg.vector_norm(Embedding(params.l2, params.beta).raw(x_TBC).double(), dim=2).flatten()
        power = float((n**2).sum())
        if power == 0:
            reason = f"the {side} net is silent on all {len(n)} samples"
            raise UsageError("L2 treatment 'constant'", reason, "Train the network, or give other samples")
        constant = scale(params.l2, x_TBC.shape[2]) * float((n**2 / n.clamp_min(params.l2.eps)).sum()) / power
        mean, spread = float(n.mean()), float(n.std(correction=0))
        found[side] = Norms(constant, mean, spread / mean, float((n < params.l2.eps).double().mean()))
    return found


def same_answers(first: SpikingNetwork, second: SpikingNetwork, samples: Mapping[str, Tensor]) -> tuple[int, int]:
    """Return to how many of the encoded `samples` both give the same answer, and how many samples there are."""
    with torch.no_grad():
        first_B, second_B = (_evaluated(one, samples)[one.answer].argmax(1) for one in (first, second))
    return int((first_B == second_B).sum()), len(first_B)


def _evaluated(network: SpikingNetwork, samples: Mapping[str, Tensor]) -> dict[str, Tensor]:
    training = network.training
    try:
        return network.eval().tensors(samples)
    finally:
        network.train(training)


def _rebuilt(network: L2ActNetwork, params: L2ActParams, weights: Mapping[str, Tensor]) -> L2ActNetwork:
    """Return the network of `params` with those `weights` that it has, by the names that it has for them."""
    with torch.random.fork_rng(devices=[]):
        made = build(params, network.shapes, network.classes)
    named = {_plain(name): value for name, value in weights.items()}
    made.load_state_dict({name: named[_plain(name)] for name in made.state_dict()})
    return made.eval()


def _plain(name: str) -> str:
    """Return what a weight is called whether or not encoders and fusion are one step, and the answer one of three."""
    return name.removeprefix(f"{CORE}.").replace("readout.fused.", "readout.")
