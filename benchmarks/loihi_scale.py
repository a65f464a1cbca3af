"""How the integer engine grows: `python -m spikeport.benchmarks.loihi_scale [--html FILE]`.

Two populations of equal size in one stage with 100 synapses a neuron, up to a million neurons and a hundred million
synapses: drawn from 10,000 neighbours, as in feature maps (`local`), or from everywhere (`random`), where the sums no
longer stay in the nearest cache as the network grows. Each network runs in a process of its own, so that its
peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_array

from spikeport.deploy.loihi.engine import Engine, IntegerNetwork, Population, Synapses
from spikeport.files import new_file

SIZES = (62_500, 125_000, 250_000, 500_000, 1_000_000)
FAN_IN = 100
STEPS = 20
ACTIVITY = 0.1
REACHES = {"local": 10_000, "random": max(SIZES)}

Figures = dict[str, float]


def drawn_network(neurons: int, reach: int, seed: int = 0) -> IntegerNetwork:
    """Return input -> half of the neurons -> the other half, each neuron with `FAN_IN` of `reach` neighbours."""
    rng = np.random.default_rng(seed)
    half = neurons // 2
    populations, synapses, source = [], [], "input"
    for name in ("first", "second"):
        populations.append(Population(name, (half,), 1024, 400, 1100, np.zeros(half, np.int32)))
        synapses.append(Synapses(source, name, _drawn_weights(rng, half, min(reach, half))))
        source = name
    return IntegerNetwork({"input": (half,)}, populations, synapses)


def _drawn_weights(rng: np.random.Generator, size: int, reach: int) -> csr_array:
    """Return [size, size] with `FAN_IN` entries a row, each in a stretch of its own, so that none meets another."""
    stretch = reach // FAN_IN
    first = np.clip(np.arange(size, dtype=np.int64) - reach // 2, 0, size - reach).astype(np.int32)
    columns = rng.integers(0, stretch, (size, FAN_IN), dtype=np.int32)
    columns += first[:, None] + np.arange(FAN_IN, dtype=np.int32) * np.int32(stretch)
    data = (2 * rng.integers(-64, 65, size * FAN_IN)).astype(np.int16)
    return csr_array((data, columns.ravel(), np.arange(size + 1, dtype=np.int64) * FAN_IN), shape=(size, size))


def measure(neurons: int, reach: int) -> Figures:
    """Return what a network of `neurons` takes, in this process."""
    network = drawn_network(neurons, reach)
    begin = time.perf_counter()
    engine = Engine(network, threads=1)
    laid_out = time.perf_counter() - begin
    x = (np.random.default_rng(1).random((STEPS, 1, neurons // 2)) < ACTIVITY).astype(np.uint8)
    engine.run({"input": x[:2]})
    begin = time.perf_counter()
    records = engine.run({"input": x})
    seconds = (time.perf_counter() - begin) / STEPS
    return {
        "neurons": neurons,
        "synapses": network.synapse_count,
        "layout_s": laid_out,
        "ms_per_step": seconds * 1e3,
        "activity": float(np.mean([s.mean() for s in records.spikes.values()])),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def growth(rows: Sequence[Figures]) -> float:
    """Return the exponent k of `time ~ neurons^k`, by least squares on logarithms; 1 is linear."""
    sizes, times = (np.log([row[key] for row in rows]) for key in ("neurons", "ms_per_step"))
    return float(np.polyfit(sizes, times, 1)[0])


def plot(curves: Mapping[str, Sequence[Figures]], path: Path) -> None:
    """Write the curves as a page of its own."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for name, rows in curves.items():
        sizes, times = ([row[key] for row in rows] for key in ("neurons", "ms_per_step"))
        label = f"{name}: neurons^{growth(rows):.2f}"
        figure.add_scatter(x=sizes, y=times, mode="lines+markers", name=label)
    sizes = [row["neurons"] for row in curves["local"]]
    linear = [curves["local"][0]["ms_per_step"] * size / sizes[0] for size in sizes]
    figure.add_scatter(x=sizes, y=linear, mode="lines", line={"dash": "dot"}, name="linear")
    figure.update_layout(
        title=f"The integer engine, one sample, {FAN_IN} synapses a neuron",
        xaxis={"title": "neurons", "type": "log"},
        yaxis={"title": "ms per step", "type": "log"},
    )
    with new_file(path) as aside:
        figure.write_html(aside, include_plotlyjs=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all sizes and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the curves")
    parser.add_argument("--one", type=int, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.one:
        sys.stdout.write(json.dumps(measure(*args.one)))
        return
    curves = {name: [_in_a_child(size, reach) for size in SIZES] for name, reach in REACHES.items()}
    table = Table("synapses", "neurons", "of them", "layout s", "ms per step", "activity", "peak GB")
    for name, rows in curves.items():
        for row in rows:
            numbers = (f"{row[key]:.4g}" for key in ("layout_s", "ms_per_step", "activity", "peak_gb"))
            table.add_row(name, f"{row['neurons']:,.0f}", f"{row['synapses']:,.0f}", *numbers)
    console = Console()
    console.print(table)
    for name, rows in curves.items():
        console.print(f"{name}: time per step grows as neurons^{growth(rows):.2f}")
    if args.html:
        plot(curves, args.html)
        console.print(f"curves: {args.html}")


def _in_a_child(neurons: int, reach: int) -> Figures:
    command = [sys.executable, "-m", "spikeport.benchmarks.loihi_scale", "--one", str(neurons), str(reach)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: Figures = json.loads(done.stdout)
    return figures


if __name__ == "__main__":
    main()
