"""`SpikeCounter`: hooks and a dispatch mode that count while a model runs."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Self

import torch
from torch import nn

from spikeport.benchmarks.counting.torch_counter.apart import Options
from spikeport.benchmarks.counting.torch_counter.constants import Constants
from spikeport.benchmarks.counting.torch_counter.hooks import Hooks
from spikeport.benchmarks.counting.torch_counter.ledger import Ledger
from spikeport.benchmarks.counting.torch_counter.neurons import STATELESS
from spikeport.benchmarks.counting.torch_counter.reading import read
from spikeport.benchmarks.counting.torch_counter.result import ModelCounts
from spikeport.errors import UnfaithfulError, UsageError
from spikeport.models.state import neurons


class SpikeCounter:
    """Counts what `model` does inside the `with` block.

    Operations between calls of its modules count too, but for a closed model, a Sequential of nothing but known
    modules: what its caller does around it is left alone, and `not_counted` says so if parts are called by
    themselves. Work in other threads is not seen. The model's results are not changed. CUDA is counted on the device
    and read once; PyTorch's fused transformer layers are taken apart while counting. Refused: training mode (dropout
    changes the counts), scripted, compiled and data-parallel models (their inside cannot be seen).

    Args:
        model: in evaluation mode.
        nonzero_weights_only: leave out synapses whose weight is exactly 0.
        by_step: keep spikes and operations by call since the batch's start; as much memory as the batch has steps.
        by_sample: keep them by sample; the first axis of every layer's input, neuron's output and product must be the
            batch.
    """

    def __init__(
        self,
        model: nn.Module,
        nonzero_weights_only: bool = False,
        by_step: bool = False,
        by_sample: bool = False,
    ) -> None:
        _refuse(model)
        self.model = model
        self.samples = 0
        self._ledger = Ledger(model, Options(nonzero_weights_only, by_step, by_sample))
        self._hooks = Hooks(model, self._ledger)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        # The model may have been converted since.
        self._ledger.constants = Constants(self.model)
        # It holds copies of weights that nobody saw made.
        torch.clear_autocast_cache()
        with ExitStack() as stack:
            stack.enter_context(self._hooks)
            stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
            torch.backends.mha.set_fastpath_enabled(False)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def start(self, samples: int) -> None:
        """Begin a batch of `samples` samples: every neuron below the model starts from its initial state.

        `snntorch.utils.reset` misses nested neurons; this resets each, and a shared one once.

        Raises:
            UsageError: `samples` is not positive.
            UnfaithfulError: a neuron cannot be reset.
        """
        if samples < 1:
            raise UsageError(f"samples {samples}", "a batch has at least one", "Give the number of samples")
        with torch._C._DisableTorchDispatch():
            _reset(self.model)
        self.samples += samples
        self._ledger.start(samples)
        self._hooks.start()

    def counts(self) -> ModelCounts:
        """Return the totals so far; the one place that waits for the device.

        Raises:
            UsageError: no batch was started, so that nothing is known per sample.
        """
        if not self.samples:
            raise UsageError("SpikeCounter", "no batch was started", "Call start(len(x)) before each batch")
        with torch._C._DisableTorchDispatch():
            return read(self.model, self._ledger, self._hooks, self.samples)


def _reset(model: nn.Module) -> None:
    for path, neuron in neurons(model).items():
        if type(neuron) in STATELESS:
            continue
        if not hasattr(neuron, "reset_mem"):
            reason = f"a {type(neuron).__name__} cannot be reset, so that its state would last into the next batch"
            raise UnfaithfulError(f"neuron '{path}'", reason, "Use a neuron with reset_mem")
        neuron.reset_mem()


def _refuse(model: nn.Module) -> None:
    """Refuse models whose inside cannot be seen, or whose counts would be another network's."""
    for path, module in model.named_modules():
        name = f"module '{path or type(module).__name__}'"
        if any(isinstance(p, nn.UninitializedParameter) for p in module.parameters(recurse=False)):
            raise UnfaithfulError(name, "it has no weights yet", "Run the model once, then count it")
        if module.training:
            raise UnfaithfulError(name, "in training mode dropout changes the counts", "Call eval()")
        if isinstance(module, torch.jit.ScriptModule):
            raise UnfaithfulError(name, "it is scripted, and its inside cannot be seen", "Count the Python module")
        if hasattr(module, "_orig_mod") or module._compiled_call_impl is not None:
            raise UnfaithfulError(name, "it is compiled, and its inside cannot be seen", "Count it uncompiled")
        if isinstance(module, nn.DataParallel):
            raise UnfaithfulError(name, "it runs in several threads", "Count its .module")
