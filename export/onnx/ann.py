"""A plain torch module as an ONNX file: the ANN twin, a readout, any network without a state."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spikeport.errors import UnfaithfulError, UsageError
from spikeport.export.onnx_stage import HOST_TOLERANCE, HostFunction, export_torch, host_difference
from spikeport.files import new_file, refuse_existing
from spikeport.models.network import LOGITS
from spikeport.models.twin import Twin


def write_ann_onnx(module: nn.Module, example_inputs: Mapping[str, Tensor], path: Path) -> float:
    """Write `module` as the ONNX file `path`, which must not exist, and hold it against torch under onnxruntime.

    The batch is free, and so is the number of frames of a twin's frame inputs. The outputs are called `logits` (a
    twin's), `output`, or `output_0`, `output_1`, ...

    Args:
        module: called with one tensor [B, *shape] an argument, or, a twin, with all of them in a mapping; left
            untouched.
        example_inputs: real inputs by name; the file is checked on them.
        path: where to.

    Returns:
        The largest difference from torch, relative to the largest output (at least 1).

    Raises:
        UsageError: `path` exists, or the inputs are not the module's.
        UnfaithfulError: torch cannot write it, or the file differs from torch by more than 1e-5.
    """
    refuse_existing(path)
    named = _Positional(copy.deepcopy(module).cpu().eval().float(), tuple(example_inputs))
    examples = {n: x.detach().cpu().float() for n, x in example_inputs.items()}
    wanted = _run(named, examples)
    several = tuple(f"output_{i}" for i in range(len(wanted)))
    names = several if len(wanted) > 1 else (LOGITS,) if isinstance(module, Twin) else ("output",)
    free = [_free(module, name) for name in examples]
    # A dimension of size 1 would be taken for a constant.
    grown = {n: _grown(x, dims) for (n, x), dims in zip(examples.items(), free, strict=True)}
    subject = f"network {type(module).__name__}"
    with new_file(path) as aside:
        export_torch(named, tuple(grown.values()), (tuple(free),), tuple(grown), names, aside)
        got = HostFunction(aside)({n: x.numpy() for n, x in examples.items()})
        difference = max(host_difference(w.numpy(), got[n]) for n, w in zip(names, wanted, strict=True))
        if not difference <= HOST_TOLERANCE:
            raise UnfaithfulError(subject, f"its ONNX form differs by {difference:.2g}", "Please report this network")
    return difference


class _Positional(nn.Module):
    """Calls a module with its arguments in order, by name or in one mapping."""

    def __init__(self, module: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.module = module
        self.names = names

    def forward(self, *inputs_B: Tensor) -> Any:
        """Return what the module does."""
        named = dict(zip(self.names, inputs_B, strict=True))
        return self.module(named) if isinstance(self.module, Twin) else self.module(**named)


def _run(named: _Positional, examples: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    try:
        with torch.no_grad():
            result = named(*examples.values())
    except (RuntimeError, TypeError, IndexError) as error:
        shapes = {n: tuple(x.shape) for n, x in examples.items()}
        raise UsageError(
            f"inputs of shapes {shapes}",
            f"{type(named.module).__name__} fails on them ({str(error).splitlines()[0]})",
            "Give one tensor [B, *shape] for each of forward's arguments",
        ) from error
    tensors = result if isinstance(result, tuple) else (result,)
    if not all(isinstance(value, Tensor) for value in tensors):
        raise UnfaithfulError(
            f"network {type(named.module).__name__}", "it returns more than tensors", "Return tensors"
        )
    return tensors


def _free(module: nn.Module, name: str) -> dict[int, object]:
    """Return the dimensions of input `name` that may change: the batch, and a twin's frames."""
    free: dict[int, object] = {0: torch.export.Dim("B")}
    if isinstance(module, Twin) and name in module.frame_inputs:
        free[1] = torch.export.Dim(f"F_{name}")
    return free


def _grown(x: Tensor, free: Mapping[int, object]) -> Tensor:
    for dim in free:
        if x.shape[dim] == 1:
            x = torch.cat([x, x], dim)
    return x
