"""A row of `results.json` in NeuroBench's own keys and file format, so that its tools and tables take our figures.

The file is NeuroBench's flat object keyed by metric class, all figures per sample, and one more key, `spikeport`:
the definitions, the same figures per step, the layers, what is missing and why. A figure that we do not know is null
here, where NeuroBench would write 0.0.

Source: NeuroBench 2.3.0, `Benchmark.save_benchmark_results(path, "json")`; J. Yik et al., Nat. Commun. 16:1545, 2025.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spikeport.benchmarks.blocks import Counts, NeuronNode
from spikeport.benchmarks.results import NEVER_RAN, Results, Row
from spikeport.errors import UsageError, did_you_mean
from spikeport.files import new_file

SCHEMA = 1
SPARSITIES = ("ActivationSparsity", "ActivationSparsityByLayer")
WORKLOAD = ("ClassificationAccuracy", *SPARSITIES, "MembraneUpdates", "SynapticOperations", "NeuronOperations")
NO_CHANGES = (
    "NeuroBench counts membranes whose value changed, and this file has all neuron updates: see "
    "spikeport.per_sample.neuron_updates"
)
DEFINITIONS = {
    "Footprint": "bytes of parameters, constant buffers and the neuron state of one sample; NeuroBench's holds the "
    "state of the last batch",
    "ConnectionSparsity": "over the stored weights of all weighted nodes, host stages among them",
    "ActivationSparsity": "over all that the spiking nodes emitted, by exact totals",
    "SynapticOperations": "split element by element: AC where the value is exactly 1 or -1, MAC where it is "
    "any other non-zero value; NeuroBench decides once a layer, step and batch. A host stage is dense: each of its "
    "products is an effective MAC. An ANN's MACs are the products with a non-zero input. Dense is border-exact.",
}


def write_neurobench(results: Results, path: Path, row_id: str | None = None) -> Row:
    """Write one row: aside first, then renamed over `path`.

    Args:
        results: the results.
        path: of the file; NeuroBench's own end in `.json`.
        row_id: which row; by default the first spiking one that ran, or else the first that ran.

    Returns:
        The row.

    Raises:
        UsageError: there is no such row, or it never ran.
    """
    row = chosen(results, row_id)
    with new_file(path) as aside:
        aside.write_text(json.dumps(neurobench(results, row), indent=4, allow_nan=False), encoding="utf-8")
    return row


def chosen(results: Results, row_id: str | None) -> Row:
    """Return the row named, or the first spiking one that ran."""
    ran = {row.id: row for row in results.rows if row.status not in NEVER_RAN}
    if row_id is not None:
        if row_id not in ran:
            raise UsageError(f"row '{row_id}'", "there is none that ran", did_you_mean(row_id, ran))
        return ran[row_id]
    if not ran:
        raise UsageError("the results", "no row ran, so there is no figure to write", "Run `spikeport bench` again")
    return next((row for row in ran.values() if row.kind != "ann"), next(iter(ran.values())))


def neurobench(results: Results, row: Row) -> dict[str, Any]:
    """Return the file's content for `row`."""
    missing: dict[str, str] = {}
    figures: dict[str, Any] = {**_static(row, missing), **_workload(row, missing)}
    return figures | {"spikeport": _own(results, row, missing)}


def _static(row: Row, missing: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {"ParameterCount": None, "Footprint": None, "ConnectionSparsity": None}
    if row.footprint is None:
        missing |= dict.fromkeys(("ParameterCount", "Footprint"), row.missing["footprint"])
    else:
        found["ParameterCount"] = row.footprint.parameters
        found["Footprint"] = row.footprint.parameter_bytes + row.footprint.buffer_bytes + row.footprint.state_bytes
    if row.counts is None:
        missing["ConnectionSparsity"] = row.missing["counts"]
    else:
        found["ConnectionSparsity"] = row.counts.weight_sparsity
        if row.counts.weight_sparsity is None:
            missing["ConnectionSparsity"] = row.counts.missing["weight_sparsity"]
    return found


def _workload(row: Row, missing: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(WORKLOAD)
    missing |= dict.fromkeys(("MembraneUpdates", "NeuronOperations"), NO_CHANGES)
    if row.accuracy is None:
        missing["ClassificationAccuracy"] = row.missing["accuracy"]
    else:
        found["ClassificationAccuracy"] = row.accuracy.value
    if row.counts is None:
        missing |= dict.fromkeys((*SPARSITIES, "SynapticOperations"), row.missing["counts"])
        return found
    found["ActivationSparsity"] = row.counts.activation_sparsity
    found["ActivationSparsityByLayer"] = _by_layer(row.counts)
    found["SynapticOperations"] = _operations(row.counts, missing)
    if row.counts.activation_sparsity is None:
        missing |= dict.fromkeys(SPARSITIES, row.counts.missing["activation_sparsity"])
    return found


def _by_layer(counts: Counts) -> dict[str, float] | None:
    nodes = {name: node for name, node in counts.per_node.items() if isinstance(node, NeuronNode)}
    return {name: 1 - node.rate for name, node in nodes.items() if node.rate is not None} or None


def _operations(counts: Counts, missing: dict[str, str]) -> dict[str, float | None]:
    names = {"Effective_MACs": "synops_mac", "Effective_ACs": "synops_ac", "Dense": "dense_macs"}
    for key, name in names.items():
        if name in counts.missing:
            missing[f"SynapticOperations.{key}"] = counts.missing[name]
    return {key: getattr(counts.per_sample, name) for key, name in names.items()}


def _own(results: Results, row: Row, missing: dict[str, str]) -> dict[str, Any]:
    """Return the `spikeport` key: what NeuroBench's keys do not say."""
    counts, steps = row.counts, row.timesteps
    per_sample = counts.per_sample.model_dump() if counts else None
    per_step = {k: None if v is None else v / steps for k, v in per_sample.items()} if per_sample and steps else None
    return {
        "schema": SCHEMA,
        "figures": "per sample, all steps together; per_step divides them by the steps",
        "version": results.spikeport,
        "git": results.git,
        "created": results.created,
        "environment": results.environment,
        "row": row.id,
        "model": row.model,
        "bundle": row.bundle,
        "dataset": row.dataset.model_dump(),
        "condition": row.condition,
        "timesteps": steps,
        "definitions": DEFINITIONS,
        "missing": missing | (counts.missing if counts else {}),
        "per_sample": per_sample,
        "per_step": per_step,
        "per_node": {name: node.model_dump() for name, node in counts.per_node.items()} if counts else None,
        "not_counted": [item.model_dump() for item in counts.not_counted] if counts else None,
    }
