"""Small graphs and models for the export tests, and a plain-Python simulator that shares nothing with export/."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import snntorch as snn
import torch
from torch import Tensor, nn

from spikeport.errors import UnfaithfulError
from spikeport.export.audit import Agreement
from spikeport.export.author import check_trace
from spikeport.export.convert import Conversion, convert
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import run
from spikeport.export.verify import record_model, verify

DT = 1e-3
# A real graph that this project did not write; it lies beside the checkout where it is at hand.
SINABS = Path(__file__).resolve().parents[3] / "shared" / "nir" / "cnn_sinabs.nir"


def source(*shape: int) -> nir.Input:
    return nir.Input({"input": np.array(shape)})


def sink(*shape: int) -> nir.Output:
    return nir.Output({"output": np.array(shape)})


def lif(*shape: int, a: float = 0.5, r: float = 1.0, leak: float = 0.0, theta: float = 1.0, reset: float = 0.0):
    o = np.ones(shape)
    return nir.LIF(tau=o * DT / a, r=o * r, v_leak=o * leak, v_threshold=o * theta, v_reset=o * reset)


def li(*shape: int, a: float = 0.5, r: float = 1.0, leak: float = 0.0) -> nir.LI:
    o = np.ones(shape)
    return nir.LI(tau=o * DT / a, r=o * r, v_leak=o * leak)


def graph(nodes: Mapping[str, nir.NIRNode], edges, registers=None, dt_s: float = DT, if_step=None) -> ChipGraph:
    return ChipGraph.from_nir(nir.NIRGraph(dict(nodes), list(edges), type_check=False), dt_s, registers, if_step)


def chain(first: tuple[int, ...], *nodes: nir.NIRNode, if_step=None) -> ChipGraph:
    """Input -> n0 -> n1 ... -> Output."""
    names = ["input", *(f"n{i}" for i in range(len(nodes))), "output"]
    everything = dict(zip(names, [source(*first), *nodes, sink(1)], strict=True))
    return graph(everything, pairwise(names), if_step=if_step)


def drive(chip: ChipGraph, x, node: str) -> list[float]:
    """One sample of one neuron: the node's output at every step."""
    x_TBN = np.asarray(x, dtype=float).reshape(-1, 1, 1)
    return run(chip, {"input": x_TBN}).nodes[node].ravel().tolist()


def leaky(**settings) -> snn.Leaky:
    return snn.Leaky(**({"beta": 0.9, "init_hidden": True} | settings))


def spikes_like(shape: tuple[int, ...], steps: int = 60, batch: int = 3, rate: float = 0.4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(steps, batch, *shape, generator=generator) < rate).float()


def samples(model: nn.Module, *x_TB: Tensor) -> dict[str, Tensor]:
    return dict(zip(inspect.signature(model.forward).parameters, x_TB, strict=False))


def converted(model: nn.Module, *x_TB: Tensor) -> Conversion:
    named = samples(model, *x_TB)
    return convert(model, {n: x[0] for n, x in named.items()}, DT)


def held(model: nn.Module, *x_TB: Tensor) -> Conversion:
    """Convert; hold the trace against the model's own run, and the graph against the trace."""
    conversion, named = converted(model, *x_TB), samples(model, *x_TB)
    check_trace(model, conversion.trace, named)
    verify(conversion, named)
    return conversion


def torch_outputs(model: nn.Module, *x_TB: Tensor) -> list[Tensor]:
    """The model's own forward over all steps, as plain snnTorch users run it."""
    for module in model.modules():
        if isinstance(module, snn.SpikingNeuron):
            module.reset_mem()
    rows = []
    with torch.no_grad():
        for t in range(len(x_TB[0])):
            y = model(*[x[t].clone() for x in x_TB])
            rows.append(y if isinstance(y, tuple) else (y,))
    return [torch.stack(column) for column in zip(*rows, strict=True)]


def exported(model: nn.Module, *x_TB: Tensor) -> tuple[Conversion, Agreement]:
    """Convert and verify; besides, hold the interpreter against the model's own run, spike for spike."""
    model.eval()
    conversion = converted(model, *x_TB)
    named = samples(model, *x_TB)
    check_trace(model, conversion.trace, named)
    agreement = verify(conversion, named)
    recording = record_model(conversion, named)
    reference = run(conversion.graph, {n: x.numpy() for n, x in named.items()})
    spiking = conversion.graph.spiking
    assert spiking
    assert len(x_TB[0]) >= 50
    for name in spiking:
        np.testing.assert_array_equal(recording.nodes[name], reference.nodes[name], err_msg=name)
    for name, wanted in zip(conversion.graph.outputs, torch_outputs(model, *x_TB), strict=True):
        np.testing.assert_allclose(reference.nodes[name], wanted.numpy(), rtol=1e-4, atol=1e-4)
    return conversion, agreement


def node_spikes(conversion: Conversion, *x_TB: Tensor, chip: ChipGraph | None = None) -> dict[str, np.ndarray]:
    """The spikes of the converted (or a given) graph, by node."""
    chip = chip or conversion.graph
    reference = run(chip, {n: x.numpy() for n, x in zip(conversion.trace.inputs, x_TB, strict=True)})
    return {n: np.asarray(reference.nodes[n]) for n in chip.spiking}


def exact_or_refused(model: nn.Module, x_TB: Tensor, subject: str = "") -> None:
    """What is not converted yet is refused, by name and with advice; what is converted is exact."""
    refusal = None
    try:
        conversion = converted(model.eval(), x_TB)
    except UnfaithfulError as error:
        refusal = error
    if refusal is None:
        assert exported(model, x_TB)[1].exact
        assert conversion.graph.spiking
    else:
        assert subject in refusal.subject
        assert refusal.fix
