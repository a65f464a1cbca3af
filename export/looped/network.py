"""A network whose forward loops over time: one step of the loop, and what follows it.

Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from spikeport.errors import SpikeportError, UnfaithfulError
from spikeport.export.chance import random_states, refuse_chance
from spikeport.export.convert.bntt import refuse_unshared_norms
from spikeport.export.convert.private import forget
from spikeport.export.convert.trace import prepared_copy
from spikeport.export.looped.after import After, Form, after_loop
from spikeport.export.looped.fold import find_loop
from spikeport.export.looped.gathered import Gathered
from spikeport.export.looped.recorder import Recorder
from spikeport.export.looped.step import StepGraph
from spikeport.export.untouched import listed, untouched

MANY = 2
"""What is called more often in one forward is a loop."""


@dataclass(frozen=True)
class Looped:
    """A forward that loops over time.

    Attributes:
        step: one step of it.
        inputs_TB: what the step takes, by the name of its arguments.
        feedback: the arguments of the step that are its outputs of the step before, with their place.
        outputs: the step's outputs, by name.
        windows: for each value of the loop that forward returns step by step, the step's output that it is.
        after: what gives the others: windows of as many steps (`sequence`), and one value a sample (`window`).
        returned: the names of all that forward returns, in order.
    """

    step: fx.GraphModule
    inputs_TB: dict[str, Tensor]
    feedback: dict[str, int]
    outputs: tuple[str, ...]
    windows: dict[str, str]
    after: dict[Form, After]
    returned: tuple[str, ...]


def looped(model: nn.Module, sample: Mapping[str, Tensor]) -> Looped | None:
    """Return the stages of a forward that loops over time, `None` where it computes one step.

    Args:
        model: the author's; left untouched.
        sample: what forward takes.

    Raises:
        UnfaithfulError: forward loops over time, and does at a step what no step can.
    """
    private, neurons = prepared_copy(getattr(model, "_orig_mod", model))

    def record() -> tuple[Recorder, Any]:
        forget(private)
        recorder = Recorder(private)
        return recorder, recorder.record({name: x.clone() for name, x in sample.items()})

    with listed(neurons), untouched(private):
        before = random_states()
        try:
            recorder, returned = record()
        except SpikeportError:
            raise
        except Exception:  # whatever the author's forward raises on all steps at once, where it takes one of them
            return None
        refuse_chance(before, record)
    loop = find_loop(recorder)
    if loop is None:
        _refuse_uneven(recorder)
        return None
    refuse_unshared_norms(private, {str(node.target) for node in loop.calls if node.op == "call_module"})
    for name, at in recorder.renewed.items():
        raise UnfaithfulError(
            f"neuron '{name}'",
            f"forward resets it, or gives it a state, inside its loop over time (before its call {at + 1})",
            "Reset it before the loop",
        )
    forget(private)
    for name, value in recorder.constants.items():
        private.register_buffer(name, value)
    gathered = Gathered(recorder, loop, returned)
    step = StepGraph(recorder, loop, gathered)
    windows = {name: gathered.window(value) for name, value in gathered.returned.items()}
    after = after_loop(step, gathered, [name for name, j in windows.items() if j is None])
    shown = {name: step.output(j) for name, j in windows.items() if j is not None}
    module, feedback = step.build()
    outputs = tuple(map(step.output, step.results))
    return Looped(module, step.inputs_TB, feedback, outputs, shown, after, tuple(gathered.returned))


def _refuse_uneven(recorder: Recorder) -> None:
    """Refuse a forward that calls one neuron again and again, and does not the same each time."""
    called = Counter(str(node.target) for node in recorder.graph.nodes if recorder.is_neuron(node))
    for name, times in called.most_common(1):
        if times > MANY:
            raise UnfaithfulError(
                f"neuron '{name}'",
                f"forward calls it {times} times, and what it does from one call to the next differs in more than "
                "the step of the input",
                "Let every step of the loop do the same",
            )
