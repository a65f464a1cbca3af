"""Encodings: named pure functions from features to what the core sees at each step.

Every encoding but `direct` gives binary spikes, so that a chip gets spikes and its first layer adds.

An input is a *still* [N, *shape] or, with `frames: true`, a sequence [N, T, *shape] whose frames are the
time steps. Result: [T, N, *encoded shape], float32.

Shape suffixes: N samples, T time steps, S the still's (or one frame's) shape, C channels (axis 0 of S).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from snntorch import spikegen
from torch import Tensor

from spikeport.errors import UsageError
from spikeport.registry import Registry
from spikeport.train.checks import validated

Unit = Annotated[float, Field(ge=0, le=1)]


class EncodingSpec(BaseModel):
    """An encoding as recipes and bundle manifests store it: its name and its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    params: dict[str, Any] = Field(default_factory=dict)


class EncodingParams(BaseModel):
    """Base of every encoding's parameters.

    Attributes:
        frames: axis 1 of the input is time.
        shape: what an encoded step is laid out as, in its order; by default as it comes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    frames: bool = False
    shape: tuple[Annotated[int, Field(gt=0)], ...] | None = None


class RateParams(EncodingParams):
    """`P(spike) = clip(gain x + offset, 0, 1)`, drawn anew each step."""

    gain: float = 1.0
    offset: float = 0.0


class LatencyParams(EncodingParams):
    """One spike a feature, at `(1 - u)(T - 1)` rounded, `u = (x - low)/(high - low)`; none where `u < threshold`."""

    frames: Literal[False] = False
    threshold: Annotated[float, Field(ge=0, lt=1)] = 0.01
    low: float = 0.0
    high: float = 1.0


class DeltaParams(EncodingParams):
    """Channels double: a spike where x rose (first half) or fell (second half) by at least `threshold`."""

    frames: bool = True
    threshold: Annotated[float, Field(gt=0)] = 0.1


class SweepParams(EncodingParams):
    """`s[t] = x > level[t]`: one threshold a step, spread evenly over (low, high)."""

    low: float = 0.0
    high: float = 1.0
    order: Literal["ascending", "descending", "scattered"] = "scattered"


class PopulationParams(EncodingParams):
    """`s[k] = x > level[k]`: K channels for each channel of the input, `levels` in the feature's unit."""

    levels: tuple[float, ...] = Field(default=(0.0,), min_length=1)


class DirectParams(EncodingParams):
    """The analog value at each step: no spikes, so the first layer multiplies."""


@dataclass(frozen=True)
class Encoding:
    """A registered encoding: the class of its parameters and `apply(x_TNS, params, generator)`.

    `apply` gets stills repeated T times.
    """

    params: type[EncodingParams]
    apply: Callable[[Tensor, Any, int], Tensor]


def _rate(x_TNS: Tensor, params: RateParams, seed: int) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        # spikegen draws from the global generator: seeded here, and put back after.
        torch.manual_seed(seed)
        spikes_TNS: Tensor = spikegen.rate(x_TNS * params.gain + params.offset, time_var_input=True)
    return spikes_TNS.float()


def _latency(x_TNS: Tensor, params: LatencyParams, seed: int) -> Tensor:
    if params.high <= params.low:
        raise UsageError(f"latency high={params.high}", f"it must exceed low={params.low}", "Swap or widen them")
    unit_NS = ((x_TNS[0] - params.low) / (params.high - params.low)).clamp(0, 1)
    spikes_TNS: Tensor = spikegen.latency(
        unit_NS, num_steps=len(x_TNS), threshold=params.threshold, normalize=True, linear=True, clip=True
    )
    return spikes_TNS.float()


def _delta(x_TNS: Tensor, params: DeltaParams, seed: int) -> Tensor:
    signed_TNS = spikegen.delta(x_TNS, threshold=params.threshold, padding=True, off_spike=True)
    return torch.cat((signed_TNS > 0, signed_TNS < 0), dim=2).float()


def _sweep(x_TNS: Tensor, params: SweepParams, seed: int) -> Tensor:
    levels_T = sweep_levels(len(x_TNS), params).to(x_TNS.device)
    return (x_TNS > levels_T.reshape(-1, *[1] * (x_TNS.ndim - 1))).float()


def sweep_levels(timesteps: int, params: SweepParams) -> Tensor:
    """Return level_T: the T midpoints `low + (high - low)(k + 1/2)/T` in the order of `params`.

    "scattered" orders them by the bit-reversed (van der Corput) sequence, so that every stretch of steps
    samples the whole range: a rate code without chance.
    """
    keys = np.arange(timesteps)
    if params.order == "descending":
        keys = keys[::-1].copy()
    if params.order == "scattered":
        keys = np.argsort(np.argsort([_van_der_corput(step) for step in range(timesteps)]))
    return torch.tensor(params.low + (params.high - params.low) * (keys + 0.5) / timesteps, dtype=torch.float32)


def _van_der_corput(index: int) -> float:
    value, scale = 0.0, 0.5
    while index:
        value += scale * (index & 1)
        index >>= 1
        scale /= 2
    return value


def _population(x_TNS: Tensor, params: PopulationParams, seed: int) -> Tensor:
    return torch.cat([x_TNS > level for level in params.levels], dim=2).float()


def _direct(x_TNS: Tensor, params: DirectParams, seed: int) -> Tensor:
    return x_TNS.clone()


ENCODINGS: Registry[Encoding] = Registry("encoding")
ENCODINGS.register("rate", Encoding(RateParams, _rate))
ENCODINGS.register("latency", Encoding(LatencyParams, _latency))
ENCODINGS.register("delta", Encoding(DeltaParams, _delta))
ENCODINGS.register("sweep", Encoding(SweepParams, _sweep))
ENCODINGS.register("population", Encoding(PopulationParams, _population))
ENCODINGS.register("direct", Encoding(DirectParams, _direct))


def encode(
    spec: EncodingSpec, raw: Tensor | NDArray[np.float32], timesteps: int, seed: int = 0, name: str = "input"
) -> Tensor:
    """Return `raw` encoded as [T, N, *shape].

    Args:
        spec: which encoding, with its parameters.
        raw: stills [N, *S], or sequences [N, T, *S] where the parameters say `frames`.
        timesteps: T.
        seed: of the draws; only `rate` draws.
        name: what errors call the input.
    """
    encoding = ENCODINGS.get(spec.name)
    params = validated(encoding.params, spec.params, f"encodings.{name}.params")
    x = torch.as_tensor(raw, dtype=torch.float32)
    if not params.frames:
        return _laid_out(encoding.apply(x.expand(timesteps, *x.shape), params, seed), params.shape, name)
    if x.ndim < 3 or x.shape[1] != timesteps:
        raise UsageError(
            f"input '{name}' of shape {list(x.shape)}",
            f"its encoding takes frames, [N, {timesteps}, *shape]",
            f"Give {timesteps} frames, or set timesteps",
        )
    return _laid_out(encoding.apply(x.transpose(0, 1).contiguous(), params, seed), params.shape, name)


def _laid_out(x_TNS: Tensor, shape: tuple[int, ...] | None, name: str) -> Tensor:
    if shape is None:
        return x_TNS
    if prod(shape) != prod(x_TNS.shape[2:]):
        reason = f"an encoded step has {prod(x_TNS.shape[2:])} elements, of shape {list(x_TNS.shape[2:])}"
        fix = "Choose a shape with as many"
        raise UsageError(f"key 'encodings.{name}.params.shape' = {list(shape)}", reason, fix)
    return x_TNS.reshape(*x_TNS.shape[:2], *shape)


def has_frames(spec: EncodingSpec) -> bool:
    """Return whether the encoding takes a sequence."""
    return bool(spec.params.get("frames", False))


def raw_layout(spec: EncodingSpec, raw: tuple[int, ...]) -> tuple[int, ...]:
    """Return what a still or frame of shape `raw` is laid out as where no encoding multiplies its channels."""
    shape = spec.params.get("shape")
    if shape is None:
        return raw
    channels, *rest = shape
    return (channels * prod(raw) // prod(shape), *rest)


def encoded_shape(spec: EncodingSpec, raw_shape: tuple[int, ...], timesteps: int) -> tuple[int, ...]:
    """Return what the core sees a step, for one sample of `raw_shape`."""
    return tuple(encode(spec, np.zeros((1, *raw_shape), np.float32), timesteps).shape[2:])
