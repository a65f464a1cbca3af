"""`spikeport env`."""

from __future__ import annotations

import argparse
import os

import spikeport
from spikeport.provenance import git_hash, machine, versions

PACKAGES = ("torch", "snntorch", "nir", "numpy", "scipy", "h5py", "lightning", "onnx", "onnxruntime", "uv")


def run(args: argparse.Namespace) -> int:
    """Print versions, machine and devices."""
    rows = {"spikeport": spikeport.__version__, "git": git_hash() or "not a checkout"}
    rows |= machine() | {"cores": str(os.cpu_count()), "cuda": _cuda()} | versions(PACKAGES)
    for name, value in rows.items():
        print(f"{name:<12} {value}")
    return 0


def _cuda() -> str:
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "not available"
