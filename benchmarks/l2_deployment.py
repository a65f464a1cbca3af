"""Which form of a run's network is deployed: with an L2 layer, one of `spikeport.models.l2act.treat`; else as it is.

`auto` is exact: `drop` for a single modality whose head has no bias, so that the norm changes no decision; else `host`,
where the layer is computed between two chip stages. `constant`, measured on the first 500 training samples, is never
taken unless told: it may change answers.

A bundle's manifest says under `provenance`, `l2` what was taken and why, and how many answers it left as they were.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from spikeport.errors import ArtefactError, UsageError
from spikeport.export.bundle import Bundle
from spikeport.models.l2act.build import L2ActNetwork
from spikeport.models.l2act.treat import How, Norms, Treatment, fold, has_l2, same_answers, treat
from spikeport.models.network import SpikingNetwork
from spikeport.models.sides import Side
from spikeport.train.datasets.base import Split
from spikeport.train.run import Run
from spikeport.train.samples import encoded_inputs, open_dataset

CALIBRATION = 500
Count = Annotated[int, Field(ge=0)]


class L2Record(BaseModel):
    """What a bundle says of its L2 layer.

    Attributes:
        treatment: which.
        reason: why that one.
        exact: whether its decisions are the trained network's by construction.
        same: to how many of `samples` it gave the trained network's answer.
        samples: of the validation part.
        norms: what `constant` was measured on, by modality.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    treatment: Treatment
    reason: str
    exact: bool
    same: Count
    samples: Count
    norms: dict[Side, Norms]

    def told(self) -> str:
        """Return it in one line."""
        return f"{self.treatment}: {self.reason}; {self.same} of {self.samples} validation answers are as trained"


@dataclass(frozen=True)
class Deployed:
    """The network that is deployed, and what became of its L2 layer: `None` where there is none."""

    network: SpikingNetwork
    l2: L2Record | None = None


def deployed(run: Run, how: How | None = None) -> Deployed:
    """Return what is deployed of `run`.

    Args:
        run: a finished training of a spiking network.
        how: what becomes of its L2 layer; by default `auto`.

    Raises:
        UsageError: the run is an ANN's; its network has no L2 layer, and `how` is given; or it cannot be treated so.
    """
    network = run.network
    if not isinstance(network, SpikingNetwork):
        raise UsageError(str(run.path), "it is an ANN's run, and NIR holds spiking networks", "Name the SNN's run")
    if not has_l2(network):
        if how is not None:
            reason = f"the network '{run.recipe.model.name}' of {run.path} has no L2 layer"
            raise UsageError(f"L2 treatment '{how}'", reason, "Drop it: the network is exported as it is")
        return Deployed(network)
    dataset = open_dataset(run.recipe)
    found = treat(network, how or "auto", _first(run, network, dataset.split("train")) if how == "constant" else None)
    same, count = same_answers(network, found.network, _first(run, network, dataset.split("val")))
    record = L2Record(
        treatment=found.how, reason=found.reason, exact=found.exact, same=same, samples=count, norms=dict(found.norms)
    )
    return Deployed(found.network, record)


def _first(run: Run, network: SpikingNetwork, split: Split) -> dict[str, Tensor]:
    """Return the first samples of a part, encoded."""
    return encoded_inputs(run.recipe, split.take(slice(CALIBRATION)), network.input_names, run.recipe.data.split_seed)


def recorded(bundle: Bundle) -> L2Record | None:
    """Return what a bundle says of its L2 layer, `None` where it has none.

    Raises:
        ArtefactError: it is no record.
    """
    stored = bundle.manifest.provenance.get("l2")
    if stored is None:
        return None
    try:
        return L2Record.model_validate_json(json.dumps(stored), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["provenance", "l2", *(str(part) for part in first["loc"])])
        raise ArtefactError(f"{bundle.path}: {where}", first["msg"], "Export the bundle again") from None


def held_by(bundle: Bundle, run: Run) -> SpikingNetwork:
    """Return the network of `run` in the form that `bundle`, which was exported from it, holds."""
    network, record = run.network, recorded(bundle)
    assert isinstance(network, SpikingNetwork)
    if record is None:
        return network
    if record.treatment == "constant" and isinstance(network, L2ActNetwork):
        return fold(network, record.norms)
    return treat(network, record.treatment).network
