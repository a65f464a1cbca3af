"""Every neuron of snnTorch, with every reset and reset_delay, and the settings that change what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import snntorch
import torch
from torch import nn

from spikeport.export.support.cases import IMAGE, Case, First, Layer, Neuron, leaky

GROUP = "Neurons"
RESETS = ("zero", "subtract", "none")
HIDDEN = {"init_hidden": True, "threshold": 0.4}
Kind = Callable[..., nn.Module]

# Those with a reset_delay, and what they need besides.
DELAYED: dict[str, tuple[Kind, dict[str, Any]]] = {
    "Leaky": (snntorch.Leaky, {"beta": 0.8}),
    "Synaptic": (snntorch.Synaptic, {"alpha": 0.6, "beta": 0.8}),
    "RLeaky": (snntorch.RLeaky, {"beta": 0.8, "linear_features": 8}),
    "RSynaptic": (snntorch.RSynaptic, {"alpha": 0.6, "beta": 0.8, "linear_features": 8}),
}
UNDELAYED: dict[str, tuple[Kind, dict[str, Any]]] = {
    "Lapicque": (snntorch.Lapicque, {"beta": 0.8}),
    "Alpha": (snntorch.Alpha, {"alpha": 0.9, "beta": 0.8}),
}


def neuron_cases() -> Iterator[Case]:
    """Yield the cases."""
    for name, (kind, settings) in DELAYED.items():
        for reset in RESETS:
            for delay in (True, False):
                own = {"reset_mechanism": reset, "reset_delay": delay}
                yield _case(name, f"`{reset}`, `reset_delay={delay}`", kind, settings | own)
    for name, (kind, settings) in UNDELAYED.items():
        for reset in RESETS:
            yield _case(name, f"`{reset}`", kind, settings | {"reset_mechanism": reset})
    yield from _settings()
    yield from _lstms()
    yield from _windows()


def _case(name: str, setting: str, kind: Kind, settings: dict[str, Any]) -> Case:
    return Case(GROUP, name, setting, lambda: Neuron(kind(**(HIDDEN | settings))))


def _settings() -> Iterator[Case]:
    """What else changes the meaning of a neuron."""
    for setting, values in {
        "`beta=1`": {"beta": 1.0},
        "`beta` above 1, clamped by snnTorch": {"beta": 1.2},
        "`beta` by element, learned": {"beta": torch.linspace(0.1, 0.9, 8), "learn_beta": True},
        "`beta` 1 for some elements only": {"beta": torch.tensor([1.0, 0.5] * 4)},
        "`threshold` by element, learned": {"threshold": torch.linspace(0.2, 1, 8), "learn_threshold": True},
        "`threshold=0`": {"threshold": 0.0},
        "`threshold` below 0": {"threshold": -0.1},
        "`graded_spikes_factor`": {"graded_spikes_factor": 0.5},
        "`graded_spikes_factor=0`": {"graded_spikes_factor": 0.0},
        "`state_quant`": {"state_quant": torch.round},
        "`inhibition=True`": {"inhibition": True},
    }.items():
        yield Case(GROUP, "Leaky", setting, lambda values=values: Neuron(leaky(**values)))  # type: ignore[misc]
    yield _case("Lapicque", "`R`, `C` and `time_step`", snntorch.Lapicque, {"R": 5.0, "C": 1.0, "time_step": 0.5})
    for name in ("RLeaky", "RSynaptic"):
        kind, settings = DELAYED[name]
        loose = {k: v for k, v in settings.items() if k != "linear_features"}
        yield _case(name, "`subtract`, `all_to_all=False`", kind, loose | {"all_to_all": False, "V": 0.5})
        conv = loose | HIDDEN | {"conv2d_channels": 2, "kernel_size": 3}
        yield Case(
            GROUP,
            name,
            "`subtract`, recurrence by convolution",
            lambda kind=kind, conv=conv: Neuron(kind(**conv), nn.Conv2d(2, 2, 3)),  # type: ignore[misc]
            IMAGE,
        )


def _lstms() -> Iterator[Case]:
    for reset in RESETS:
        own = HIDDEN | {"reset_mechanism": reset, "threshold": 0.05}
        yield Case(GROUP, "SLSTM", f"`{reset}`", lambda own=own: Layer(snntorch.SLSTM(8, 8, **own)))  # type: ignore[misc]
    lstms: dict[str, dict[str, Any]] = {
        **{f"`{reset}`": {"reset_mechanism": reset} for reset in RESETS},
        "`max_pool=2`": {"max_pool": 2},
        "`avg_pool=2`": {"avg_pool": 2},
    }
    for setting, more in lstms.items():
        own = HIDDEN | {"threshold": 0.05} | more
        yield Case(
            GROUP,
            "SConv2dLSTM",
            setting,
            lambda own=own: Layer(snntorch.SConv2dLSTM(2, 3, 3, **own)),  # type: ignore[misc]
            IMAGE,
        )


def _windows() -> Iterator[Case]:
    """Neurons that take a whole window [T, B, features] at once, and DeltaLeaky."""
    forms: dict[tuple[str, str], Callable[[], nn.Module]] = {
        ("LeakyParallel", "one `beta`"): lambda: snntorch.LeakyParallel(8, 8, beta=0.8),
        ("LeakyParallel", "learned at random"): lambda: snntorch.LeakyParallel(8, 8),
        ("LeakyParallel", "`weight_hh_enable=True`"): lambda: snntorch.LeakyParallel(8, 8, weight_hh_enable=True),
        ("StateLeaky", "plain"): lambda: First(snntorch.StateLeaky(0.8, 8)),
        ("StateLeaky", "`kernel_truncation_steps`"): lambda: First(
            snntorch.StateLeaky(0.8, 8, kernel_truncation_steps=5)
        ),
        ("LinearLeaky", "plain"): lambda: First(snntorch.LinearLeaky(0.8, 8, 8)),
        ("AssociativeLeaky", "plain"): lambda: snntorch.AssociativeLeaky(8, 3, 3, 9),
        ("AssociativeLeaky", "`use_q_projection=False`"): lambda: snntorch.AssociativeLeaky(8, 3, 3, 9, False),
        ("DeltaLeaky", "plain"): lambda: First(snntorch.DeltaLeaky(beta=0.8, delta_threshold=0.3, init_hidden=True)),
    }
    yield Case(
        GROUP,
        "LeakyParallel",
        "one `beta`; weights, biases and inputs of at least 0",
        lambda: Neuron(_positive(snntorch.LeakyParallel(8, 8, beta=0.8)), nn.Identity()),
    )
    for (name, setting), make in forms.items():
        yield Case(GROUP, name, setting, lambda make=make: Neuron(make()))  # type: ignore[misc]


def _positive(neuron: nn.Module) -> nn.Module:
    with torch.no_grad():
        for name, value in neuron.named_parameters():
            if "rnn" in name:
                value.abs_()
    return neuron
