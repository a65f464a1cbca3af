"""`spikeport.deploy(bundle, backend)`: run a bundle's golden samples on a backend."""

from __future__ import annotations

from pathlib import Path

from spikeport.deploy import backends
from spikeport.deploy.deployment import Deployment, deploy_network
from spikeport.deploy.proof import prove
from spikeport.export.bundle import Bundle


def deploy(bundle: str | Path | Bundle, backend: str, out: str | Path | None = None, samples: int = 8) -> Deployment:
    """Lower a bundle to a backend, run its golden samples and audit them against the reference.

    Args:
        bundle: a bundle or its path.
        backend: its name; `spikeport list backends` shows them.
        out: the deployment's folder, which must not exist; by default `<the bundle's own name>.<backend>` here.
        samples: how many of the golden samples to run.

    Raises:
        ArtefactError: the bundle is damaged, or is not its own proof.
        UnfaithfulError: the backend refuses a node.
        UnavailableError: the backend cannot run here.
        UsageError: there is no such backend, or `out` exists.
    """
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(Path(bundle))
    prove(opened)
    own = opened.path.resolve().name.removesuffix(".bundle")
    folder = Path(out) if out is not None else Path(f"{own}.{backend}")
    return deploy_network(opened.network, backends.get(backend), folder, opened.golden().inputs, samples)
