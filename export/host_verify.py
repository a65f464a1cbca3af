"""Does onnxruntime run a host stage's neurons as torch does? Step by step, with onnxruntime's own state.

Values must agree within `HOST_TOLERANCE`. A spike must be equal: one that differs is a *tie* where torch's membrane
lies within that tolerance of its threshold, and else another network. The sample of a tie goes on from
torch's states, so that whatever follows is compared again.

Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeport.errors import UnfaithfulError
from spikeport.export.audit import TIES_ALLOWED
from spikeport.export.host_run import HostStepper
from spikeport.export.host_state import HOST_SPIKES, STATE_OUT
from spikeport.export.onnx_stage import HOST_TOLERANCE, HostArray, host_difference


@dataclass
class HostAgreement:
    """How a host stage came out.

    Attributes:
        difference: the largest, relative to the largest value (at least 1).
        entries: compared spikes.
        ties: spikes that differ where the membrane is within rounding of its threshold.
    """

    difference: float = 0.0
    entries: int = 0
    ties: int = 0


def verify_steps(
    stage: str,
    stepper: HostStepper,
    inputs_TB: Mapping[str, ArrayLike],
    expected_TB: Mapping[str, ArrayLike],
    neurons: Sequence[str],
    inside_TB: Mapping[str, ArrayLike],
    most_ties: float | None = None,
) -> HostAgreement:
    """Run `stepper` over the sample and hold it against torch.

    Args:
        stage: its name.
        stepper: at the start of the sample.
        inputs_TB: what the stage reads.
        expected_TB: its outputs and new states, as torch computes them.
        neurons: the names of its neurons, in order of execution.
        inside_TB: their spikes, and how far their membranes are above the threshold, as torch computes them.
        most_ties: so many are allowed; by default 1e-5 of the spikes.

    Raises:
        UnfaithfulError: a spike differs beyond rounding, a value leaves the tolerance, or ties are too many to tell.
    """
    agreement = HostAgreement()
    inputs_TB, expected_TB, inside_TB = (
        {name: np.asarray(x) for name, x in arrays.items()} for arrays in (inputs_TB, expected_TB, inside_TB)
    )
    for t in range(len(next(iter(inputs_TB.values())))):
        got = stepper.step({name: x[t] for name, x in inputs_TB.items()})
        equal_B = np.ones(len(next(iter(got.values()))), dtype=bool)
        for neuron in neurons:
            spikes_BN = inside_TB[HOST_SPIKES + neuron][t]
            agreement.entries += spikes_BN.size
            differ_BN = (got[HOST_SPIKES + neuron] != spikes_BN) & _rows(equal_B, spikes_BN)
            _refuse_mismatch(stage, neuron, t, differ_BN, inside_TB[neuron][t])
            agreement.ties += int(differ_BN.sum())
            # What follows from a tie, in this step, is no difference of its own.
            equal_B &= ~differ_BN.reshape(len(differ_BN), -1).any(axis=1)
        _compare_values(stage, t, got, {name: y[t] for name, y in expected_TB.items()}, equal_B, agreement)
        for name, state_B in stepper.state.items():
            if STATE_OUT + name in expected_TB:
                stepper.state[name] = _resume(state_B, expected_TB[STATE_OUT + name][t], equal_B)
    if agreement.ties > (TIES_ALLOWED * agreement.entries if most_ties is None else most_ties):
        raise UnfaithfulError(
            f"host stage '{stage}'",
            f"{agreement.ties} of {agreement.entries} spikes lie within rounding of a threshold, too many to tell",
            "Give more samples",
        )
    return agreement


def _refuse_mismatch(
    stage: str, neuron: str, t: int, differ_BN: NDArray[np.bool_], above_BN: NDArray[np.generic]
) -> None:
    bound = HOST_TOLERANCE * max(1.0, float(np.abs(above_BN).max(initial=0.0)))
    beyond = np.argwhere(differ_BN & (np.abs(above_BN) > bound))
    if len(beyond):
        sample, *place = beyond[0].tolist()
        margin = float(above_BN[tuple(beyond[0])])
        raise UnfaithfulError(
            f"host stage '{stage}', neuron '{neuron}' {place}",
            f"onnxruntime's spike is not torch's at step {t}, sample {sample}, where the membrane is {margin:.3g} "
            f"above its threshold: more than the rounding of {bound:.1g}",
            "Please report this network",
        )


def _compare_values(
    stage: str,
    t: int,
    got: Mapping[str, HostArray],
    expected: Mapping[str, NDArray[Any]],
    equal_B: NDArray[np.bool_],
    agreement: HostAgreement,
) -> None:
    for name, y_B in expected.items():
        difference = host_difference(y_B[equal_B], got[name][equal_B])
        agreement.difference = max(agreement.difference, difference)
        if difference > HOST_TOLERANCE:
            raise UnfaithfulError(
                f"host stage '{stage}'",
                f"'{name}' of its ONNX form is {difference:.2g} away from torch's at step {t}, sample "
                f"{_farthest(y_B, got[name], equal_B)}, more than "
                f"{HOST_TOLERANCE:.0e}: rounding grows from step to step, or the forms differ",
                "Shorten the sample to see which; please report a network that differs at step 0",
            )


def _farthest(y_B: NDArray[Any], got_B: HostArray, equal_B: NDArray[np.bool_]) -> int:
    apart_B = np.where(_rows(equal_B, y_B), np.nan_to_num(np.abs(y_B - got_B), nan=np.inf), 0.0)
    return int(np.argmax(apart_B.reshape(len(apart_B), -1).max(axis=1)))


def _resume(state_B: HostArray, torch_B: NDArray[Any], equal_B: NDArray[np.bool_]) -> HostArray:
    return np.where(_rows(equal_B, state_B), state_B, torch_B)


def _rows(mask_B: NDArray[np.bool_], like_B: NDArray[np.generic]) -> NDArray[np.bool_]:
    return mask_B.reshape(-1, *(1,) * (like_B.ndim - 1))
