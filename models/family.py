"""What a named model is: its parameters, how to build the spiking network, how to build its ANN twin.

Shapes: per-step shapes of the inputs, without time and batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from spikeport.models.network import SpikingNetwork
from spikeport.models.twin import Equivalent, Twin

Shapes = Mapping[str, tuple[int, ...]]


class Params(BaseModel):
    """Base of every model's parameters: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def check_training(self, losses: Collection[str], starts: bool) -> None:
        """Raise where a training would leave untaught what it is for; a model without such conditions has none.

        Args:
            losses: the names of those beside the cross-entropy of the answer.
            starts: whether it begins with another run's weights.

        Raises:
            UsageError: a loss is missing, or the weights to begin with.
        """


@dataclass(frozen=True)
class Family:
    """One registered model.

    Attributes:
        params: the pydantic class of the model's parameters.
        build: `(params, shapes the core sees, classes) -> SpikingNetwork`.
        twin: `(params, shapes before encoding, classes, which equivalent) -> Twin`.
        inputs: `params -> names`, the inputs that the network takes under these parameters.
    """

    params: type[Params]
    build: Callable[[Any, Shapes, int], SpikingNetwork]
    twin: Callable[[Any, Shapes, int, Equivalent], Twin]
    inputs: Callable[[Any], tuple[str, ...]]
