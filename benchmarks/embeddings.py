"""How well a network's embeddings tell classes apart, for its row.

Shape suffixes: T time steps, N samples, D elements.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from spikeport.benchmarks.blocks import Embeddings, Plane
from spikeport.benchmarks.discrimination import discrimination, principal
from spikeport.errors import UsageError
from spikeport.models.l2act.build import L2ActNetwork
from spikeport.models.l2act.encoders import pooled
from spikeport.models.network import SpikingNetwork

NONE_KNOWN = "the network has no embeddings that are known: l2-actspikenet has"
DRAWN = 500
ByModality = dict[str, dict[str, Embeddings]]


def embeddings(
    network: SpikingNetwork, tensors: Mapping[str, torch.Tensor], labels_N: NDArray[np.int64]
) -> ByModality | str:
    """Return what `network` embeds each modality as, measured, or why that is not known.

    `embedding` is what the fusion or the head reads; where an L2 layer stands in front of it, `rates` is what that got.

    Args:
        network: that ran.
        tensors: all that its segments wrote, [T, N, ...], see `SpikingNetwork.tensors`.
        labels_N: the classes.
    """
    if not isinstance(network, L2ActNetwork):
        return NONE_KNOWN
    found: ByModality = {}
    for side in network.params.sides:
        sets = {"embedding": tensors.get(f"e_{side}", tensors[f"x_{side}"])}
        if network.params.l2.scale != "none":
            sets = {"rates": tensors[f"x_{side}"]} | sets
        try:
            found[side] = {what: _measured(x_TN, labels_N) for what, x_TN in sets.items()}
        except UsageError as error:
            return f"{side} {error.subject}: {error.reason}"
    return found


def _measured(x_TN: torch.Tensor, labels_N: NDArray[np.int64]) -> Embeddings:
    x_ND = pooled(x_TN).mean(0).double().numpy()
    measures, plane = discrimination(x_ND, labels_N), principal(x_ND)
    first, second = plane.explained_P.tolist()
    points = tuple((x, y) for x, y in plane.points_NP[:DRAWN].round(4).tolist())
    drawn = Plane(explained=(first, second), points=points, labels=tuple(labels_N[:DRAWN].tolist()))
    return Embeddings(**measures.model_dump(), plane=drawn)
