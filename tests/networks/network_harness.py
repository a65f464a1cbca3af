"""From a case to its row: exported as it stands, held against the author's own run, tried on backends.

Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import nir
import numpy as np
import snntorch
import torch
from network_case import Case, Outputs
from numpy.typing import NDArray
from torch import Tensor, nn

import spikeport
from spikeport.benchmarks.counting.stage import count_stage
from spikeport.deploy import backends
from spikeport.deploy.pipeline import NetworkRun, lower_network, run_network
from spikeport.errors import SpikeportError, UnavailableError
from spikeport.export.bundle import Bundle
from spikeport.export.stages import HostStage, StagedNetwork

DT = 1e-3
CHIP_NEURONS = (snntorch.Leaky, snntorch.Synaptic, snntorch.RLeaky, snntorch.RSynaptic, snntorch.Lapicque)
VALUE_TOLERANCE = 1e-5
"""Relative to an output's largest value: the author's float32 sums are taken in another order."""


@dataclass
class Row:
    """What became of a case.

    Attributes:
        case: which.
        status: `exact`; `refused: <words>`; `crashed: <words>`; `differs: <words>`; `exact, lacks <outputs>`.
        seconds: what the export took.
        chip_neurons: the share of the neurons that a chip can have which run on it; `None` if not exported.
        host_ops: the share of operations on the host.
        backends: by name, what became of it there.
    """

    case: Case
    status: str
    seconds: float | None = None
    chip_neurons: float | None = None
    host_ops: float | None = None
    backends: dict[str, str] = field(default_factory=dict)


def try_case(case: Case, folder: Path, names: tuple[str, ...] = ()) -> Row:
    """Export a case into the new `folder` / its number, compare its outputs and deploy it on `names`."""
    net, sample = case.make()
    author = case.outputs(net, sample)
    fired = firing(case)
    net, sample = case.make()
    start = perf_counter()
    try:
        bundle = spikeport.export(net, sample, dt_s=DT, out=folder / f"{case.number:02}.bundle", **case.settings)
    except SpikeportError as error:
        return Row(case, f"refused: {error}")
    except Exception as error:  # a traceback in the author's face is a fault, and a row of the table
        return Row(case, f"crashed: {type(error).__name__}: {error}")
    took = perf_counter() - start
    run = run_on(bundle, "reference")
    row = Row(case, compared(author, bundle.network, run), took)
    row.chip_neurons = chip_share(fired, bundle.network)
    row.host_ops = host_share(bundle.network, run)
    row.backends = {name: deployed(bundle, name, folder / f"{case.number:02}.{name}") for name in names}
    return row


def run_on(bundle: Bundle, backend: str) -> NetworkRun:
    """Run a bundle on its golden inputs, which are the case's whole sample as the bundle takes it."""
    network, inputs_TB = bundle.network, bundle.golden().inputs
    return run_network(network, lower_network(network, backends.get(backend), inputs_TB), inputs_TB)


def compared(author: Outputs, network: StagedNetwork, run: NetworkRun) -> str:
    """Return `exact` where everything that the author's forward returns is an output of the bundle.

    The first that forward returns must be the bundle's answer. The others are looked for in the bundle's order; one
    tensor may stand for several equal ones. Spikes must be equal, values within `VALUE_TOLERANCE`.
    """
    first, *_ = author
    answer = run.tensors[network.answer]
    if why := difference(author[first], answer):
        return f"differs: '{first}' is not the answer '{network.answer}': {why}"
    outputs = [run.tensors[name] for name in network.outputs]
    lost = [n for n, value in author.items() if not any(difference(value, given) is None for given in outputs)]
    strange = [
        name
        for name, given in zip(network.outputs, outputs, strict=True)
        if all(difference(value, given) for value in author.values())
    ]
    if strange:
        return f"differs: outputs {strange} are nothing that forward returns"
    return f"exact, lacks {', '.join(lost)}" if lost else "exact"


def difference(author: Tensor, given_TB: NDArray[np.generic]) -> str | None:
    """Return how an output differs from the author's [T, B, *], or [B, *] of a window; `None` if it does not."""
    wanted, given = author.numpy(), np.asarray(given_TB)
    if given.shape == (1, *wanted.shape):
        given = given[0]
    if given.shape != wanted.shape:
        return f"{given.shape} is not {wanted.shape}"
    if bool(np.isin(wanted, (0, 1)).all()):
        return None if np.array_equal(wanted, given) else f"{(wanted != given).sum()} of {wanted.size} spikes"
    largest = float(np.abs(wanted - given).max())
    return None if largest <= VALUE_TOLERANCE * max(1.0, float(np.abs(wanted).max())) else f"by up to {largest:.3g}"


def firing(case: Case) -> dict[str, tuple[nn.Module, int, float]]:
    """Return for every neuron layer of the author's run: the module, its neurons a sample, how often they fire."""
    net, sample = case.make()
    modules = {name: m for name, m in net.named_modules() if isinstance(m, snntorch.SpikingNeuron)}
    listed = {f"{k}.{i}": m for k, v in vars(net).items() if isinstance(v, list) for i, m in enumerate(v)}
    modules |= {name: m for name, m in listed.items() if isinstance(m, snntorch.SpikingNeuron)}
    seen: dict[str, list[Tensor]] = {name: [] for name in modules}

    def hook(name: str) -> Any:
        def note(module: nn.Module, given: Any, returned: Any) -> None:
            spk = returned[0] if isinstance(returned, tuple) else returned
            seen[name].append(spk.detach().clone())

        return note

    handles = [module.register_forward_hook(hook(name)) for name, module in modules.items()]
    case.outputs(net, sample)
    for handle in handles:
        handle.remove()
    window = any(isinstance(m, snntorch.StateLeaky) for m in modules.values())
    found = {}
    for name, spk in seen.items():
        each = spk[0][0] if window else spk[0]
        found[name] = (modules[name], each[0].numel(), float(torch.stack(spk).mean()))
    return found


def chip_share(fired: Mapping[str, tuple[nn.Module, int, float]], network: StagedNetwork) -> float | None:
    """Return the neurons of the bundle's chip stages over those of the author that a chip can have (at most 1).

    A neuron whose spikes nobody reads is a membrane that leads to an output alone.
    """
    wanted = sum(many for module, many, _ in fired.values() if isinstance(module, CHIP_NEURONS))
    there = 0
    for graph in (stage.graph for stage in network.chips):
        leads = {u: {w for v, w in graph.edges if v == u} for u in graph.nodes}
        shown = [
            name
            for name, node in graph.nodes.items()
            if isinstance(node, nir.LI) and all(isinstance(graph.nodes[w], nir.Output) for w in leads[name])
        ]
        there += sum(int(np.prod(graph.shapes[name])) for name in (*graph.spiking, *shown))
    return min(1.0, there / wanted) if wanted else None


def host_share(network: StagedNetwork, run: NetworkRun) -> float:
    """Return the host's multiply-accumulates over all synaptic operations of this run."""
    steps, batch = next(iter(run.tensors.values())).shape[:2]
    calls = {"step": steps, "sequence": 1, "window": 1}
    host = sum(s.macs_per_call * calls[s.form] * batch for s in network.stages if isinstance(s, HostStage))
    counted = [count_stage(s.graph, run.chip_inputs[s.name], run.recordings[s.name]) for s in network.chips]
    total = host + sum(stage.synops_ac + stage.synops_mac for stage in counted)
    return host / total if total else 0.0


def deployed(bundle: Bundle, name: str, out: Path) -> str:
    """Return what became of a bundle on a backend: `exact`, `quantised`, `differs` or `refused: <words>`."""
    try:
        done = spikeport.deploy(bundle, name, out=out)
    except UnavailableError as error:
        return f"unavailable: {error}"
    except SpikeportError as error:
        return f"refused: {error}"
    except Exception as error:  # as above
        return f"crashed: {type(error).__name__}: {error}"
    finally:
        shutil.rmtree(out, ignore_errors=True)
    shares = ", ".join(f"{found.equal_spikes:.4f}" for found in done.agreements.values())
    if done.run is not None and done.run.quantised:
        return f"quantised: {shares} of the spikes equal"
    exact = all(found.exact for found in done.agreements.values())
    return "exact" if exact else f"differs: {shares} of the spikes equal"
