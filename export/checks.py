"""What a single NIR node must satisfy to have a meaning at a given time step."""

from __future__ import annotations

import nir
import numpy as np

from spikeport.errors import UnfaithfulError

OPERATORS = (
    nir.Affine,
    nir.Linear,
    nir.Scale,
    nir.Conv1d,
    nir.Conv2d,
    nir.SumPool2d,
    nir.AvgPool2d,
    nir.Flatten,
)
NEURONS = (nir.Threshold, nir.I, nir.IF, nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF)
KNOWN = (nir.Input, nir.Output, *OPERATORS, nir.Delay, *NEURONS)

ELEMENTWISE = (nir.Scale, nir.Delay, *NEURONS)


def check_node(name: str, node: nir.NIRNode, dt_s: float) -> None:
    """Raise `UnfaithfulError` where `node` has no defined meaning at `dt_s`."""
    if not isinstance(node, KNOWN):
        kinds = ", ".join(k.__name__ for k in KNOWN)
        raise UnfaithfulError(f"node '{name}' ({type(node).__name__})", "it is not a NIR primitive", f"Known: {kinds}")
    for field, value in _numbers(node).items():
        if not np.issubdtype(value.dtype, np.integer) and not np.issubdtype(value.dtype, np.floating):
            raise UnfaithfulError(f"node '{name}'", f"its {field} is of type {value.dtype}", "Give real numbers")
        if not np.all(np.isfinite(value)):
            raise UnfaithfulError(f"node '{name}'", f"its {field} is not finite", "Check the trained weights")
    _check_geometry(name, node)
    for field in ("tau", "tau_mem", "tau_syn"):
        tau = getattr(node, field, None)
        if tau is not None and np.any(np.asarray(tau) <= 0):
            raise UnfaithfulError(f"node '{name}'", f"its {field} is {np.min(tau)}", "A time constant is positive")
        if tau is not None and np.any(np.asarray(tau) < dt_s * (1 - 1e-6)):
            raise UnfaithfulError(
                f"node '{name}'",
                f"its {field} of {np.min(tau)} s is below the step of {dt_s} s, where forward Euler overshoots",
                "Give the dt that the network was trained with",
            )
    for field in ("v_threshold", "threshold"):
        theta = getattr(node, field, None)
        if theta is not None and np.any(np.asarray(theta) < 0):
            raise UnfaithfulError(f"node '{name}'", f"its {field} is {np.min(theta)}", "A threshold is not negative")


def check_parameters(name: str, node: nir.NIRNode, shape: tuple[int, ...]) -> None:
    """Raise `UnfaithfulError` where a parameter of `node` is not one number for each element of `shape`.

    A single number holds for all elements, as files of older tools mean it; so does a size of 1 in one axis.
    """
    if not isinstance(node, ELEMENTWISE):
        return
    for field, value in _numbers(node).items():
        pairs = zip(value.shape, shape, strict=False)
        fits = value.ndim == len(shape) and all(given in (1, wanted) for given, wanted in pairs)
        if value.size != 1 and not fits:
            raise UnfaithfulError(
                f"node '{name}'", f"its {field} has shape {value.shape}, its input {shape}", "Give one value an element"
            )


def _check_geometry(name: str, node: nir.NIRNode) -> None:
    """Weights of the right rank, and sizes that are whole, in range and one or one an axis."""
    if isinstance(node, nir.Affine | nir.Linear | nir.Conv1d | nir.Conv2d):
        rank = 3 if isinstance(node, nir.Conv1d) else 4 if isinstance(node, nir.Conv2d) else 2
        _require(name, "weight", node.weight, node.weight.ndim == rank and 0 not in node.weight.shape)
        bias = np.asarray(getattr(node, "bias", 0.0))
        outputs = node.weight.shape[:1]
        _require(name, "bias", bias, bias.shape == outputs or not hasattr(node, "bias"))
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        groups = np.asarray(node.groups)
        _require(
            name, "groups", groups, groups.size == 1 and bool(groups >= 1) and not np.any(len(node.weight) % groups)
        )
    for field, least in (("stride", 1), ("dilation", 1), ("kernel_size", 1), ("padding", 0)):
        value = getattr(node, field, None)
        if value is None or isinstance(value, str | bytes):
            continue
        sizes = np.asarray(value)
        whole = np.all(sizes == np.rint(sizes)) and np.all(sizes >= least)
        _require(name, field, sizes, sizes.size in ((1,) if isinstance(node, nir.Conv1d) else (1, 2)) and bool(whole))


def _require(name: str, field: str, value: np.ndarray, holds: bool) -> None:
    if not holds:
        shown = value.tolist() if value.size <= 4 else f"of shape {value.shape}"
        raise UnfaithfulError(f"node '{name}'", f"its {field} is {shown}", f"See the NIR definition of {field}")


def _numbers(node: nir.NIRNode) -> dict[str, np.ndarray]:
    """The numeric fields, be they arrays or bare numbers."""
    skipped = ("input_type", "output_type", "metadata", "input_shape")
    fields = {k: v for k, v in vars(node).items() if k not in skipped and v is not None}
    return {k: np.asarray(v) for k, v in fields.items() if not isinstance(v, str | bytes)}
