"""The stateful NIR nodes, one plain class each: the definition that every backend is held against.

All are forward Euler in float64 with the bundle's `dt_s`; state is 0 at the start of each sample; the
comparison with the threshold is strict. Shapes: `x_BN` batch first, then the node's shape.
"""

from __future__ import annotations

from collections import deque

import nir
import numpy as np
from numpy.typing import NDArray

from spikeport.errors import UnfaithfulError
from spikeport.export.graph import ChipGraph, IfStep, delay_steps
from spikeport.export.shapes import Shape

Array = NDArray[np.float64]
Spikes = NDArray[np.bool_]


def _full(value: object, shape: Shape) -> Array:
    return np.broadcast_to(np.asarray(value, dtype=np.float64), shape)


class Cell:
    """A membrane v that starts each sample at 0 and is set to `v_reset` where the node spikes."""

    def __init__(self, node: nir.NIRNode, shape: Shape) -> None:
        self.shape = shape
        self.v_threshold = _threshold(node, shape)
        self.v_reset = _full(getattr(node, "v_reset", 0.0), shape)
        self.reset(1)

    def reset(self, batch: int) -> None:
        """Start a sample: v = 0."""
        self.v = np.zeros((batch, *self.shape))

    def fire(self, spikes_BN: Spikes) -> None:
        """Reset the membrane where it spiked."""
        self.v = np.where(spikes_BN, self.v_reset, self.v)


class Membrane(Cell):
    """`v += a (v_leak - v + r I)` with `a = dt/tau`; a spiking node then resets `v = v_reset` where it fires.

    `LI` and `LIF`. For `LI` the threshold is infinite and v is the output.
    """

    def __init__(self, node: nir.LI | nir.LIF, shape: Shape, dt_s: float) -> None:
        super().__init__(node, shape)
        self.a = dt_s / _full(node.tau if hasattr(node, "tau") else node.tau_mem, shape)
        self.r = _full(node.r, shape)
        self.v_leak = _full(node.v_leak, shape)

    def integrate(self, x_BN: Array) -> Array:
        """Take one step and return v, before any spike."""
        self.v = self.v + self.a * (self.v_leak - self.v + self.r * x_BN)
        return self.v


class CubaMembrane(Membrane):
    """`i += dt/tau_syn (w_in I - i)`, then the membrane line with the new i; i is not reset at a spike.

    `CubaLI` and `CubaLIF`.
    """

    def __init__(self, node: nir.CubaLI | nir.CubaLIF, shape: Shape, dt_s: float) -> None:
        self.a_syn = dt_s / _full(node.tau_syn, shape)
        self.w_in = _full(node.w_in, shape)
        super().__init__(node, shape, dt_s)

    def reset(self, batch: int) -> None:
        """Start a sample: v = i = 0."""
        super().reset(batch)
        self.i = np.zeros((batch, *self.shape))

    def integrate(self, x_BN: Array) -> Array:
        """Take one step of current and membrane and return v, before any spike."""
        self.i = self.i + self.a_syn * (self.w_in * x_BN - self.i)
        return super().integrate(self.i)


class Integrator(Cell):
    """`v += g I`, without leak: `I` and `IF`. g is `if_gain`'s."""

    def __init__(self, node: nir.I | nir.IF, shape: Shape, gain: Array) -> None:
        super().__init__(node, shape)
        self.gain = _full(gain, shape)

    def integrate(self, x_BN: Array) -> Array:
        """Take one step and return v, before any spike."""
        self.v = self.v + self.gain * x_BN
        return self.v


class Comparator:
    """`s = x > threshold`, without state: `Threshold`."""

    def __init__(self, node: nir.Threshold, shape: Shape) -> None:
        self.shape = shape
        self.v_threshold = _full(node.threshold, shape)

    def reset(self, batch: int) -> None:
        """Nothing to reset."""

    def integrate(self, x_BN: Array) -> Array:
        """Return the value that is compared."""
        return x_BN

    def fire(self, spikes_BN: Spikes) -> None:
        """Nothing to reset."""


class DelayLine:
    """`y[t] = x[t - n]`, 0 before: `Delay` of n >= 1 whole steps."""

    def __init__(self, steps: int, shape: Shape) -> None:
        self.steps = steps
        self.shape = shape
        self.reset(1)

    def reset(self, batch: int) -> None:
        """Start a sample with an empty line."""
        self.line: deque[Array] = deque(maxlen=self.steps)
        self.empty = np.zeros((batch, *self.shape))

    def head(self) -> Array:
        """Return the value that leaves the line in this step."""
        return self.line[0] if len(self.line) == self.steps else self.empty

    def push(self, x_BN: Array) -> None:
        """Take in this step's value, once every node has been evaluated."""
        self.line.append(x_BN)


Neuron = Membrane | Integrator | Comparator


def _threshold(node: nir.NIRNode, shape: Shape) -> Array:
    return _full(getattr(node, "v_threshold", np.inf), shape)


def if_gain(name: str, node: nir.I | nir.IF, dt_s: float, if_step: IfStep | None) -> Array:
    """Return the gain g of `v += g I`.

    g = 1 where r is 1 (per step, as the NIR paper's networks mean it) or 1/dt (Euler); any other r needs
    the user's word.

    Raises:
        UnfaithfulError: r is something else and `if_step` is `None`.
    """
    r = np.asarray(node.r, dtype=np.float64)
    if if_step == "euler":
        return dt_s * r
    if if_step == "per-step":
        return r
    if np.all(r == 1.0) or np.allclose(r * dt_s, 1.0, rtol=1e-9, atol=0):
        return np.ones_like(r)
    raise UnfaithfulError(
        f"node '{name}'",
        f"its r is {np.unique(r)[:3].tolist()}, and NIR does not say if an IF integrates r I or dt r I per step",
        "Say which with --if-step euler|per-step",
    )


def neuron(graph: ChipGraph, name: str) -> Neuron:
    """Return a fresh neuron for the node `name` of `graph`."""
    node, shape = graph.nodes[name], graph.shapes[name]
    if isinstance(node, nir.CubaLI | nir.CubaLIF):
        return CubaMembrane(node, shape, graph.dt_s)
    if isinstance(node, nir.LI | nir.LIF):
        return Membrane(node, shape, graph.dt_s)
    if isinstance(node, nir.I | nir.IF):
        return Integrator(node, shape, if_gain(name, node, graph.dt_s, graph.if_step))
    return Comparator(node, shape)


def delay_line(graph: ChipGraph, name: str) -> DelayLine | None:
    """Return a fresh delay line for the node `name`, or `None` where it is a wire."""
    steps = delay_steps(name, graph.nodes[name], graph.dt_s)
    return DelayLine(steps, graph.shapes[name]) if steps else None
