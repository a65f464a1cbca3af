"""Occupancies for readers and for programs: a Markdown table, one a layer, and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from spikeport.benchmarks.occupancy.bounds import LIMITS, Bound, bound
from spikeport.benchmarks.occupancy.needs import LayerNeed, needs_of
from spikeport.benchmarks.occupancy.structure import Structure
from spikeport.benchmarks.report import markdown
from spikeport.benchmarks.report.tables import Table
from spikeport.deploy.loihi.mapper.chip import Chip
from spikeport.deploy.loihi.mapper.show import NAMES

SHARED_KERNELS = {
    "loihi2": "inferred: in Intel's compiler logs (lava-dl tutorial notebooks) words of convolutions grow by kernel "
    "row, not by synapse; no rule is published, so each kernel is counted once, whatever cores need copies of it"
}
"""By chip: why it is taken to share the kernels of convolutions."""

NOT_SHARED = "no source at hand says how it stores shared kernels"
GRADED = "its inputs are real values, and a spike of this chip carries 1: encode them, or leave the first layer outside"
ASSUMPTIONS = (
    "cores are a lower bound: no placement takes fewer, and most take more",
    "weights that differ take 8 bits, those that are all alike the narrowest width; none rounds to 0",
    "the chip stage alone: readout and L2 layer are the host's",
)


@dataclass(frozen=True)
class Occupancy:
    """A network on a chip.

    Attributes:
        case: its name.
        title: of the network.
        chip: where.
        needs: by layer.
        unrolled: bounds with every synapse stored.
        shared: bounds with shared kernels; `None` where the chip is not known to have them.
        graded: whether inputs are real values.
    """

    case: str
    title: str
    chip: Chip
    needs: Mapping[str, LayerNeed]
    unrolled: Bound
    shared: Bound | None
    graded: bool

    @property
    def neurons(self) -> int:
        """Of all layers."""
        return sum(need.neurons for need in self.needs.values())

    @property
    def synapses(self) -> int:
        """Of all layers, unrolled."""
        return sum(need.synapses for need in self.needs.values())

    @property
    def note(self) -> str | None:
        """Why the chip cannot take the inputs; `None` where it can."""
        return GRADED if self.graded and self.chip.limits.payload.value == 1 else None


def occupancy(case: str, title: str, structure: Structure, graded: bool, chip: Chip) -> Occupancy:
    """Return the occupancy of one network on one chip."""
    needs = needs_of(structure, chip)
    shared = bound(needs, chip, shared_kernels=True) if chip.name in SHARED_KERNELS else None
    return Occupancy(case, title, chip, needs, bound(needs, chip), shared, graded)


def content(found: Sequence[Occupancy]) -> dict[str, object]:
    """Return everything, for JSON."""
    return {"assumptions": list(ASSUMPTIONS), "occupancies": [_block(one) for one in found]}


def _block(one: Occupancy) -> dict[str, object]:
    missing = {} if one.shared else {"shared_kernels": NOT_SHARED}
    limits = {limit: getattr(one.chip.limits, limit) for limit in LIMITS}
    missing |= {f"by_limit.{name}": limit.source for name, limit in limits.items() if limit.value is None}
    return {
        "case": one.case,
        "title": one.title,
        "chip": one.chip.name,
        "neurons": one.neurons,
        "synapses": one.synapses,
        "unrolled": asdict(one.unrolled),
        "shared_kernels": None if one.shared is None else asdict(one.shared),
        "shared_kernels_source": SHARED_KERNELS.get(one.chip.name),
        "input_note": one.note,
        "layers": {name: _layer(one, name) for name in one.needs},
        "limits": {name: asdict(limit) for name, limit in limits.items()},
        "memory": {"source": one.chip.memory.source, "mark": one.chip.memory.mark},
        "missing": missing,
    }


def _layer(one: Occupancy, name: str) -> dict[str, object]:
    need = one.needs[name]
    return {
        "neurons": need.neurons,
        "synapses": need.synapses,
        "fan_in": need.fan_in,
        "synapse_words": need.words,
        "kernel_words": need.kernel_words if one.shared else None,
        "cores": one.unrolled.by_layer[name],
        "cores_shared_kernels": one.shared.by_layer[name] if one.shared else None,
    }


def table(found: Iterable[Occupancy]) -> str:
    """Return one row a network, chip and way to store convolutions."""
    head = ("network", "chip", "kernels", "neurons", "synapses", *(NAMES[limit] for limit in LIMITS))
    rows = []
    for one in found:
        for kernels, b in (("unrolled", one.unrolled), ("shared (inferred)", one.shared)):
            if b is not None:
                size = (one.title, one.chip.name, kernels, f"{one.neurons:,}", f"{one.synapses:,}")
                rows.append((*size, *(_told(b.by_limit[limit]) for limit in LIMITS), *_verdict(b)))
    head += ("cores, at least", "chips", "breaks first on one chip")
    return markdown.table(Table(head, tuple(rows), len(head)))


def _verdict(b: Bound) -> tuple[str, str, str]:
    cores = f"{b.cores:,} ({NAMES[b.binding]})"
    if b.breach is None:
        return cores, f"{b.chips}", "nothing by these bounds"
    over = f"{b.breach.needed:,} of {b.breach.available:,}"
    return cores, f"{b.chips:,}", f"{NAMES.get(b.breach.limit, b.breach.limit)} at `{b.breach.layer}`: {over}"


def layer_table(one: Occupancy) -> str:
    """Return one row a layer."""
    head = ("layer", "neurons", "synapses", "fan-in", "words", "cores, at least", "with shared kernels")
    rows = tuple(
        (
            f"`{name}`", f"{need.neurons:,}", f"{need.synapses:,}", f"{need.fan_in:,}", f"{need.words:,}",
            f"{one.unrolled.by_layer[name]:,}", _told(one.shared.by_layer[name] if one.shared else None),
        )
        for name, need in one.needs.items()
    )  # fmt: skip
    return markdown.table(Table(head, rows, len(head)))


def _told(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
