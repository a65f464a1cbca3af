"""snnTorch's window neurons, which take all time steps at once: the recurrence that each of them computes.

What they compute is not always what their documentation says; here stands what their code does (snnTorch 1.0.0).
Shapes: T time, B batch, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import snntorch
from snntorch._neurons import leakykernel, leakyunroll
from torch import nn

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.builder import Array
from spikeport.export.convert.cells import Recurrence
from spikeport.export.convert.layers import array
from spikeport.export.rounding import UPDATE_ROUNDINGS

# snnTorch carries no types.
LAYER: TypeAlias = Any


@dataclass(frozen=True)
class WindowNeuron:
    """A window neuron, understood.

    Attributes:
        recurrence: the same, step by step.
        inflation: by how much the window form's rounding exceeds a recurrence's.
        rectified: whether it clips its membrane at 0, so that it is the recurrence for inputs of at least 0 only.
    """

    recurrence: Recurrence
    inflation: float
    rectified: bool = False


def state_leaky(name: str, layer: LAYER, timesteps: int) -> WindowNeuron:
    """`U[t] = sum over k < K of d^k x[t-k]` with `d = exp(-1/tau)`, `tau = 1 / (1 - beta)`: d is not beta.

    The spikes are scaled by graded_spikes_factor twice, once in `fire` and once in `forward`.
    """
    if layer.state_quant:
        raise UnfaithfulError(
            f"neuron '{name}'", "state_quant rounds the membrane, and NIR knows no such thing", "Quantise at deployment"
        )
    tau = array(layer.tau).astype(np.float64)
    if np.any(tau <= 0):
        raise UnfaithfulError(
            f"neuron '{name}'",
            f"its tau is {tau.min()}, so that its membrane grows by itself",
            "Train with beta below 1, that is tau above 0",
        )
    factor = array(layer.graded_spikes_factor).astype(np.float64)
    what = "a causal convolution with exp(-k / tau) as U[t] = exp(-1 / tau) U[t-1] + I[t], without reset"
    notes = [(what, "exact")]
    if np.any(factor != 1):
        notes.append(("graded_spikes_factor applied twice, as snnTorch does: squared", "exact"))
    if layer.kernel_truncation_steps is not None:
        notes.append((f"a kernel of {layer.kernel_truncation_steps} taps as LI of x[t] - d^K x[t-K]", "exact"))
    recurrence = Recurrence(
        decay=np.exp(-1 / tau),
        theta=array(layer.threshold) if layer.output else None,
        factor=factor**2,
        memory_steps=layer.kernel_truncation_steps,
        notes=tuple(notes),
    )
    return WindowNeuron(recurrence, _convolution_inflation(float(tau.min()), timesteps))


def _convolution_inflation(tau: float, timesteps: int) -> float:
    """Return how much larger the convolution's rounding can be than the bound on the recurrence's.

    With `S = sum of d^k |x[t-k]|`: tap k is off by (k / tau + 4) u relative (quotient, then exp), the sum of T
    products by T u S, and the interpreter's own d^k by k (1 / tau + 2) u; together at most (T (3 + 2 / tau) + 4) u S.
    The bound on the recurrence is at least `UPDATE_ROUNDINGS u S`.
    """
    return max(1.0, (timesteps * (3 + 2 / tau) + 4) / UPDATE_ROUNDINGS)


def linear_leaky(name: str, layer: LAYER, timesteps: int) -> WindowNeuron:
    """`StateLeaky` behind a Linear of its own."""
    found = state_leaky(name, layer, timesteps)
    linear = layer.linear
    recurrence = replace(
        found.recurrence,
        weight=array(linear.weight),
        bias=None if linear.bias is None else array(linear.bias),
        notes=(*found.recurrence.notes, ("its own Linear as a node in front", "exact")),
    )
    return replace(found, recurrence=recurrence)


def leaky_parallel(name: str, layer: LAYER, timesteps: int) -> WindowNeuron:
    """`U[t] = max(0, W input[t] + b_ih + b_hh + d U[t-1])` by nn.RNN, d being the diagonal of weight_hh_l0.

    `beta` is read at construction only, and not at all where it has several values. Where nothing can be negative,
    the maximum does nothing; that of the weights is checked here, that of the input by the caller.
    """
    rnn = layer.rnn
    hidden = array(rnn.weight_hh_l0).astype(np.float64)
    decay = np.diag(hidden).copy()
    if np.any(hidden != np.diag(decay)):
        raise UnfaithfulError(
            f"neuron '{name}'",
            "its rnn.weight_hh_l0 is dense: every membrane leaks into every other, which no NIR neuron does",
            "Build it with weight_hh_enable=False",
        )
    if np.any((decay < 0) | (decay > 1)):
        wrong = decay[(decay < 0) | (decay > 1)][0]
        raise UnfaithfulError(
            f"neuron '{name}'",
            f"its decay, on the diagonal of rnn.weight_hh_l0, is {wrong:.4g}, outside of 0 to 1 "
            "(snnTorch leaves it random where beta is None or has several values)",
            "Give beta as one number, or clamp rnn.weight_hh_l0 to 0..1",
        )
    weight, biases = array(rnn.weight_ih_l0), _biases(rnn)
    for parameter, value in {"weight_ih_l0": weight, **biases}.items():
        _refuse_rectification(name, f"its rnn.{parameter} has {value.min():.4g}, so that it can", float(value.min()))
    bias: Array | None = sum(b.astype(np.float64) for b in biases.values()) if biases else None  # type: ignore[assignment]
    what = "torch's RNN as Linear -> U[t] = d U[t-1] + I[t], without reset; nothing in it is below 0, so its ReLU idles"
    recurrence = Recurrence(
        decay=decay,
        theta=array(layer.threshold),
        factor=array(layer.graded_spikes_factor).astype(np.float64),
        weight=weight,
        bias=bias,
        returns_membrane=False,
        notes=((what, "exact"),),
    )
    return WindowNeuron(recurrence, inflation=1.0, rectified=True)


def _biases(rnn: nn.RNN) -> dict[str, Array]:
    return {n: array(getattr(rnn, n)) for n in ("bias_ih_l0", "bias_hh_l0")} if rnn.bias else {}


def _refuse_rectification(name: str, why: str, lowest: float) -> None:
    if lowest < 0:
        raise rectification(name, why)


def rectification(name: str, why: str) -> UnfaithfulError:
    """Return the refusal of a membrane that ReLU may clip."""
    return UnfaithfulError(
        f"neuron '{name}'",
        f"{why} drive the membrane below 0, where torch's RNN clips it, and no NIR neuron clips its membrane",
        "Use snntorch.LinearLeaky, which does not clip; or train with weights, each bias and inputs of at least 0",
    )


def associative_leaky(name: str, layer: LAYER, timesteps: int) -> WindowNeuron:
    """`S[t] = S[t-1] diag(alpha[t]) + v[t] k[t]^T`, alpha, v and k all computed from the input: refused."""
    raise UnfaithfulError(
        f"neuron '{name}' (AssociativeLeaky)",
        "its decay and what it writes are products of signals, which no NIR node computes, and in float32 its division "
        "by a running product of decays leaves its own recurrence once that product nears 1e-8",
        "Use snntorch.LinearLeaky, whose decay is fixed",
    )


def leaky_unrolled(name: str, layer: LAYER, timesteps: int) -> WindowNeuron:
    """`leakyunroll.LeakyParallel`: refused."""
    raise UnfaithfulError(
        f"neuron '{name}' (leakyunroll.LeakyParallel)",
        "its forward always fails in snnTorch 1.0.0 (it hands itself to unprocess_tensor twice), so that nothing can "
        "be verified",
        "Use snntorch.StateLeaky",
    )


WITHOUT_STEP_FORM = (snntorch.AssociativeLeaky, leakyunroll.LeakyParallel)
WINDOW_NEURONS: Mapping[type[nn.Module], Callable[[str, LAYER, int], WindowNeuron]] = {
    snntorch.StateLeaky: state_leaky,
    snntorch.LinearLeaky: linear_leaky,
    snntorch.LeakyParallel: leaky_parallel,
    leakykernel.LeakyKernel: leaky_parallel,
    snntorch.AssociativeLeaky: associative_leaky,
    leakyunroll.LeakyParallel: leaky_unrolled,
}
