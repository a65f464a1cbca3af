"""The suite's networks on a GPU: `python -m spikeport.benchmarks.loihi_gpu [--device cuda] [--batch 128 1024]`.

The same integers through torch, held against the compiled engine in the same run: every spike of the first batch. Times
are per sample and step, inputs already on this machine, records read back.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from spikeport.benchmarks.suites.loihi_nets import SuiteNet, suite_input, suite_nets
from spikeport.deploy.loihi.engine import Engine
from spikeport.deploy.loihi.engine.on_torch import TorchEngine

ROUNDS = 5
CHECKED = 16


def main(arguments: Sequence[str] | None = None) -> int:
    """Time every network at every batch size; 1 where the spikes differ, 2 where there is no such device."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda", help="a torch device (default: cuda)")
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 1024], help="samples at once")
    args = parser.parse_args(arguments)
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        sys.stderr.write("error: device 'cuda': torch sees no GPU here. Fix: use --device cpu, or a machine with one\n")
        return 2
    table = Table("network", "batch", "engine us", f"{args.device} us", "equal")
    same = True
    for net in suite_nets():
        for batch in args.batch:
            ours, theirs, equal = measure(net, batch, args.device)
            same = same and equal
            table.add_row(net.name, str(batch), f"{ours:.4g}", f"{theirs:.4g}", "yes" if equal else "NO")
    console = Console()
    console.print(table)
    name = torch.cuda.get_device_name() if args.device.startswith("cuda") else "the processor"
    console.print(f"us per sample and step, median of {ROUNDS}; {args.device} is {name}, torch {torch.__version__}")
    return 0 if same else 1


def measure(net: SuiteNet, batch: int, device: str) -> tuple[float, float, bool]:
    """Return microseconds per sample and step of the engine and of the device, and whether their spikes are equal."""
    x = suite_input(net, batch)
    network = net.network()
    engine, on_device = Engine(network), TorchEngine(network, device)
    first = {"input": x[:, :CHECKED]}
    expected, got = engine.run(first).spikes, on_device.run(first).spikes
    equal = all(np.array_equal(expected[name], got[name]) for name in expected)
    return _time(engine, x), _time(on_device, x), equal


def _time(engine: Engine | TorchEngine, x: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        engine.run({"input": x})
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds) / x.shape[0] / x.shape[1] * 1e6


if __name__ == "__main__":
    sys.exit(main())
