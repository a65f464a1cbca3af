"""The stateful NIR nodes as ONNX operators: states come in from the step before and go out for the next.

The parameters are those of the reference interpreter's own classes.
"""

from __future__ import annotations

import numpy as np

from spikeport.export.graph import ChipGraph
from spikeport.export.neurons import Comparator, CubaMembrane, DelayLine, Integrator, Membrane, neuron
from spikeport.export.onnx.writer import Writer


def value(writer: Writer, graph: ChipGraph, name: str, x: str) -> str:
    """Add the neuron `name` of LI, CubaLI, I and return its membrane after this step."""
    v = _integrate(writer, graph, name, x)
    writer.keep(f"{name}/v", v, graph.shapes[name])
    return v


def spikes(writer: Writer, graph: ChipGraph, name: str, x: str) -> str:
    """Add the neuron `name` of LIF, CubaLIF, IF, Threshold and return its spikes, as 0 and 1."""
    cell = neuron(graph, name)
    v = x if isinstance(cell, Comparator) else _integrate(writer, graph, name, x)
    fired = writer.op("Greater", v, writer.parameter(cell.v_threshold))
    if not isinstance(cell, Comparator):
        after = writer.op("Where", fired, writer.parameter(cell.v_reset), v)
        writer.keep(f"{name}/v", after, graph.shapes[name])
    return writer.op("Cast", fired, to=writer.type)


def _integrate(writer: Writer, graph: ChipGraph, name: str, x: str) -> str:
    """`i <- (1 - a_syn) i + a_syn w_in I`; `v <- (1 - a) v + a r i + a v_leak`, or `v <- v + g I`."""
    cell, shape = neuron(graph, name), graph.shapes[name]
    v = writer.state(f"{name}/v", shape)
    if isinstance(cell, Integrator):
        return writer.sum(v, writer.scaled(x, cell.gain))
    assert isinstance(cell, Membrane)
    if isinstance(cell, CubaMembrane):
        i = writer.scaled(writer.state(f"{name}/i", shape), 1 - cell.a_syn)
        x = writer.sum(i, writer.scaled(x, cell.a_syn * cell.w_in))
        writer.keep(f"{name}/i", x, shape)
    terms = [writer.scaled(v, 1 - cell.a), writer.scaled(x, cell.a * cell.r)]
    if np.any(cell.v_leak):
        terms.append(writer.parameter(cell.a * cell.v_leak))
    return writer.sum(*terms)


def delayed(writer: Writer, name: str, line: DelayLine) -> str:
    """Add the delay line `name` and return what leaves it in this step: the oldest of n values."""
    oldest = writer.op("Slice", writer.state(f"{name}/line", (line.steps, *line.shape)), *_span(writer, 0, 1))
    return writer.op("Squeeze", oldest, writer.sizes(1))


def push(writer: Writer, name: str, line: DelayLine, x: str) -> None:
    """Add what enters the delay line `name` in this step."""
    shape = (line.steps, *line.shape)
    newest = writer.op("Unsqueeze", x, writer.sizes(1))
    if line.steps > 1:
        rest = writer.op("Slice", writer.state(f"{name}/line", shape), *_span(writer, 1, line.steps))
        newest = writer.op("Concat", rest, newest, axis=1)
    writer.keep(f"{name}/line", newest, shape)


def _span(writer: Writer, start: int, end: int) -> tuple[str, str, str]:
    return writer.sizes(start), writer.sizes(end), writer.sizes(1)
