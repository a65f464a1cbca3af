"""`spikeport env`."""

from __future__ import annotations

import argparse
import os
import platform
from importlib import metadata

import spikeport

PACKAGES = ("torch", "snntorch", "nir", "numpy", "scipy", "h5py", "lightning", "onnx", "onnxruntime", "uv")


def run(args: argparse.Namespace) -> int:
    """Print versions, machine and devices."""
    print(f"spikeport  {spikeport.__version__}")
    print(f"python     {platform.python_version()} on {platform.platform()}")
    print(f"cores      {os.cpu_count()}")
    print(f"cuda       {_cuda()}")
    for package in PACKAGES:
        print(f"{package:<10} {_version(package)}")
    return 0


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _cuda() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "not available"
