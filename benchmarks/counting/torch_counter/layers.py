"""The weighted modules that are counted by a hook: their fan-out maps and rows.

Only exact types, since a subclass may compute something else; those are counted by the operations that they call.
So are transposed convolutions and padding modes other than zeros.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from spikeport.benchmarks.counting.torch_counter.fan import Geometry, conv_fan_out, matrix_fan_out
from spikeport.benchmarks.counting.torch_counter.ledger import ADDITION, Ledger
from spikeport.benchmarks.counting.torch_counter.neurons import ONE_TO_ONE
from spikeport.benchmarks.counting.torch_counter.tally import Tally

_CONVOLUTIONS = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}
CELLS: dict[type[nn.Module], int] = {nn.RNNCell: 1, nn.GRUCell: 3, nn.LSTMCell: 4}
SEQUENCES: dict[type[nn.Module], int] = {nn.RNN: 1, nn.GRU: 3, nn.LSTM: 4}
"""Recurrent modules with how many gates they have, that is, weighted sums for one hidden element."""


def has_hook(module: nn.Module) -> bool:
    """Return whether `count_layer` counts this module."""
    kind = type(module)
    if kind in _CONVOLUTIONS:
        return module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return kind is nn.Linear or kind in CELLS or kind in ONE_TO_ONE


def leave_out_biases(ledger: Ledger, name: str, module: nn.Module) -> None:
    """List the biases of `module`, by the names of their parameters."""
    for parameter, _ in module.named_parameters(recurse=False):
        if parameter.startswith("bias"):
            ledger.leave_out(f"{name}.{parameter}", ADDITION)


def count_layer(ledger: Ledger, name: str, module: Any, x: Tensor, hx: Any = None) -> Tally | None:
    """Count the input `x` of `module`, and return the tally that inputs like it go to; `hx` is a cell's state."""
    kind = type(module)
    if kind in CELLS:
        count_cell(ledger, name, module, x, hx)
        return None
    if kind is nn.Linear:
        return count_matrix(ledger, name, module.weight, x)
    if kind in ONE_TO_ONE:
        shape = tuple(x.shape[1:])
        return ledger.events(name, x, shape, lambda: torch.ones(shape, dtype=torch.int64), torch.as_tensor(module.V))
    shape = tuple(x.shape[-_CONVOLUTIONS[kind] - 1 :])
    return ledger.events(name, x, shape, lambda: _conv_fan(ledger, module, shape), module.weight)


def count_matrix(ledger: Ledger, name: str, weight_ON: Tensor, x: Tensor) -> Tally:
    """Count `x @ weight.T`."""
    nonzero_only = ledger.options.nonzero_weights_only
    return ledger.events(name, x, weight_ON.shape[1:], lambda: matrix_fan_out(weight_ON, 0, nonzero_only), weight_ON)


def _conv_fan(ledger: Ledger, module: Any, shape: tuple[int, ...]) -> Tensor:
    none = (0,) * len(module.stride)
    geometry = Geometry(module.stride, module.padding, module.dilation, False, none, module.groups)
    return conv_fan_out(module.weight, shape, geometry, ledger.options.nonzero_weights_only)


def count_cell(ledger: Ledger, name: str, module: Any, x: Tensor, hx: Any) -> None:
    """Count one step of a recurrent cell: its input's weights and its state's, which is 0 where not given."""
    state = hx[0] if isinstance(hx, tuple) else hx
    if state is None:
        state = x.new_zeros((*x.shape[:-1], module.hidden_size))
    count_matrix(ledger, f"{name}.weight_ih", module.weight_ih, x)
    count_matrix(ledger, f"{name}.weight_hh", module.weight_hh, state)
    ledger.leave_out(f"{name}:gates", "its gates' element-wise arithmetic; the products with its weights are counted")


def unseen_in_sequence(module: Any, x: Any) -> str | None:
    """Return why a whole-sequence RNN, GRU or LSTM cannot be counted, `None` if it can."""
    if not isinstance(x, Tensor):
        return "packed sequences have no rule; give padded ones, one length at a time"
    if module.num_layers > 1:
        return "what its inner layers hand on cannot be seen; use one module a layer"
    if getattr(module, "proj_size", 0):
        return "what its projection gets cannot be seen; use a Linear behind it"
    return None


def count_sequence(ledger: Ledger, name: str, module: Any, x: Tensor, hx: Any, out: Tensor) -> None:
    """Count a whole-sequence module of one layer: the state of each step is the output of the step before."""
    axis = x.ndim - 2 if module.batch_first or x.ndim == 2 else 0
    state = hx[0] if isinstance(hx, tuple) else hx
    for direction in range(2 if module.bidirectional else 1):
        suffix = "_l0_reverse" if direction else "_l0"
        count_matrix(ledger, f"{name}.weight_ih{suffix}", module.get_parameter(f"weight_ih{suffix}"), x)
        own = out.narrow(-1, direction * module.hidden_size, module.hidden_size)
        steps = own.shape[axis]
        first = torch.zeros_like(own.narrow(axis, 0, 1)) if state is None else state[direction].unsqueeze(axis)
        kept = own.narrow(axis, 1 if direction else 0, steps - 1)
        before = torch.cat([kept, first] if direction else [first, kept], axis)
        count_matrix(ledger, f"{name}.weight_hh{suffix}", module.get_parameter(f"weight_hh{suffix}"), before)
    leave_out_biases(ledger, name, module)
    ledger.leave_out(f"{name}:gates", "its gates' element-wise arithmetic; the products with its weights are counted")
