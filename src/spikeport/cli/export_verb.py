"""`spikeport export`."""

from __future__ import annotations

import argparse
from pathlib import Path


def run(args: argparse.Namespace) -> int:
    """Export a run to a bundle."""
    from spikeport.benchmarks.bundling import export_run
    from spikeport.train.run import load_run

    trained = load_run(args.source)
    out = args.out or Path(f"{trained.path.resolve().name}.bundle")
    bundle = export_run(trained, out, args.samples, check=not args.no_verify)
    proof = bundle.manifest.verification
    if proof.status == "exact":
        print(f"verified: {proof.entries} entries on {proof.samples} samples equal snnTorch's, {proof.ties} ties")
    else:
        print("not verified: --no-verify; the manifest says so")
    for rewrite in bundle.manifest.rewrites:
        print(f"  {rewrite.node}: {rewrite.what} ({rewrite.bound})")
    print(f"bundle: {out}")
    print(f"next: spikeport check {out}")
    return 0
