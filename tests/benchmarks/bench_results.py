"""A small but complete `Results`, built by the same functions that the runner uses."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from spikeport.benchmarks import blocks, energy
from spikeport.benchmarks.counting.crossings import CrossingCounts
from spikeport.benchmarks.counting.layers import AnnCounts, DenseLayer
from spikeport.benchmarks.counting.network import NetworkCounts, ann_block, snn_block, stage_shares
from spikeport.benchmarks.counting.stage import NeuronCounts, StageCounts, SynapseCounts
from spikeport.benchmarks.energy.estimate import energy_rows
from spikeport.benchmarks.energy.verdict import compare
from spikeport.benchmarks.results import Results, Row
from spikeport.benchmarks.statistics import wilson
from spikeport.export.coverage import Coverage, NodeCoverage

N = 1000
NOTE = "pairs are class-matched, not recorded together; no speaker known"
DATASET = blocks.Dataset(name="av-digits", split="test", samples=N, note=NOTE)
NOT_MEASURED = {
    "measured": "joules were not measured: no counter was asked for",
    "footprint": "a backend stores the network in its own form",
    "discrimination": "the network has no embeddings that are known",
}
NOT_SPIKING = {"agreement": "the ANN is another network", "coverage": "an ANN has no spikes"}

ANN = AnnCounts(
    N,
    (
        DenseLayer("image.0", "conv", 43_200, 1, 300, 784, 1728, 11_000 * N),
        DenseLayer("image.2", "conv", 115_200, 1, 7200, 1728, 384, 61_000 * N),
        DenseLayer("audio.0", "linear", 1664, 16, 1664, 13, 128, 26_000 * N),
        DenseLayer("fuse", "linear", 65_536, 1, 65_536, 512, 128, 30_000 * N),
        DenseLayer("readout", "linear", 1280, 1, 1280, 128, 10, 600 * N),
    ),
    {"image.0": "its bias, one addition per output and pass; its products are counted"},
)


def snn(scale: float = 1.0) -> NetworkCounts:
    synapses = {
        "image_conv1": SynapseCounts(True, 400 * N, int(22_000 * scale) * N, 0, 691_200 * N, 300, 0, 1728),
        "image_conv2": SynapseCounts(True, 900 * N, int(91_000 * scale) * N, 0, 1_843_200 * N, 7200, 0, 384),
        "audio_fc": SynapseCounts(False, 208 * N, 0, 26_624 * N, 26_624 * N, 1664, 0, 128),
        "fuse_image": SynapseCounts(False, 300 * N, int(38_000 * scale) * N, 0, 786_432 * N, 49_152, 0, 128),
        "fuse_audio": SynapseCounts(False, 250 * N, int(32_000 * scale) * N, 0, 262_144 * N, 16_384, 0, 128),
    }
    neurons = {
        "image_lif1": NeuronCounts(1728, 1728 * 16 * N, int(1260 * scale) * N, 1728 * 16 * N, 1),
        "image_lif2": NeuronCounts(384, 384 * 16 * N, int(300 * scale) * N, 384 * 16 * N, 1),
        "audio_lif": NeuronCounts(128, 128 * 16 * N, int(250 * scale) * N, 128 * 16 * N, 1),
        "fused_lif": NeuronCounts(128, 128 * 16 * N, int(310 * scale) * N, 128 * 16 * N, 1),
    }
    left_out = {"image_conv1": "its bias, one addition per output and step; its synapses are counted"}
    stage = StageCounts(N, 16, neurons, synapses, left_out)
    crossings = (
        CrossingCounts("image", "chip", "input", ("core",), 784 * 16 * N, 3200 * N),
        CrossingCounts("spikes", "host", "core", ("readout",), 128 * 16 * N, 310 * N),
    )
    return NetworkCounts({"core": stage}, (DenseLayer.linear("readout", 128, 10),), crossings)


def accuracy(right: int) -> blocks.Accuracy:
    return blocks.Accuracy(value=right / N, n=N, ci95=wilson(right, N))


def agreement(exact: bool) -> blocks.Agreement:
    nodes = {
        name: blocks.NodeAgreement(
            spikes=1.0 if exact else 0.991,
            ties=0,
            mismatches=0 if exact else 120,
            jaccard=1.0 if exact else 0.93,
            spikes_reference=1000,
            spikes_backend=1000 if exact else 990,
        )
        for name in ("image_lif1", "fused_lif")
    }
    return blocks.Agreement(
        exact=exact,
        ties=2 if exact else 0,
        spikes=1.0 if exact else 0.99123,
        jaccard=1.0 if exact else 0.9312,
        latency_steps={"image_lif1": 0, "fused_lif": 0 if exact else 2},
        first_divergence=None
        if exact
        else blocks.Divergence(node="image_lif1", step=3, neuron=(4, 7, 2), margin=-0.0132),
        per_node=nodes,
    )


def covered(neurons: int, never: int, always: int = 0) -> NodeCoverage:
    share = (neurons - never - always) / neurons
    return NodeCoverage(neurons=neurons, share=share, never_exercised=never, always=always)


COVERAGE = Coverage(
    per_node={
        "image_lif1": covered(1728, 0),
        "image_lif2": covered(384, 48),
        "audio_lif": covered(128, 0),
        "fused_lif": covered(128, 0),
    }
)


def row(name: str, kind: str, counts: NetworkCounts | AnnCounts | None, **changes) -> Row:
    ann = isinstance(counts, AnnCounts)
    fields = {
        "id": f"av-digits/{name}",
        "name": name,
        "kind": kind,
        "twin": "same topology with ReLU" if ann else None,
        "model": "av-digits",
        "bundle": None if ann else "9f2b" * 16,
        "seed": 0,
        "dataset": DATASET,
        "condition": {"noise.image": 0.5, "noise.audio": 0.5, "T": 16},
        "dt_s": 1e-3,
        "timesteps": 16,
        "status": "ok",
        "reason": None,
        "accuracy": accuracy(985),
        "coverage": None if ann else COVERAGE,
        "agreement": None if ann else agreement(True),
        "stages": () if counts is None or isinstance(counts, AnnCounts) else stage_shares(counts),
        "counts": None if counts is None else ann_block(counts) if isinstance(counts, AnnCounts) else snn_block(counts),
        "energy": () if counts is None else energy_rows(counts, energy.load_all()),
        "measured": None,
        "timing": blocks.Timing(ms_per_sample=3.45, samples_per_s=290.0, batch=N, repeats=3, spread=(3.2, 4.1)),
        "missing": NOT_MEASURED | (NOT_SPIKING if ann else {}),
    }
    return Row(**(fields | changes))


def example() -> blocks.Example:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:28, 0:28]
    ring = np.exp(-((np.hypot((x - 14) * 1.3, y - 14) - 8) ** 2) / 4) + 0.1 * rng.random((28, 28))
    frames = np.cumsum(rng.normal(size=(13, 16)), axis=1)
    rasters = []
    for node, neurons, rate in (("image_lif1", 1728, 0.045), ("image_lif2", 384, 0.05), ("fused_lif", 128, 0.15)):
        events = np.argwhere(rng.random((16, neurons)) < rate * rng.random(neurons) * 2)
        rasters.append(
            blocks.Raster(node=node, neurons=neurons, timesteps=16, events=tuple((int(t), int(n)) for t, n in events))
        )
    pictures = (
        blocks.Heatmap(name="image", values=tuple(map(tuple, ring.round(3).tolist())), x_label="x", y_label="y"),
        blocks.Heatmap(
            name="audio",
            values=tuple(map(tuple, frames.round(3).tolist())),
            x_label="frame",
            y_label="feature",
            origin="lower",
        ),
    )
    walk = np.abs(rng.normal(0.6, 0.4, size=(2, 16))).round(4)
    trace = blocks.Trace(
        node="fused_lif", neurons=(3, 17), values=tuple(map(tuple, walk.tolist())), thresholds=(1.0, 1.0)
    )
    answers = {"ann": "0", "snn": "0"}
    return blocks.Example(label="0", predicted=answers, inputs=pictures, rasters=tuple(rasters), traces=(trace,))


def results(**changes) -> Results:
    never = {"accuracy": None, "coverage": None, "agreement": None, "timing": None, "missing": {}}
    rows = (
        row("ann", "ann", ANN, accuracy=accuracy(989)),
        row("snn", "snn", snn()),
        row("reference", "backend", snn()),
        row("norse", "backend", snn()),
        row(
            "lava-fixed",
            "backend",
            snn(1.06),
            status="quantised",
            reason="parameters are rounded to integers, so it differs from the float network",
            accuracy=accuracy(981),
            agreement=agreement(False),
        ),
        row("lava-float", "backend", None, status="unavailable", reason="no Python 3.10 is found | offline", **never),
    )
    difference = blocks.Difference(
        first="av-digits/snn", second="av-digits/ann", value=-0.004, ci95=(-0.0113, 0.0031), n=N, method="Newcombe"
    )
    fields = {
        "created": "2026-11-21T04:00:00+00:00",
        "spikeport": "0.1.0",
        "git": "6c216b6",
        "environment": {"python": "3.11.9", "torch": "2.13.0+cpu", "machine": "2 cores"},
        "title": "av-digits",
        "rows": rows,
        "comparisons": compare(snn(), ANN, energy.load_all(), "av-digits/snn", "av-digits/ann"),
        "differences": (difference,),
        "example": example(),
        "reproduce": ("spikeport train av-digits --out runs/av-digits", "spikeport bench runs/av-digits --backend all"),
    }
    return Results(**(fields | changes))


def figures(page: str) -> dict[str, Any]:
    """Return what a page's charts are drawn from, by the id of the chart."""
    found = re.search(r'id="figures">(.*?)</script>', page, re.S)
    assert found, "the page has no charts"
    return json.loads(found.group(1))
