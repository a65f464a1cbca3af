"""snnTorch's BatchNormTT1d and BatchNormTT2d, which normalise every time step with statistics of its own."""

from __future__ import annotations

from torch import nn

from spikeport.errors import UnfaithfulError


def refuse_unshared_norms(model: nn.Module, called: set[str]) -> None:
    """Raise for a BatchNormTT of several steps: a graph is the same at every step.

    snnTorch builds it as a ModuleList of batch norms without bias, one a step. A list of which one step calls every
    member is something else: layers of a network.

    Args:
        model: the network.
        called: the layers that one step of it calls.

    Raises:
        UnfaithfulError: it has one.
    """
    for name, layers in model.named_modules():
        if not isinstance(layers, nn.ModuleList) or len(layers) < 2:
            continue
        norms = all(isinstance(n, nn.BatchNorm1d | nn.BatchNorm2d) and n.bias is None for n in layers)
        if norms and not {f"{name}.{i}" for i in range(len(layers))} <= called:
            raise UnfaithfulError(
                f"layer '{name}' (BatchNormTT of {len(layers)} steps)",
                "it normalises every time step with statistics of its own, and a NIR graph is the same at every step",
                f"Train with one {type(layers[0]).__name__} for all steps, or a BatchNormTT of time_steps=1",
            )
