"""Which backends run loops across stages: a light module, so that `spikeport check` need not load torch."""

from __future__ import annotations

from spikeport.deploy.backend import Backend
from spikeport.deploy.reference import ReferenceBackend
from spikeport.errors import UnfaithfulError
from spikeport.export.stages import StagedNetwork


def lockstep_refusal(network: StagedNetwork, backend: Backend) -> UnfaithfulError | None:
    """Return why the backend cannot run the network's loops across stages, `None` where it can or there are none."""
    if not network.registers or isinstance(backend, ReferenceBackend):
        return None
    register = network.registers[0]
    return UnfaithfulError(
        f"loop over '{register.tensor}'",
        f"'{register.source}' of the step before comes back from a later stage, and backend '{backend.name}' runs "
        "each stage over a whole window",
        "Use the reference backend, or keep the loop within one chip stage",
    )
