"""Counts of an ANN in torch, by hooks on its layers: border-exact MACs, and those with a non-zero input.

Hooks see modules only. What they do not see is listed in `not_counted`: modules with weights that are no known layer,
and products written as functional calls, attention's say, with how many there are.

Shape suffixes: R rows (samples times passes).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from spikeport.benchmarks.counting.fanout import conv_fan_out
from spikeport.benchmarks.counting.layers import AnnCounts, DenseLayer
from spikeport.errors import UnfaithfulError, UsageError

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)


@dataclass
class _Seen:
    """What one layer has done so far."""

    rows: int = 0
    nonzero: int = 0
    padded: int = 0
    shape: tuple[int, ...] = ()
    outputs: int = 0
    fans: dict[tuple[int, ...], NDArray[np.int64]] = field(default_factory=dict)


def count_ann(model: nn.Module, run: Callable[[], object], samples: int) -> AnnCounts:
    """Count the layers of `model` while `run` runs it over `samples` samples.

    Args:
        model: an ANN in evaluation mode.
        run: calls the model, once or in several batches.
        samples: how many samples `run` covers; a layer that sees more rows runs several times per sample.

    Raises:
        UsageError: the model is in training mode, or a layer's rows are no multiple of the samples.
    """
    if model.training:
        raise UsageError("the ANN", "it is in training mode, where dropout changes the counts", "Call .eval()")
    layers = {name: m for name, m in model.named_modules() if isinstance(m, LAYERS)}
    seen = {name: _Seen() for name in layers}
    handles = [m.register_forward_hook(_hook(seen[name])) for name, m in layers.items()]
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as everything:
            run()
    finally:
        for handle in handles:
            handle.remove()
    counted = tuple(_layer(n, layers[n], s, samples) for n, s in seen.items() if s.rows)
    listed = _not_counted(model, {n for n, s in seen.items() if s.rows})
    # It counts two operations a multiply-accumulate, those of padding too, as `padded` does.
    if functional := everything.get_total_flops() // 2 - sum(s.padded for s in seen.values()):
        listed["functional products"] = (
            f"{functional / samples:,.0f} multiply-accumulates a sample of two activations, attention's say, or with "
            "weights outside of layers"
        )
    return AnnCounts(samples, counted, listed)


def _hook(seen: _Seen) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        rank = 1 if isinstance(module, nn.Linear) else 2 + isinstance(module, nn.Conv2d)
        shape = tuple(inputs[0].shape[-rank:])
        if seen.shape not in ((), shape):
            reason = f"it runs on inputs of {seen.shape} and of {shape}"
            raise UnfaithfulError(f"layer {module}", reason, "Count samples of one shape at a time")
        x_RN = inputs[0].detach().reshape(-1, *shape)
        if not seen.fans:
            seen.fans[shape] = _fan_out(module, shape)
        nonzero = (x_RN != 0).sum(0).cpu().numpy()
        seen.shape = shape
        seen.rows += len(x_RN)
        seen.padded += output.numel() * module.get_parameter("weight")[0].numel()
        seen.nonzero += int((nonzero * seen.fans[shape]).sum())
        seen.outputs = output.numel() // len(x_RN)

    return count


def _fan_out(module: nn.Module, shape: tuple[int, ...]) -> NDArray[np.int64]:
    if isinstance(module, nn.Linear):
        return np.full(shape, module.out_features, dtype=np.int64)
    assert isinstance(module, nn.Conv1d | nn.Conv2d)
    if module.padding_mode != "zeros":
        reason = f"its padding mode '{module.padding_mode}' feeds copies of inputs"
        raise UnfaithfulError(f"layer {module}", reason, "Use zero padding")
    flat = isinstance(module, nn.Conv1d)
    present = np.ones(tuple(module.weight.shape), dtype=np.int64)
    lead = (1,) if flat else ()
    stride, dilation = (*lead, *module.stride), (*lead, *module.dilation)
    pads = [_pads(module, axis) for axis in range(len(module.kernel_size))]
    fan = conv_fan_out(
        present[:, :, None, :] if flat else present,
        (shape[0], 1, shape[1]) if flat else (shape[0], shape[1], shape[2]),
        (stride[0], stride[1]),
        (dilation[0], dilation[1]),
        ((0, 0) if flat else pads[0], pads[-1]),
        module.groups,
    )
    return fan[:, 0] if flat else fan


def _pads(module: nn.Conv1d | nn.Conv2d, axis: int) -> tuple[int, int]:
    """Return the padding before and after; torch's 'same' puts the odd one behind."""
    if isinstance(module.padding, str):
        total = module.dilation[axis] * (module.kernel_size[axis] - 1) if module.padding == "same" else 0
        return total // 2, total - total // 2
    return module.padding[axis], module.padding[axis]


def _layer(name: str, module: nn.Module, seen: _Seen, samples: int) -> DenseLayer:
    if seen.rows % samples:
        reason = f"it ran on {seen.rows} rows for {samples} samples"
        raise UsageError(f"layer '{name}'", reason, "Count samples with the same number of frames")
    weight = module.get_parameter("weight")
    return DenseLayer(
        name=name,
        kind="linear" if isinstance(module, nn.Linear) else "conv",
        macs_per_pass=int(seen.fans[seen.shape].sum()),
        passes=seen.rows // samples,
        weights=weight.numel(),
        zero_weights=int((weight == 0).sum()),
        inputs=int(np.prod(seen.shape)),
        outputs=seen.outputs,
        nonzero_macs=seen.nonzero,
    )


def _not_counted(model: nn.Module, counted: set[str]) -> dict[str, str]:
    listed = {}
    for name, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if name in counted:
            if own.get("bias") is not None:
                listed[name] = "its bias, one addition per output and pass; its products are counted"
        elif isinstance(module, LAYERS):
            listed[name] = "it never ran"
        elif own:
            listed[name or type(module).__name__] = f"{type(module).__name__} is no Linear, Conv1d or Conv2d"
    return listed
