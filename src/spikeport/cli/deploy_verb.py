"""`spikeport deploy`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spikeport.cli.sources import backend_names, open_network, weight_bits_of
from spikeport.errors import UsageError

if TYPE_CHECKING:
    from spikeport.deploy.loihi.losses import LayerLosses

PLACED = ("loihi",)
"""The backends whose networks are placed on a chip's cores."""


def run(args: argparse.Namespace) -> int:
    """Lower a network, run its golden samples, and say whether it is the same network."""
    from spikeport.deploy import backends
    from spikeport.deploy.deployment import deploy_network
    from spikeport.deploy.loihi import losses
    from spikeport.deploy.loihi.mapper.chip import load
    from spikeport.deploy.loihi.mapper.show import lines
    from spikeport.deploy.quantised import with_weight_bits
    from spikeport.export.verify import describe

    (name,) = backend_names([args.backend], [])
    backend = with_weight_bits(backends.get(name), weight_bits_of(args))
    if args.chip and name not in PLACED:
        raise UsageError(f"--chip {args.chip}", f"backend '{name}' places nothing on a chip", "Use --backend loihi")
    chips = [args.chip] if args.chip else []
    for chip in chips:
        load(chip)
    network, bundle = open_network(args)
    out = args.out or Path(f"{args.network.resolve().name.removesuffix('.bundle').removesuffix('.nir')}.{name}")
    golden = bundle.golden().inputs if bundle else None
    deployed = deploy_network(network, backend, out, golden, args.samples, chips)
    for stage, agreement in deployed.agreements.items():
        verdict = "exact" if agreement.exact else "MISMATCH"
        print(f"{stage}: {verdict}, {describe(agreement)}, Jaccard {agreement.jaccard:.4f}")
    for stage, layers in deployed.losses.items():
        print(f"{stage} in integers, {_basis_of(layers)}:")
        print("\n".join(f"  {line}" for line in losses.lines(layers)))
    for stage, mappings in deployed.mappings.items():
        print(f"{stage} on a chip, {_basis(golden is not None)}:")
        print("\n".join(f"  {line}" for line in lines(mappings)))
    if golden is None:
        print("not run: a bare .nir file carries no samples; `spikeport bench` takes some with --data")
    print(f"deployment: {out}")
    print(f"next: spikeport bench {args.network} --backend {name}")
    return 0 if deployed.as_declared else 1


def _basis(ran: bool) -> str:
    return "limits as published or inferred (see mapping.json)" + (", spikes of these samples" if ran else "")


def _basis_of(layers: Mapping[str, LayerLosses]) -> str:
    seen = next((layer.behaviour for layer in layers.values() if layer.behaviour), None)
    return f"on the {seen.samples} samples it was calibrated on" if seen else "not calibrated: no samples"
