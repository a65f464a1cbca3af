"""What a single NIR node must satisfy to have a meaning at a given time step."""

from __future__ import annotations

import nir
import numpy as np

from spikeport.errors import UnfaithfulError

KNOWN = (
    nir.Input,
    nir.Output,
    nir.Affine,
    nir.Linear,
    nir.Scale,
    nir.Conv1d,
    nir.Conv2d,
    nir.SumPool2d,
    nir.AvgPool2d,
    nir.Flatten,
    nir.Delay,
    nir.Threshold,
    nir.I,
    nir.IF,
    nir.LI,
    nir.LIF,
    nir.CubaLI,
    nir.CubaLIF,
)


def check_node(name: str, node: nir.NIRNode, dt_s: float) -> None:
    """Raise `UnfaithfulError` where `node` has no defined meaning at `dt_s`."""
    if not isinstance(node, KNOWN):
        kinds = ", ".join(k.__name__ for k in KNOWN)
        raise UnfaithfulError(f"node '{name}' ({type(node).__name__})", "it is not a NIR primitive", f"Known: {kinds}")
    for field, value in _arrays(node).items():
        if not np.issubdtype(value.dtype, np.number) or not np.all(np.isfinite(value)):
            raise UnfaithfulError(f"node '{name}'", f"its {field} is not finite", "Check the trained weights")
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


def _arrays(node: nir.NIRNode) -> dict[str, np.ndarray]:
    return {k: v for k, v in vars(node).items() if isinstance(v, np.ndarray) and k != "input_shape"}
