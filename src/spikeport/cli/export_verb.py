"""`spikeport export`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from spikeport.errors import UsageError

if TYPE_CHECKING:
    from spikeport.export.bundle import Bundle
    from spikeport.models.twin import Twin
    from spikeport.train.run import Run


def run(args: argparse.Namespace) -> int:
    """Export a run to a bundle, and to ONNX where that is asked for."""
    from spikeport.benchmarks.bundling import export_run
    from spikeport.benchmarks.l2_deployment import recorded
    from spikeport.export.coverage import lines
    from spikeport.files import refuse_existing
    from spikeport.models.twin import Twin
    from spikeport.train.run import load_run

    trained = load_run(args.source)
    if args.onnx:
        refuse_existing(args.onnx)
    if args.onnx and isinstance(trained.network, Twin):
        return _ann(args, trained, trained.network)
    out = args.out or Path(f"{trained.path.resolve().name}.bundle")
    bundle = export_run(trained, out, args.samples, not args.no_verify, args.l2, args.require_coverage)
    proof = bundle.manifest.verification
    if proof.status == "exact":
        print(f"verified: {proof.entries} entries on {proof.samples} samples equal snnTorch's, {proof.ties} ties")
    else:
        print("not verified: --no-verify; the manifest says so")
    if (record := recorded(bundle)) is not None:
        print(f"L2 layer: {record.told()}")
    for rewrite in bundle.manifest.rewrites:
        print(f"  {rewrite.node}: {rewrite.what} ({rewrite.bound})")
    if proof.coverage is not None:
        print("\n".join(lines(proof.coverage)))
    print(f"bundle: {out}")
    if args.onnx:
        _step(args, bundle)
    print(f"next: spikeport check {out}")
    return 0


def _ann(args: argparse.Namespace, trained: Run, network: Twin) -> int:
    from spikeport.cli.onnx_file import write_ann

    given = {"--out": args.out, "--no-verify": args.no_verify or None, "--l2": args.l2}
    given |= {"--require-coverage": args.require_coverage}
    if option := next((name for name, value in given.items() if value is not None), None):
        raise UsageError(option, "an ANN's run has no bundle, and its ONNX file is always checked", f"Drop {option}")
    difference = write_ann(trained, network, args.onnx, args.samples)
    print(f"verified: within {difference:.1g} of torch under onnxruntime")
    print(f"onnx: {args.onnx}, the ANN")
    print(f"next: spikeport bench SNN-RUN --ann {args.source}")
    return 0


def _step(args: argparse.Namespace, bundle: Bundle) -> None:
    from spikeport.cli.onnx_file import write_step

    agreement = write_step(bundle, args.onnx, check=not args.no_verify)
    if agreement is not None:
        print(f"verified: {agreement.entries} entries under onnxruntime equal the reference, {agreement.ties} ties")
    print(f"onnx: {args.onnx}, one step of the spiking network; the readout, if any, is in the bundle")
