"""Reads the tallies, once, at the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import Tensor, nn

from spikeport.benchmarks.counting.torch_counter.apart import Table, together
from spikeport.benchmarks.counting.torch_counter.ledger import Ledger
from spikeport.benchmarks.counting.torch_counter.neurons import STATE
from spikeport.benchmarks.counting.torch_counter.result import LayerCounts, ModelCounts, NeuronCounts
from spikeport.benchmarks.counting.torch_counter.stored import Stored
from spikeport.benchmarks.counting.torch_counter.tally import Tally

if TYPE_CHECKING:
    from spikeport.benchmarks.counting.torch_counter.hooks import Hooks


def read(model: nn.Module, ledger: Ledger, hooks: Hooks, samples: int) -> ModelCounts:
    """Return everything that `ledger` and `hooks` hold."""
    layers = _weighted(ledger)
    for name, tally in ledger.products.items():
        ac, mac = tally.read()
        layers[name] = LayerCounts(tally.rows, None, ac, mac, tally.dense, 0, 0, *together([tally.apart]))
    ran = {n: t for n, t in hooks.neurons.items() if t.updates}
    neurons = {
        name: NeuronCounts(
            t.neurons, t.updates, t.read(), t.emitted, t.state, t.touched, t.touched, *map(_first, together([t.apart]))
        )
        for name, t in ran.items()
    }
    return ModelCounts(
        samples=samples,
        layers=layers,
        neurons=neurons,
        parameters=sum(p.numel() for p in model.parameters()),
        parameter_bytes=_bytes(model.parameters()),
        buffer_bytes=_bytes(_constant_buffers(model)),
        known_state_bytes=sum(t.state_bytes for t in ran.values()),
        not_counted=_not_counted(ledger, hooks, layers),
        unknown_neurons=tuple(hooks.unknown_neurons),
    )


def _not_counted(ledger: Ledger, hooks: Hooks, counted: dict[str, LayerCounts]) -> dict[str, str]:
    idle = [path for path in hooks.layers if not any(n == path or n.startswith(f"{path}.") for n in counted)]
    return dict.fromkeys(idle, "it never ran") | {n: why for n, why in ledger.not_counted.items() if n not in idle}


def _weighted(ledger: Ledger) -> dict[str, LayerCounts]:
    by_name: dict[str, list[Tally]] = {}
    for (name, *_), tally in ledger.weighted.items():
        by_name.setdefault(name, []).append(tally)
    return {name: _layer(tallies, ledger.stored[name]) for name, tallies in by_name.items()}


def _layer(tallies: list[Tally], stored: Stored) -> LayerCounts:
    """Return one layer's counts over all shapes that it ran on."""
    weights, zero_weights = stored.read()
    totals = [tally.totals() for tally in tallies]
    by_step, by_sample = together([tally.apart for tally in tallies])
    return LayerCounts(
        rows=sum(t.rows for t in tallies),
        events=sum(events for events, _, _ in totals),
        ac=sum(ac for _, ac, _ in totals),
        mac=sum(mac for _, _, mac in totals),
        dense=sum(int(t.fan_N.sum()) * t.rows for t in tallies),
        weights=weights,
        zero_weights=zero_weights,
        by_step=by_step,
        by_sample=by_sample,
    )


def _first(table: Table | None) -> tuple[int, ...] | None:
    """Return the totals of what has one kind of them."""
    return None if table is None else tuple(row[0] for row in table)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _constant_buffers(model: nn.Module) -> list[Tensor]:
    """Return the buffers that are not neuron state."""
    state = {id(getattr(m, name)) for m in model.modules() for name in STATE.get(type(m), ())}
    return [b for b in model.buffers() if id(b) not in state]
