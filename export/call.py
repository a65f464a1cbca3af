"""`spikeport.export(net, sample, dt_s)`: a bundle of a network of one's own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from spikeport.errors import UsageError
from spikeport.export.bundle import Bundle
from spikeport.export.coverage import lines
from spikeport.export.network import Description, export_network
from spikeport.provenance import machine, versions

log = logging.getLogger("spikeport")

PACKAGES = ("spikeport", "torch", "snntorch", "nir")


def export(
    net: nn.Module,
    sample: Tensor | Mapping[str, Tensor],
    dt_s: float,
    out: str | Path | None = None,
    verify: bool = True,
    feedback: Mapping[str, int] | None = None,
    require_coverage: float | None = None,
    answer: str | None = None,
) -> Bundle:
    """Export a snnTorch network to a bundle, verified on `sample` at every neuron, step and sample.

    A proof covers what the sample exercised: `bundle.manifest.verification.coverage` has, by spiking node, the share of
    its neurons that fired and did not always fire. A node that never fired is not proven, and a warning is logged.

    Args:
        net: a module whose forward computes one time step, or holds the loop over time itself, or, built of snnTorch's
            window neurons (`StateLeaky`, `LinearLeaky`, `LeakyParallel`), takes all steps; or a
            `spikeport.models.network.SpikingNetwork`.
        sample: real encoded inputs [T, B, *shape], one tensor or one for each argument of forward; where forward holds
            the loop, what it takes: [B, *shape] held constant, or a window in any order of its axes.
        dt_s: the time step in seconds.
        out: the bundle's folder, which must not exist; by default `<class name>.bundle` here.
        verify: `False` writes unverified, and the manifest says so.
        feedback: for `def forward(self, x, prev): ...; return out, new_prev`, where `prev` is `new_prev` of the step
            before and 0 at first: `{"prev": 1}`, its place among forward's outputs.
        require_coverage: the least of these shares that will do, in 0 to 1; below it nothing is written.
        answer: the output that scores are read from, by its name in the manifest; by default what forward returns
            first.

    Raises:
        UnfaithfulError: the network has no faithful form, or the sample exercises less of a node than is required; the
            message names node, value, reason and fix.
        UsageError: an argument is of the wrong type, `out` exists, or the sample does not fit.
    """
    _check_arguments(net, sample, dt_s)
    folder = Path(out) if out is not None else Path(f"{type(net).__name__}.bundle")
    description = Description(folder.name.removesuffix(".bundle"), {}, {"environment": machine() | versions(PACKAGES)})
    bundle = export_network(net, sample, dt_s, folder, description, verify, feedback, require_coverage, answer)
    found = bundle.manifest.verification.coverage
    if found is not None and found.unproven:
        log.warning("%s", "\n".join(lines(found)))
    return bundle


def _check_arguments(net: object, sample: object, dt_s: object) -> None:
    if not isinstance(net, nn.Module):
        raise UsageError(f"net of type {type(net).__name__}", "it is no torch module", "Give the network itself")
    tensors = list(sample.values()) if isinstance(sample, Mapping) else [sample]
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            fix = "Give a tensor [T, B, *shape], or one for each argument of forward by name"
            raise UsageError(f"sample of type {type(tensor).__name__}", "it is no torch tensor", fix)
    if isinstance(dt_s, bool) or not isinstance(dt_s, int | float):
        raise UsageError(f"dt_s = {dt_s!r}", "a time step is a positive number of seconds", "Give it in seconds")
