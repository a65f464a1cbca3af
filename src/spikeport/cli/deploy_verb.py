"""`spikeport deploy`."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spikeport.cli.covering import lacks
from spikeport.cli.sources import backend_names, meaning_of, open_network, weight_bits_of
from spikeport.cli.telling import end_progress, report_progress
from spikeport.errors import UsageError
from spikeport.models.zoo import located

if TYPE_CHECKING:
    from spikeport.deploy.backend import Inputs
    from spikeport.deploy.deployment import Deployment
    from spikeport.deploy.loihi.losses import LayerLosses
    from spikeport.export.stages import StagedNetwork

PLACED = ("loihi",)
"""The backends whose networks are placed on a chip's cores."""


def run(args: argparse.Namespace) -> int:
    """Lower a network, run its golden samples, and say whether it is the same network."""
    from spikeport.deploy import backends
    from spikeport.deploy.deployment import deploy_network
    from spikeport.deploy.loihi import losses
    from spikeport.deploy.loihi.mapper.chip import load
    from spikeport.deploy.loihi.mapper.show import lines
    from spikeport.deploy.proof import prove
    from spikeport.deploy.quantised import with_weight_bits
    from spikeport.export.coverage import check_required
    from spikeport.export.coverage import lines as coverage_lines
    from spikeport.export.verify import describe

    (name,) = backend_names([args.backend], [])
    backend = with_weight_bits(backends.get(name), weight_bits_of(args))
    if args.chip and name not in PLACED:
        raise UsageError(f"--chip {args.chip}", f"backend '{name}' places nothing on a chip", "Use --backend loihi")
    chips = [args.chip] if args.chip else []
    for chip in chips:
        load(chip)
    network, bundle = open_network(args)
    if bundle:
        prove(bundle, report_progress)
        end_progress()
    out = args.out or Path(
        f"{located(args.network).resolve().name.removesuffix('.bundle').removesuffix('.nir')}.{name}"
    )
    golden = bundle.golden().inputs if bundle else None
    if args.compare and golden is None:
        reason = "a bare .nir file carries no samples to compare on"
        raise UsageError(f"--compare {args.compare}", reason, "Deploy a bundle")
    if args.require_coverage is not None and golden is None:
        reason = "a bare .nir file carries no samples to cover anything"
        raise UsageError(f"--require-coverage {args.require_coverage:g}", reason, "Deploy a bundle")
    check_required(args.require_coverage, verified=True)
    deployed = deploy_network(network, backend, out, golden, args.samples, chips)
    for stage, agreement in deployed.agreements.items():
        other = "quantised, so another network than the float one" if stage in deployed.losses else "MISMATCH"
        verdict = "exact" if agreement.exact else other
        print(f"{stage}: {verdict}, {describe(agreement)}, Jaccard {agreement.jaccard:.4f}")
    if deployed.coverage is not None:
        print("\n".join(coverage_lines(deployed.coverage)))
    for stage, layers in deployed.losses.items():
        print(f"{stage} in integers, {_basis_of(layers)}:")
        print("\n".join(f"  {line}" for line in losses.lines(layers)))
    for stage, mappings in deployed.mappings.items():
        print(f"{stage} on a chip, {_basis(golden is not None)}:")
        print("\n".join(f"  {line}" for line in lines(mappings)))
    if golden is None:
        print("not run: a bare .nir file carries no samples; `spikeport bench` takes some with --data")
    same = not args.compare or _compares(args, network, deployed, golden)
    print(f"deployment: {out}")
    data = [] if golden is not None else ["--data", "FILE.npz"]
    print(f"next: {shlex.join(['spikeport', 'bench', str(args.network), *meaning_of(args), '--backend', name, *data])}")
    covered = not lacks(out.name, deployed.coverage, args.require_coverage)
    return 0 if deployed.as_declared and same and covered else 1


def _compares(args: argparse.Namespace, network: StagedNetwork, deployed: Deployment, golden: Inputs | None) -> bool:
    """Run the other backend on the same samples, print how the two compare, return whether they are the same."""
    from spikeport.deploy import backends, compare
    from spikeport.deploy.pipeline import lower_network, run_network
    from spikeport.deploy.quantised import with_weight_bits

    (name,) = backend_names([args.compare], [])
    assert golden is not None
    assert deployed.run is not None
    programs = lower_network(network, with_weight_bits(backends.get(name), weight_bits_of(args)), golden)
    theirs = run_network(network, programs, {n: x[:, : args.samples] for n, x in golden.items()})
    differences = compare.compare_runs(deployed.run, theirs)
    print("\n".join(compare.lines(differences, args.backend, name)))
    return all(found.differing == 0 for found in differences.values())


def _basis(ran: bool) -> str:
    return "limits as published or inferred (see mapping.json)" + (", spikes of these samples" if ran else "")


def _basis_of(layers: Mapping[str, LayerLosses]) -> str:
    seen = next((layer.behaviour for layer in layers.values() if layer.behaviour), None)
    return f"on the {seen.samples} samples it was calibrated on" if seen else "not calibrated: no samples"
