"""Random neurons of every kind, with the states that a user's own loop would pass."""

from __future__ import annotations

from typing import Any

import snntorch as snn
import torch
from random_draws import Draws, Shape
from torch import Tensor, nn

KINDS = ["Leaky"] * 4 + ["Synaptic", "Lapicque", "Alpha", "RLeaky", "RSynaptic"]
# What a neuron takes after its input; it returns its spikes, then the others.
STATES = {
    "Leaky": ("mem",),
    "Lapicque": ("mem",),
    "Synaptic": ("syn", "mem"),
    "Alpha": ("syn_exc", "syn_inh", "mem"),
    "RLeaky": ("spk", "mem"),
    "RSynaptic": ("spk", "syn", "mem"),
}


def heaviside(x: Tensor) -> Tensor:
    """A surrogate that keeps float64; snnTorch's own return float32 whatever comes in."""
    return (x > 0).to(x.dtype)


def random_neuron(draws: Draws, size: Shape) -> tuple[nn.Module, str]:
    """Return a neuron, and its kind with its reset; it keeps its state inside unless its init_hidden is False."""
    kind = draws.choice(KINDS)
    reset, delay = _reset(draws, kind)
    least = 0.5 if draws.shared else 0.0
    settings: dict[str, Any] = {
        "init_hidden": not draws.chance(0.3),
        "reset_mechanism": reset,
        "spike_grad": heaviside,
        "threshold": draws.parameter(size, 0.5, 1.5) if draws.chance(0.4) else draws.choice([least, 0.5, 1.0, 3.0]),
    }
    if not settings["init_hidden"]:
        draws.features.add("states passed by hand")
        draws.features.add(f"{kind} passed by hand")
    if settings["threshold"] is not None and not torch.is_tensor(settings["threshold"]) and not settings["threshold"]:
        draws.features.add("threshold 0")
    layer = _make(draws, kind, size, settings, reset, delay)
    draws.features |= {kind, f"{kind} {reset}"}
    return layer, kind


def _reset(draws: Draws, kind: str) -> tuple[str, bool]:
    """Mostly what NIR can say; the rest must be refused."""
    reset = draws.choice(["zero", "subtract", "none"])
    delay = True
    if draws.chance(0.95):
        reset = {"Alpha": "none"}.get(kind, reset)
        reset = "subtract" if reset == "zero" and kind in ("Lapicque", "RSynaptic") else reset
    else:
        delay = draws.chance(0.3)
    if reset != "subtract" and kind != "RSynaptic":
        delay = delay and draws.chance(0.7)
    return reset, delay


def _make(draws: Draws, kind: str, size: Shape, settings: dict[str, Any], reset: str, delay: bool) -> nn.Module:
    beta: Any = draws.choice([0.0, 0.5, 1.0, 1.2] if draws.grid else [0.0, 0.3, 0.8, 0.9, 1.0, 1.2])
    if draws.chance(0.4) and not draws.grid:
        beta = draws.parameter(size, 0.1, 0.95)
        draws.features.add("beta by element")
    if kind == "Leaky":
        if draws.chance(0.2):
            settings["graded_spikes_factor"] = draws.choice([0.5, -2.0])
            draws.features.add("graded spikes")
        if draws.chance(0.2):
            settings["learn_beta"] = settings["learn_threshold"] = True
            draws.features.add("learned parameters")
        return snn.Leaky(beta, reset_delay=delay, **settings)
    if kind == "Synaptic":
        alpha = draws.choice([0.0, 0.5, 1.0] if draws.grid else [0.0, 0.5, 0.9, 1.0])
        return snn.Synaptic(alpha, beta, reset_delay=delay and reset != "zero", **settings)
    if kind == "Lapicque":
        return snn.Lapicque(beta=draws.choice([0.4, 0.8, 0.9]), **settings)
    if kind == "Alpha":
        return snn.Alpha(alpha=0.9, beta=draws.choice([0.3, 0.8]), **settings)
    shape = _recurrence(draws, size)
    if kind == "RLeaky":
        return snn.RLeaky(beta, reset_delay=delay and reset != "zero", **shape, **settings)
    return snn.RSynaptic(0.5 if draws.grid else 0.6, beta, **shape, **settings)


def _recurrence(draws: Draws, size: Shape) -> dict[str, Any]:
    if draws.chance(0.3):
        draws.features.add("recurrence one to one")
        return {"all_to_all": False, "V": float(draws.rng.normal())}
    if len(size) == 3:
        draws.features.add("recurrent conv")
        return {"conv2d_channels": size[0], "kernel_size": 3}
    return {"linear_features": size[-1]}
