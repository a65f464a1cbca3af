"""The author's own run: the network itself, as its author runs it, is what an export is held against.

A private copy would not do. `snntorch.utils.reset(self)` in forward does not reach it, and Python state, hooks and
counters may act on it otherwise. What the network holds is put back afterwards (`untouched.py`).

Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from spikeport.errors import SpikeportError, UnfaithfulError, UsageError
from spikeport.export.chance import random_states, refuse_chance
from spikeport.export.convert.feedback import zero_start
from spikeport.export.convert.private import STATE_BUFFERS, forget, private_copy
from spikeport.export.convert.trace import Trace
from spikeport.export.untouched import Held, untouched

R = TypeVar("R")
OWN_STATE = "Keep all state in neurons; or take it as an argument, return the new one, and name it in feedback="
Row = tuple[Any, ...]


def author_run(model: nn.Module, run: Callable[[nn.Module], R]) -> R:
    """Return what `run` gets from the author's own module, from the state zero.

    Args:
        model: the module, which is left as it was; on another device than the CPU a copy stands in for it.
        run: calls it with clones of the sample, once or step by step.

    Raises:
        UnfaithfulError: forward draws random numbers, changes weights, keeps a state of its own, or a hook acts.
        UsageError: the module fails.
    """
    module = _runnable(model)
    with untouched(module) as held:
        forget(module)
        before = random_states()
        with _watched_hooks(module) as acting:
            result = _run(module, run)
        refuse_chance(before, lambda: run(module))
        if acting:
            raise UnfaithfulError(*acting[0], "Put what it does into forward, as layers and calls")
        if weights := held.changed_weights():
            raise UnfaithfulError(f"parameter or buffer '{weights[0]}'", "forward changes it", OWN_STATE)
        changed = held.changed_attributes()
        if made := {attribute for attribute in changed if held.before(*attribute) is None}:
            again = Held(module)
            _run(module, run)
            changed -= made - again.changed_attributes()  # made once, at the first call
    for path, name in sorted(changed):
        _refuse_own_state(module, path, name, run)
    return result


def steps(traced: Trace, sample_TB: Mapping[str, Tensor]) -> Callable[[nn.Module], list[Row]]:
    """Return what runs a module step by step, as its author does, and returns all outputs of every step."""
    carried = traced.carried
    arguments = carried.arguments
    names = [name for name in arguments if name not in carried.loops]
    called = dict(zip(names, traced.inputs, strict=True))
    inputs_TB = {name: sample_TB[called[name]] for name in names if called[name] not in traced.loops}
    fed_back = {name: carried.kept[loop.place] for name, loop in traced.loops.items()}

    def run(module: nn.Module) -> list[Row]:
        parameters = [*inspect.signature(module.forward).parameters]
        # By place, as hooks expect it, up to the first option of forward that is left out.
        by_place = sum(arguments[: i + 1] == (*parameters[: i + 1],) for i in range(len(arguments)))
        like = {name: x[0] for name, x in inputs_TB.items()}
        back = dict.fromkeys(carried.loops, torch.zeros(0)) | zero_start(traced.loops, like)
        rows: list[Row] = []
        for t in range(len(next(iter(inputs_TB.values())))):
            given = {name: x[t].clone() for name, x in inputs_TB.items()} | back
            rest = {name: given[name] for name in arguments[by_place:]}
            returned = module(*[given[name] for name in arguments[:by_place]], **rest)
            values = tuple(returned) if isinstance(returned, tuple | list) else (returned,)
            back = {name: values[place] for name, place in {**carried.loops, **fed_back}.items()}
            rows.append(_cloned(values))
        return rows

    return run


def check_trace(model: nn.Module, traced: Trace, sample_TB: Mapping[str, Tensor]) -> None:
    """Hold the traced step against the author's own run, bit for bit, in every output that forward returns.

    Args:
        model: the author's.
        traced: its traced step.
        sample_TB: its inputs.

    Raises:
        UnfaithfulError: they differ; or see `author_run`.
    """
    rows = author_run(model, steps(traced, sample_TB))
    module, carried = traced.module, traced.carried
    inputs_TB = {name: sample_TB[name] for name in traced.inputs if name not in traced.loops}
    back = zero_start(traced.loops, {name: x[0] for name, x in inputs_TB.items()})
    forget(module)
    with torch.no_grad():
        for t, row in enumerate(rows):
            given = {name: x[t].clone() for name, x in inputs_TB.items()} | back
            returned = module(*[given[name] for name in traced.inputs])
            values = tuple(returned) if isinstance(returned, tuple | list) else (returned,)
            back = {name: values[loop.place] for name, loop in traced.loops.items()}
            seen = dict(zip(carried.kept, values, strict=True))
            for place, state in carried.states.items():
                if state.name in STATE_BUFFERS:
                    seen[place] = getattr(module.get_submodule(state.neuron), state.name)
            for place, value in seen.items():
                _refuse_difference(model, place, t, value, row[place] if place < len(row) else None)
    forget(module)


def _refuse_difference(model: nn.Module, place: int, t: int, traced: Any, own: Any) -> None:
    own = own[0] if isinstance(own, tuple) and isinstance(traced, Tensor) else own
    if not isinstance(own, Tensor) or not isinstance(traced, Tensor):
        reason = f"it is a {type(own).__name__}, and not a tensor that the network computes"
        raise UnfaithfulError(f"output {place}", reason, "Return a tensor, or a tuple of them")
    if own.dtype == traced.dtype and torch.equal(own, traced):
        return
    many = f"{int((own != traced).sum())} of {own.numel()} entries" if own.shape == traced.shape else "the shape"
    raise UnfaithfulError(
        f"model {type(model).__name__}",
        f"its forward does more than its layers and calls (output {place} differs at step {t} in {many}): "
        "it keeps a state of its own, resets one, or acts otherwise at some step",
        "Keep all state in neurons, and resets, counters and chance outside of forward",
    )


def _runnable(model: nn.Module) -> nn.Module:
    """Return the module itself, or where it is not on the CPU a copy."""
    module: nn.Module = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    devices = {x.device.type for x in (*module.parameters(), *module.buffers())}
    return module if devices <= {"cpu"} else private_copy(module)


def _run(module: nn.Module, run: Callable[[nn.Module], R]) -> R:
    try:
        with torch.no_grad():
            return run(module)
    except SpikeportError:
        raise
    except Exception as error:  # whatever the author's forward does
        raise UsageError(
            f"model {type(module).__name__}",
            f"it fails on the sample ({type(error).__name__}: {str(error).partition(chr(10))[0]})",
            "Mend the model, or give the sample as forward takes it",
        ) from error


@contextmanager
def _watched_hooks(model: nn.Module) -> Iterator[list[tuple[str, str]]]:
    """Yield where a hook acts and how, as the model runs: it returns something, or changes a tensor in place."""
    acting: list[tuple[str, str]] = []
    undone: list[tuple[Any, Any, Any]] = []
    for path, module in model.named_modules():
        kind = type(module).__name__
        where = f"layer '{path}' ({kind})" if path else f"model {kind}"
        for word, hooks in (("pre-hook", module._forward_pre_hooks), ("hook", module._forward_hooks)):
            for key, hook in [*hooks.items()]:
                undone.append((hooks, key, hook))
                hooks[key] = _watching(hook, where, word, acting)
    try:
        yield acting
    finally:
        for hooks, key, hook in undone:
            hooks[key] = hook


def _watching(hook: Any, where: str, word: str, acting: list[tuple[str, str]]) -> Any:
    def watched(module: nn.Module, *given: Any) -> Any:
        versions = [x._version for x in tensors(given)]
        value = hook(module, *given)
        if value is not None or versions != [x._version for x in tensors(given)]:
            what = "takes" if word == "pre-hook" else "gives"
            acting.append((where, f"its forward {word} changes what it {what}, and no graph has hooks"))
        return value

    return watched


def tensors(value: Any) -> list[Tensor]:
    """Return the tensors in a value, or in what it contains."""
    if isinstance(value, dict | tuple | list):
        return [x for part in (value.values() if isinstance(value, dict) else value) for x in tensors(part)]
    return [value] if isinstance(value, Tensor) else []


def _cloned(value: Any) -> Any:
    """Return a step's outputs as they are now: a later step may change them in place."""
    if isinstance(value, tuple | list):
        return tuple(_cloned(part) for part in value)
    return value.clone() if isinstance(value, Tensor) else value


class _Unread:
    """Stands where forward may write, or append, and fails where it reads."""

    __hash__ = None  # type: ignore[assignment]

    def append(self, _: object) -> None:
        """Take a value that nobody reads."""

    def __setitem__(self, key: object, value: object) -> None:
        self.append(value)

    def __bool__(self) -> bool:
        raise TypeError("read")

    def __eq__(self, other: object) -> bool:
        raise TypeError("read")


def _refuse_own_state(model: nn.Module, path: str, name: str, run: Callable[[nn.Module], object]) -> None:
    """Refuse an attribute that changes from call to call, if forward reads what it wrote."""
    copy = private_copy(model)
    vars(copy.get_submodule(path))[name] = _Unread()
    try:
        with untouched(copy), torch.no_grad():
            run(copy)
    except Exception as error:  # whatever the author's forward does with what it may not read
        raise UnfaithfulError(
            f"attribute '{path}.{name}'" if path else f"attribute '{name}' of model {type(model).__name__}",
            "forward changes it from call to call and reads it again: a state of its own, by which it may act "
            "otherwise at any later step",
            OWN_STATE,
        ) from error
