"""The ANN twins: the spiking network's layers with ReLU for every neuron, on inputs before encoding.

Which equivalent is taken turns the verdict, so there are several, trained by the same recipe and seeds.

Shape suffixes: B samples, F frames, N features, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, log2
from typing import Literal

import torch
from torch import Tensor, nn

from spikeport.errors import UsageError
from spikeport.models.network import LOGITS

Kind = Literal["relu", "quantised", "per-frame", "matched"]


@dataclass(frozen=True)
class Equivalent:
    """Which ANN a twin is.

    Attributes:
        kind: `relu`: the same topology and parameters, one pass; `quantised`: that with activations of `bits` bits;
            `per-frame`: all layers run once a frame; `matched`: widths scaled so that its multiply-accumulates come
            nearest `macs`.
        timesteps: T of the spiking network.
        frames: of a sequence input; `None` without one.
        macs: multiply-accumulates per sample to match.
        frame_inputs: the inputs that are sequences.
    """

    kind: Kind = "relu"
    timesteps: int = 1
    frames: int | None = None
    macs: int | None = None
    frame_inputs: frozenset[str] = frozenset()

    @property
    def bits(self) -> int:
        """Bits that hold the T + 1 spike counts of a neuron: ceil(log2(T + 1)) (Yan et al., arXiv:2409.08290)."""
        return ceil(log2(self.timesteps + 1))

    def to_match(self) -> int:
        """Return the multiply-accumulates to come nearest to.

        Raises:
            UsageError: none are given.
        """
        if self.macs is None:
            raise UsageError("key 'twin.macs'", "a matched twin needs the number to match", "--set twin.macs=N")
        return self.macs

    def describe(self) -> str:
        """Return what stands beside the twin's figures."""
        once = "a still runs once, a sequence once a frame"
        return {
            "relu": f"same topology with ReLU: {once}",
            "quantised": f"same topology with {self.bits}-bit activations, for T = {self.timesteps}: {once}",
            "per-frame": "same topology with ReLU, all layers run once a frame and the answers are averaged",
            "matched": f"same layers with ReLU, as wide as comes nearest {self.macs} multiply-accumulates: {once}",
        }[self.kind]


RELU = Equivalent()


class QuantisedReLU(nn.Module):
    """`round(clip(x, 0, c) n / c) c / n`, n = 2^bits - 1, with a ceiling c that is learnt.

    The rounding passes gradients straight through. Source: PACT, Choi et al. 2018, arXiv:1805.06085.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.steps = 2**bits - 1
        self.ceiling = nn.Parameter(torch.tensor(4.0))

    def forward(self, x: Tensor) -> Tensor:
        """Return the quantised activations."""
        top = self.ceiling.abs() + 1e-6
        clipped = torch.minimum(torch.relu(x), top)
        unit = top / self.steps
        quantised: Tensor = clipped + (torch.round(clipped / unit) * unit - clipped).detach()
        return quantised


def rectifier(equivalent: Equivalent) -> nn.Module:
    """Return what the twin has for a neuron."""
    return QuantisedReLU(equivalent.bits) if equivalent.kind == "quantised" else nn.ReLU()


class Twin(nn.Module):
    """Base of all twins.

    Attributes:
        input_names: the inputs that `forward` takes.
        frame_inputs: those of shape [B, F, *]; a layer fed by one runs once a frame.
        per_frame: whether all layers do.

    Raises:
        UsageError: all layers are to run once a frame, and there are no frames.
    """

    def __init__(self, input_names: tuple[str, ...], frame_inputs: frozenset[str], equivalent: Equivalent) -> None:
        super().__init__()
        self.input_names = input_names
        self.frame_inputs = frame_inputs
        self.per_frame = equivalent.kind == "per-frame"
        if self.per_frame and not frame_inputs:
            raise UsageError("key 'twin.kind'", "the network takes no sequence, so it has no frames", "Choose relu")

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return logits_BK for analog inputs of shape [B, *raw] ([B, F, *raw] for frame inputs)."""
        return self.tensors(inputs)[LOGITS]

    def tensors(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return `logits`, and whatever else of its own a loss may read, by name."""
        if set(inputs) != set(self.input_names):
            wanted = ", ".join(self.input_names)
            raise UsageError(f"inputs {sorted(inputs)}", "they are not this twin's", f"Give exactly: {wanted}")
        return self.compute(inputs)

    def compute(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors; `inputs` are checked."""
        raise NotImplementedError

    def runs_per_sample(self, frames: int) -> dict[str, int]:
        """Return how often each layer with weights runs for one sample of `frames` frames."""
        every = set(self.modules()) if self.per_frame else self.frame_layers()
        return {path: frames if layer in every else 1 for path, layer in self.weighted()}

    def frame_layers(self) -> set[nn.Module]:
        """Return the layers that a sequence feeds, frame by frame."""
        raise NotImplementedError

    def weighted(self) -> list[tuple[str, nn.Module]]:
        """Return the layers with weights and their paths."""
        return [(path, layer) for path, layer in self.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]


def mean_over_frames(branch: nn.Module, x_BFN: Tensor) -> Tensor:
    """Return `mean_f branch(x[:, f])`: every frame by itself, as the spiking network sees it a step."""
    out_BFN: Tensor = branch(x_BFN.flatten(0, 1)).unflatten(0, x_BFN.shape[:2])
    return out_BFN.mean(1)
