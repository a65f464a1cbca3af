"""How long a spiking ResNet-18 takes to export and verify, and how much memory.

`python -m spikeport.benchmarks.resnet18` prints both, of a process that does nothing else. The weights are random: what
is measured does not depend on training, but the BatchNorms have seen data, so that every layer spikes.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import snntorch
import torch
from torch import Tensor, nn

import spikeport
from spikeport.errors import SpikeportError
from spikeport.models.state import reset_state

TIMESTEPS, SAMPLES, SIDE, CLASSES = 4, 4, 32, 10
WIDTHS = (64, 128, 256, 512)


def _leaky(threshold: float = 0.5) -> snntorch.Leaky:
    return snntorch.Leaky(beta=0.5, threshold=threshold, init_hidden=True)


class Block(nn.Module):
    """The basic block: two convolutions, each with a BatchNorm, and a shortcut summed before the last neuron."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1, self.lif1 = nn.BatchNorm2d(outputs), _leaky()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2, self.lif2 = nn.BatchNorm2d(outputs), _leaky()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's spikes."""
        inner = self.norm2(self.conv2(self.lif1(self.norm1(self.conv1(x)))))
        spikes: Tensor = self.lif2(inner + self.shortcut(x))
        return spikes


class ResNet18(nn.Module):
    """One time step of a spiking ResNet-18 for 32 x 32 pixels, 11.2 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), _leaky())
        blocks, before = [], WIDTHS[0]
        for width in WIDTHS:
            blocks += [Block(before, width, 1 if width == WIDTHS[0] else 2), Block(width, width, 1)]
            before = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(nn.AvgPool2d(SIDE // 8), nn.Flatten(), nn.Linear(before, CLASSES), _leaky(0.02))

    def forward(self, x: Tensor) -> Tensor:
        """Return the spikes of the class neurons."""
        spikes: Tensor = self.head(self.blocks(self.stem(x)))
        return spikes


def prepared() -> tuple[ResNet18, Tensor]:
    """Return a network in use, in training mode with states of its last step, and samples for it."""
    torch.manual_seed(0)
    net = ResNet18().train()
    samples_TB = torch.rand(TIMESTEPS, SAMPLES, 3, SIDE, SIDE)
    with torch.no_grad():
        for _ in range(3):
            reset_state(net)
            for x_B in samples_TB:
                net(x_B)
    return net, samples_TB


def snapshot(net: nn.Module) -> dict[str, Tensor | bool]:
    """Return copies of all that an export must not touch: weights, statistics, modes and membranes."""
    found: dict[str, Tensor | bool] = {f"mode {name}": module.training for name, module in net.named_modules()}
    found |= {f"weight {name}": value.clone() for name, value in net.state_dict().items()}
    neurons = ((n, m) for n, m in net.named_modules() if isinstance(m, snntorch.Leaky))
    return found | {f"membrane {name}": module.mem.clone() for name, module in neurons}


def changed(before: dict[str, Tensor | bool], after: dict[str, Tensor | bool]) -> list[str]:
    """Return the names of what differs between two snapshots."""
    return [
        name
        for name in sorted(before.keys() | after.keys())
        if name not in before or name not in after or not _same(before[name], after[name])
    ]


def _same(before: Tensor | bool, after: Tensor | bool) -> bool:
    if isinstance(before, Tensor) and isinstance(after, Tensor):
        return torch.equal(before, after)
    return before is after


def measure(folder: Path) -> dict[str, object]:
    """Export into `folder`, and return what it took and what it changed."""
    net, samples_TB = prepared()
    before = snapshot(net)
    start = time.perf_counter()
    bundle = spikeport.export(net, samples_TB, 1e-3, folder / "resnet18.bundle")
    seconds = time.perf_counter() - start
    proof, golden = bundle.manifest.verification, bundle.golden().nodes["core"]
    graph = bundle.network.chips[0].graph
    return {
        "parameters": sum(p.numel() for p in net.parameters()),
        "timesteps": TIMESTEPS,
        "samples": SAMPLES,
        "seconds": round(seconds, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // _RSS_PER_MIB,
        "entries": proof.entries,
        "ties": proof.ties,
        "silent": [name for name in graph.spiking if not golden[name].any()],
        "changed": changed(before, snapshot(net)),
    }


# ru_maxrss is in KiB on Linux and in bytes on macOS.
_RSS_PER_MIB = 1 << (20 if sys.platform == "darwin" else 10)


def main() -> int:
    """Print the measurement as one JSON object."""
    try:
        with tempfile.TemporaryDirectory(prefix="spikeport-") as folder:
            found = measure(Path(folder))
    except SpikeportError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
