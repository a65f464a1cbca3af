"""Backends that quantise: how many bits the weights get, and what it cost the layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from spikeport.deploy.backend import Backend, Program
from spikeport.deploy.loihi.losses import LayerLosses
from spikeport.deploy.loihi.weight_bits import WeightBits
from spikeport.errors import UsageError

Losses = Mapping[str, Mapping[str, LayerLosses]]
"""By stage, then by layer."""


@runtime_checkable
class Quantising(Protocol):
    """A backend whose weights can have fewer bits."""

    def with_weight_bits(self, weight_bits: WeightBits) -> Backend:
        """Return the same backend with weights of so many bits."""
        ...


@runtime_checkable
class Quantised(Protocol):
    """A program that can say what quantisation cost."""

    def losses(self) -> Mapping[str, LayerLosses]:
        """Return the losses by layer."""
        ...


def with_weight_bits(backend: Backend, weight_bits: WeightBits | None) -> Backend:
    """Return `backend` with weights of so many bits; as it is for `None`.

    Raises:
        UsageError: it does not quantise weights.
    """
    if weight_bits is None:
        return backend
    if not isinstance(backend, Quantising):
        reason = f"backend '{backend.name}' does not quantise weights"
        raise UsageError("--weight-bits", reason, "Use --backend loihi or lava-fixed")
    return backend.with_weight_bits(weight_bits)


def losses_of(programs: Mapping[str, Program]) -> Losses:
    """Return the losses of every stage whose program can say them."""
    return {stage: program.losses() for stage, program in programs.items() if isinstance(program, Quantised)}


def by_layer(losses: Losses) -> dict[str, LayerLosses]:
    """Return all losses by layer, by `stage.layer` where there are several stages."""
    several = len(losses) > 1
    return {f"{stage}.{n}" if several else n: layer for stage, of in losses.items() for n, layer in of.items()}


def told_bits(layers: Mapping[str, LayerLosses]) -> int | str:
    """Return the bits of the weights: one number, or `layer=bits,...` where they differ."""
    bits = {name: layer.weight_bits for name, layer in layers.items()}
    alike = set(bits.values())
    return alike.pop() if len(alike) == 1 else ",".join(f"{name}={n}" for name, n in bits.items())
