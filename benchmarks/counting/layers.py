"""What a dense machine does: the layers of the ANN twin, and the host stages of a spiking network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class DenseLayer:
    """A layer that runs without skipping zeros.

    Attributes:
        name: its name.
        kind: whether its weights are shared over positions (`conv`) or not (`linear`); memory models differ.
        macs_per_pass: border-exact multiply-accumulates of one run.
        passes: runs per sample.
        weights: stored weights.
        inputs: input elements of one run.
        outputs: output elements of one run.
        nonzero_macs: multiply-accumulates with a non-zero input, summed over all counted samples; `None` where
            its inputs were not seen.
        zero_weights: how many of the weights are exactly 0, `None` where they were not seen.
        not_counted: operators whose work is in none of these figures.
    """

    name: str
    kind: Literal["linear", "conv"]
    macs_per_pass: int
    passes: int
    weights: int
    inputs: int
    outputs: int
    nonzero_macs: int | None = None
    zero_weights: int | None = None
    not_counted: tuple[str, ...] = ()

    @classmethod
    def linear(cls, name: str, inputs: int, outputs: int, passes: int = 1) -> DenseLayer:
        """Return a fully connected layer, `passes` times per sample: a readout on the host, say."""
        return cls(name, "linear", inputs * outputs, passes, inputs * outputs, inputs, outputs)

    @property
    def macs(self) -> int:
        """Multiply-accumulates per sample."""
        return self.macs_per_pass * self.passes


@dataclass(frozen=True)
class AnnCounts:
    """What one inference of an ANN does.

    Attributes:
        samples: how many samples `nonzero_macs` sums over.
        layers: every layer with weights.
        not_counted: work in no figure: name -> reason.
    """

    samples: int
    layers: tuple[DenseLayer, ...]
    not_counted: Mapping[str, str] = field(default_factory=dict)

    @property
    def macs(self) -> int:
        """Dense multiply-accumulates per sample."""
        return sum(layer.macs for layer in self.layers)

    @property
    def nonzero_macs(self) -> int | None:
        """Multiply-accumulates with a non-zero input over all samples, `None` where a layer was not seen."""
        known = [layer.nonzero_macs for layer in self.layers if layer.nonzero_macs is not None]
        return sum(known) if len(known) == len(self.layers) else None
