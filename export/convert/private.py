"""Private copies of an author's model: what the export traces and changes in its place."""

from __future__ import annotations

import copy
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import snntorch
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.stepping import StepCell

STATEFUL = (snntorch.SpikingNeuron, StepCell)
STATE_BUFFERS = ("mem", "syn", "syn_exc", "syn_inh", "spk")


def private_copy(model: nn.Module) -> nn.Module:
    """Return a copy on the CPU, in evaluation mode and without hidden state.

    Torch does not copy a tensor that still hangs on its gradient, as a neuron's state does after a training
    step; such a one is detached.
    """
    original = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    computed: dict[int, Any] = {}
    for module in original.modules():
        for value in (*module._buffers.values(), *vars(module).values()):
            if isinstance(value, Tensor) and not value.is_leaf:
                computed[id(value)] = value.detach().clone()
    try:
        private: nn.Module = copy.deepcopy(original, computed).cpu().eval()
    except (RuntimeError, TypeError) as error:
        raise UnfaithfulError(
            f"model {type(original).__name__}",
            f"it cannot be copied ({str(error).splitlines()[0]})",
            "Export a model that copy.deepcopy takes",
        ) from error
    forget(private)
    for module in private.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            _drop_functions(hooks)
    return private


def _drop_functions(hooks: dict[int, Any]) -> None:
    """Take the author's hooks off a copy: they would tell of runs that are not the author's. Torch's own stay.

    Hooks that act are refused where the author's own module runs.
    """
    for key, hook in [*hooks.items()]:
        if isinstance(hook, FunctionType | partial):
            del hooks[key]


def bake_parametrizations(model: nn.Module) -> None:
    """Put plain layers in the place of parametrized ones (weight norm, spectral norm), with the weights as computed.

    `remove_parametrizations` would not do: a copy shares its class with the user's layer, whom it robs of its weights.
    """
    for path, module in [*model.named_modules()]:
        if not path or not parametrize.is_parametrized(module):
            continue
        names: Any = module.parametrizations
        computed = {name: nn.Parameter(getattr(module, name).detach()) for name in names}
        plain: nn.Module = object.__new__(type(module).__mro__[1])
        plain.__dict__.update({name: _rebound(value, module, plain) for name, value in vars(module).items()})
        plain._modules = {name: part for name, part in module._modules.items() if part is not names}
        plain._parameters = {**module._parameters, **computed}
        model.set_submodule(path, plain)


def _rebound(value: Any, old: nn.Module, new: nn.Module) -> Any:
    """Return an attribute of `old` for `new`: snnTorch's neurons keep one of their methods as an attribute."""
    return MethodType(value.__func__, new) if isinstance(value, MethodType) and value.__self__ is old else value


def forget(model: nn.Module) -> None:
    """Forget the hidden states of all snnTorch neurons below `model`, so that the next call starts at 0."""
    for module in model.modules():
        if isinstance(module, snntorch.DeltaLeaky):
            module.reset_mem()
        elif isinstance(module, STATEFUL):
            for state in STATE_BUFFERS:
                if isinstance(getattr(module, state, None), Tensor):
                    setattr(module, state, torch.zeros(0))


def is_double(model: nn.Module) -> bool:
    """Return whether `model` computes in float64 throughout; its states, empty before the first step, do not count."""
    values = [*model.parameters(), *(buffer for buffer in model.buffers() if buffer.numel())]
    return {value.dtype for value in values if value.is_floating_point()} == {torch.float64}


def check_weights(model: nn.Module) -> None:
    """Raise `UnfaithfulError` for a parameter that is not finite, or of half precision."""
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if value.dtype in (torch.float16, torch.bfloat16):
            raise UnfaithfulError(
                f"parameter '{name}'",
                f"it is {value.dtype}, whose rounding is too coarse to verify spikes",
                "Export model.float() with a float32 sample",
            )
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise UnfaithfulError(f"parameter '{name}'", "it holds NaN or infinity", "Train again, or mend the weights")
