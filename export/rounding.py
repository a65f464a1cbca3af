"""Running bounds on how far rounding may have carried a backend from the reference interpreter.

For every node the bound e >= |y_backend - y_reference| is carried along, for arithmetic of unit roundoff u,
in any order of summation and with scale factors folded into weights. A sum of n products is off by at most
`gamma_n sum |w||x|` with `gamma_n = n u / (1 - n u)` (Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., section 3.1); errors of the inputs pass through |W|. Spikes carry no error, since the audit
takes over the backend's spike wherever it accepts one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import nir
import numpy as np

from spikeport.export.interpreter import Interpreter, sum_all
from spikeport.export.neurons import (
    Array,
    Cell,
    Comparator,
    CubaMembrane,
    DelayLine,
    Integrator,
    Membrane,
    Neuron,
    Spikes,
)

# Roundings in one membrane update, however it is arranged: a, r and v_leak themselves, 1 - a, the folding of
# a r into the weights (2), the products (3) and the sums (3).
UPDATE_ROUNDINGS = 12
# Roundings that folding may add to each weight or bias.
FOLDED_ROUNDINGS = 4
# A membrane at rest decays until the backend's arithmetic rounds it to 0: below 2^-126 in float32, at every step anew.
# A value is compared within this much more than its bound.
UNDERFLOW = 2.0**-100


def gamma(terms: int, unit_roundoff: float) -> float:
    """Return the relative error bound of a sum of `terms` products."""
    return terms * unit_roundoff / (1 - terms * unit_roundoff)


class Bounds(Protocol):
    """What the audit asks for."""

    def reset(self, batch: int) -> None:
        """Start a sample."""
        ...

    def begin_step(self) -> None:
        """Remember the step before."""
        ...

    def error(self, name: str) -> Array:
        """Return the bound on the node's output, or on a spiking node's membrane."""
        ...

    def fire(self, name: str, spikes_BN: Spikes) -> None:
        """Account for spikes and resets."""
        ...

    def end_step(self) -> None:
        """Bring every node up to date."""
        ...


class NoBounds:
    """Bounds of zero, for a network that was quantised: nothing is put down to rounding."""

    def reset(self, batch: int) -> None:
        """Nothing to reset."""

    def begin_step(self) -> None:
        """Nothing to remember."""

    def error(self, name: str) -> Array:
        """Return zero."""
        return np.zeros(())

    def fire(self, name: str, spikes_BN: Spikes) -> None:
        """Nothing to account for."""

    def end_step(self) -> None:
        """Nothing to bring up to date."""


class ErrorBounds:
    """Follows an interpreter and bounds a backend's deviation from it at every node.

    Args:
        interpreter: that one.
        unit_roundoff: of the backend's arithmetic.
        input_errors: for each input how far the backend's own may lie from the interpreter's; 0 unless stated.
    """

    def __init__(
        self, interpreter: Interpreter, unit_roundoff: float, input_errors: Mapping[str, float] | None = None
    ) -> None:
        self.interpreter = interpreter
        self.input_errors = input_errors or {}
        # The interpreter rounds too, in float64.
        self.u = unit_roundoff + np.finfo(np.float64).eps / 2
        self.membranes = {n: membrane_bound(cell, self.u) for n, cell in interpreter.neurons.items()}

    def reset(self, batch: int) -> None:
        """Start a sample: no error, after `interpreter.reset`."""
        for membrane in self.membranes.values():
            membrane.reset(batch)
        self.outputs_before = self.interpreter.outputs
        self.errors = {n: np.zeros_like(y) for n, y in self.interpreter.outputs.items()}
        self.errors_before = self.errors
        lines = self.interpreter.delays
        self.lines = {n: DelayLine(line.steps, line.shape) for n, line in lines.items()}
        for bounds in self.lines.values():
            bounds.reset(batch)
        for name in self.interpreter.operators:
            if not isinstance(self.interpreter.graph.nodes[name], nir.Input):
                self.errors[name] = self._stateless(name)

    def begin_step(self) -> None:
        """Remember the step before; call it before `interpreter.step`."""
        self.outputs_before = self.interpreter.outputs
        self.errors_before, self.errors = self.errors, {}

    def error(self, name: str) -> Array:
        """Return the bound on the node's output (a spiking node: on its membrane) in this step."""
        if name not in self.errors:
            self.errors[name] = self._evaluate(name)
        return self.errors[name]

    def fire(self, name: str, spikes_BN: Spikes) -> None:
        """Account for a reset; from here on the node's output is a spike, without error."""
        self.membranes[name].fire(spikes_BN)
        self.errors[name] = np.zeros(spikes_BN.shape)

    def end_step(self) -> None:
        """Bring every node up to date; call it after `interpreter.step`."""
        for name in self.interpreter.graph.order:
            self.error(name)
        for name, line in self.lines.items():
            line.push(self._arriving(name)[1])

    def _evaluate(self, name: str) -> Array:
        if isinstance(self.interpreter.graph.nodes[name], nir.Input):
            return self.u * np.abs(self.interpreter.outputs[name]) + self.input_errors.get(name, 0.0)
        if name in self.lines:
            return self.lines[name].head()
        if name in self.membranes:
            x, e = self._arriving(name)
            return self.membranes[name].advance(x, e)
        return self._stateless(name)

    def _stateless(self, name: str) -> Array:
        operator = self.interpreter.operators[name]
        x, e = self._arriving(name)
        terms = operator.terms + FOLDED_ROUNDINGS if operator.terms else 0
        # Spikes carry no error, so most layers have none to pass on.
        carried = operator.gain(e) if e.any() else 0.0
        return carried + gamma(terms, self.u) * operator.magnitude(np.abs(x))

    def _arriving(self, name: str) -> tuple[Array, Array]:
        """Return the sum of what reaches the node, and the bound on it."""
        graph = self.interpreter.graph
        values, errors = [], []
        for source in graph.predecessors[name]:
            late = (source, name) in graph.registers
            values.append((self.outputs_before if late else self.interpreter.outputs)[source])
            errors.append(self.errors_before[source] if late else self.error(source))
        sizes = sum_all([np.abs(v) for v in values])
        return sum_all(values), sum_all(errors) + gamma(len(values) - 1, self.u) * sizes


class CellBound:
    """The bound e_v on a membrane."""

    cell: Cell

    def __init__(self, cell: Cell, u: float) -> None:
        self.cell = cell
        self.u = u
        # The comparison sees the threshold rounded; a value node has an infinite one.
        finite = np.isfinite(cell.v_threshold)
        self.theta_error = u * np.where(finite, np.abs(cell.v_threshold), 0.0)

    def reset(self, batch: int) -> None:
        """Start a sample without error."""
        self.e_v = np.zeros((batch, *self.cell.shape))
        self.v = np.zeros((batch, *self.cell.shape))

    def fire(self, spikes_BN: Spikes) -> None:
        """A reset leaves only the rounding of v_reset."""
        self.e_v = np.where(spikes_BN, self.u * np.abs(self.cell.v_reset), self.e_v)
        self.v = np.where(spikes_BN, self.cell.v_reset, self.v)


class MembraneBound(CellBound):
    """The bound on the membrane of `LI`, `LIF`: `e_v <- |1 - a| e_v + a r e_x + 12 u (terms)`."""

    cell: Membrane

    def advance(self, x_BN: Array, e_BN: Array) -> Array:
        """Take one step with the current x and its bound, after the cell itself has."""
        cell = self.cell
        drive = np.abs(cell.a * cell.r)
        size = np.abs(self.v) * (1 + cell.a) + cell.a * np.abs(cell.v_leak) + drive * np.abs(x_BN)
        self.e_v = np.abs(1 - cell.a) * self.e_v + drive * e_BN + UPDATE_ROUNDINGS * self.u * size
        self.v = cell.v
        return self.e_v + self.theta_error


class CubaBound(MembraneBound):
    """The bound on `CubaLI` and `CubaLIF`: the current's own, then the membrane's."""

    cell: CubaMembrane

    def reset(self, batch: int) -> None:
        """Start a sample without error."""
        super().reset(batch)
        self.e_i = np.zeros((batch, *self.cell.shape))
        self.i = np.zeros((batch, *self.cell.shape))

    def advance(self, x_BN: Array, e_BN: Array) -> Array:
        """Take one step of current and membrane, after the cell itself has."""
        a, w = self.cell.a_syn, self.cell.w_in
        size = np.abs(self.i) * (1 + a) + np.abs(a * w) * np.abs(x_BN)
        self.e_i = np.abs(1 - a) * self.e_i + np.abs(a * w) * e_BN + UPDATE_ROUNDINGS * self.u * size
        self.i = self.cell.i
        return super().advance(self.i, self.e_i)


class IntegratorBound(CellBound):
    """The bound on `I` and `IF`: `e_v <- e_v + g e_x + 12 u (|v| + g |x|)`."""

    cell: Integrator

    def advance(self, x_BN: Array, e_BN: Array) -> Array:
        """Take one step, after the cell itself has."""
        drive = np.abs(self.cell.gain)
        size = np.abs(self.v) + drive * np.abs(x_BN)
        self.e_v = self.e_v + drive * e_BN + UPDATE_ROUNDINGS * self.u * size
        self.v = self.cell.v
        return self.e_v + self.theta_error


class ComparatorBound:
    """The bound on what a `Threshold` compares: its input's, and the rounding of the threshold."""

    def __init__(self, cell: Comparator, u: float) -> None:
        self.cell = cell
        self.u = u

    def reset(self, batch: int) -> None:
        """Nothing to reset."""

    def advance(self, x_BN: Array, e_BN: Array) -> Array:
        """Return the bound for this step."""
        return e_BN + self.u * np.abs(self.cell.v_threshold)

    def fire(self, spikes_BN: Spikes) -> None:
        """Nothing to reset."""


def membrane_bound(cell: Neuron, u: float) -> MembraneBound | IntegratorBound | ComparatorBound:
    """Return the bound that follows `cell`."""
    if isinstance(cell, CubaMembrane):
        return CubaBound(cell, u)
    if isinstance(cell, Membrane):
        return MembraneBound(cell, u)
    if isinstance(cell, Integrator):
        return IntegratorBound(cell, u)
    return ComparatorBound(cell, u)
