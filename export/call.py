"""`spikeport.export(net, sample, dt_s)`: a bundle of a network of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from spikeport.export.bundle import Bundle
from spikeport.export.network import Description, export_network
from spikeport.provenance import machine, versions

PACKAGES = ("spikeport", "torch", "snntorch", "nir")


def export(
    net: nn.Module,
    sample: Tensor | Mapping[str, Tensor],
    dt_s: float,
    out: str | Path | None = None,
    verify: bool = True,
) -> Bundle:
    """Export a snnTorch network to a bundle, verified on `sample` at every neuron, step and sample.

    Args:
        net: a module whose forward computes one time step, or a `spikeport.models.network.SpikingNetwork`.
        sample: real encoded inputs [T, B, *shape], one tensor or one for each argument of forward.
        dt_s: the time step in seconds.
        out: the bundle's folder, which must not exist; by default `<class name>.bundle` here.
        verify: `False` writes unverified, and the manifest says so.

    Raises:
        UnfaithfulError: the network has no faithful form; the message names node, value, reason and fix.
        UsageError: `out` exists, or the sample does not fit.
    """
    folder = Path(out) if out is not None else Path(f"{type(net).__name__}.bundle")
    description = Description(folder.name.removesuffix(".bundle"), {}, {"environment": machine() | versions(PACKAGES)})
    return export_network(net, sample, dt_s, folder, description, verify)
