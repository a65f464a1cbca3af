"""The placement on a chip: an occupancy table, and a picture of the cores."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

from spikeport.benchmarks.report import text
from spikeport.benchmarks.report.charts import Chart, base
from spikeport.benchmarks.report.tables import Table, labels
from spikeport.benchmarks.results import Results
from spikeport.deploy.loihi.mapper.blocks import ChipMapping, CoreBlock
from spikeport.deploy.loihi.mapper.show import NAMES, fullest

CHIPS_DRAWN = 8
CHIPS_ABREAST = 2
CELL_PX = 32
EMPTY = "var(--callout)"


@dataclass(frozen=True)
class Picture:
    """One mapping, drawn: `chart` is `None` where nothing could be placed."""

    title: str
    breach: str | None
    caption: str
    chart: Chart | None
    layers: Table
    limits: Table
    assumptions: tuple[str, ...]


def mappings(results: Results) -> list[tuple[str, ChipMapping]]:
    """Return every mapping with what to call it."""
    label = labels(results)
    return [(f"{label[row.id]} on {name}", mapping) for row in results.rows for name, mapping in row.mapping.items()]


def occupancy(results: Results) -> Table:
    """Return one line per mapping."""
    header = (
        "network",
        "fits",
        "cores",
        "fullest core",
        "crossing spikes",
        "spikes from outside",
        "energy, estimated",
        "step, estimated",
    )
    return Table(header, tuple((name, *_cells(mapping)) for name, mapping in mappings(results)), text_columns=2)


def _cells(mapping: ChipMapping) -> tuple[str, ...]:
    cores = f"{len(mapping.cores)} of {mapping.cores_per_chip}" if mapping.cores else text.UNKNOWN
    injected = None if mapping.traffic is None else sum(of.injected for of in mapping.traffic.values())
    energy = text.UNKNOWN
    if mapping.energy is not None:
        energy = f"{text.picojoules(mapping.energy.low_pj)} to {text.picojoules(mapping.energy.high_pj)}"
    step = text.UNKNOWN
    if mapping.time is not None:
        step = f"{mapping.time.low_ns / 1e3:.3g} to {mapping.time.high_ns / 1e3:.3g} µs"
    crossing = text.amount(mapping.crossing())
    fits = "yes" if mapping.fits else "no"
    return (fits, cores, fullest(mapping), crossing, text.amount(injected), energy, step)


def pictures(results: Results) -> list[Picture]:
    """Return every mapping, drawn."""
    return [_picture(name, mapping, i) for i, (name, mapping) in enumerate(mappings(results))]


def _picture(name: str, mapping: ChipMapping, index: int) -> Picture:
    numbers = {layer: i + 1 for i, layer in enumerate(_layers(mapping))}
    key = "; ".join(f"{i} {layer}" for layer, i in numbers.items())
    drawn = min(mapping.chips, CHIPS_DRAWN)
    caption = f"{name}: {mapping.title}, {len(mapping.cores)} of {mapping.cores_per_chip} cores. "
    if mapping.chips > 1:
        caption += f"It takes {mapping.chips} chips" + (f", {drawn} are drawn. " if drawn < mapping.chips else ". ")
    caption += (
        f"{text.amount(mapping.synapses)} synapses unrolled, {text.amount(mapping.weights)} weights in the graph. "
    )
    caption += f"A stronger colour is a fuller core, by the limit that is nearest; numbers are layers: {key}."
    return Picture(
        title=name,
        breach=mapping.breach.sentence if mapping.breach else None,
        caption=caption if mapping.cores else f"{name}: nothing could be placed.",
        chart=_chart(name, mapping, numbers, index) if mapping.cores else None,
        layers=_layer_table(mapping),
        limits=_limit_table(mapping),
        assumptions=(*mapping.assumptions, *_costs(mapping)),
    )


def _layers(mapping: ChipMapping) -> list[str]:
    return list(dict.fromkeys(layer for core in mapping.cores for layer in core.layers))


def _chart(name: str, mapping: ChipMapping, numbers: dict[str, int], index: int) -> Chart:
    places = {core: place_of(mapping, core) for core in range(min(mapping.chips, CHIPS_DRAWN) * mapping.cores_per_chip)}
    width = max(x for x, _ in places.values()) + 1
    height = max(y for _, y in places.values()) + 1
    blank = {"empty": None, "fill": None, "label": "", "hover": ""}
    grid: dict[str, list[list[Any]]] = {key: [[value] * width for _ in range(height)] for key, value in blank.items()}
    for core, (x, y) in places.items():
        grid["empty"][y][x] = 0
        if core < len(mapping.cores):
            block = mapping.cores[core]
            grid["fill"][y][x] = max(_fills(mapping, block).values())
            grid["label"][y][x] = ",".join(str(numbers[layer]) for layer in block.layers)
            grid["hover"][y][x] = _hover(mapping, block)
    cells = {"type": "heatmap", "showscale": False, "xgap": 2, "ygap": 2}
    data: list[dict[str, Any]] = [
        {**cells, "z": grid["empty"], "colorscale": [[0, EMPTY], [1, EMPTY]], "hoverinfo": "skip"},
        {
            **cells, "z": grid["fill"], "zmin": 0, "zmax": 1, "text": grid["label"], "customdata": grid["hover"],
            "colorscale": [[0, EMPTY], [1, "var(--snn)"]], "texttemplate": "%{text}",
            "hovertemplate": "%{customdata}<extra></extra>", "hoverongaps": False,
        },
    ]  # fmt: skip
    layout = base(height=40 + CELL_PX * height)
    layout["xaxis"] |= {"visible": False, "constrain": "domain"}
    layout["yaxis"] |= {"visible": False, "autorange": "reversed", "scaleanchor": "x", "constrain": "domain"}
    layout["margin"] |= {"b": 8}
    return Chart(f"chart-placement-{index}", _alt(name, mapping), data, layout)


def place_of(mapping: ChipMapping, core: int) -> tuple[int, int]:
    """Return column and row of a core: tiles as squares of cores, chips beside and below each other."""
    mesh, (chip, inside) = mapping.mesh, divmod(core, mapping.cores_per_chip)
    tile, at = divmod(inside, mesh.cores_per_tile)
    side = ceil(sqrt(mesh.cores_per_tile))
    deep = -(-mesh.cores_per_tile // side)
    x = tile // mesh.rows * side + at % side + chip % CHIPS_ABREAST * (mesh.columns * side + 1)
    y = tile % mesh.rows * deep + at // side + chip // CHIPS_ABREAST * (mesh.rows * deep + 1)
    return x, y


def _fills(mapping: ChipMapping, core: CoreBlock) -> dict[str, float]:
    limits = {name: mapping.limits[name].value for name in NAMES}
    return {name: core.usage[name] / value for name, value in limits.items() if value is not None}


def _hover(mapping: ChipMapping, core: CoreBlock) -> str:
    held = ", ".join(f"{neurons} of {layer}" for layer, neurons in core.layers.items())
    fills = "<br>".join(f"{NAMES[name]} {100 * fill:.0f} %" for name, fill in _fills(mapping, core).items())
    return f"core {core.core}: {held}<br>{core.usage['synapses']} synapses<br>{fills}"


def _alt(name: str, mapping: ChipMapping) -> str:
    where = "; ".join(f"{layer} on {', '.join(cores)}" for layer, cores, _ in _layer_rows(mapping))
    return f"Cores of {name}: {len(mapping.cores)} are used, fullest {fullest(mapping)}. {where}"


def _layer_rows(mapping: ChipMapping) -> list[tuple[str, list[str], int]]:
    """Return each layer with the runs of cores that hold it, and its neurons."""
    found = []
    for layer in _layers(mapping):
        cores = [core.core for core in mapping.cores if layer in core.layers]
        found.append((layer, _runs(cores), sum(core.layers.get(layer, 0) for core in mapping.cores)))
    return found


def _runs(cores: list[int]) -> list[str]:
    runs: list[list[int]] = []
    for core in cores:
        if runs and core == runs[-1][1] + 1:
            runs[-1][1] = core
        else:
            runs.append([core, core])
    return [f"core {a}" if a == b else f"cores {a} to {b}" for a, b in runs]


def _layer_table(mapping: ChipMapping) -> Table:
    rows = []
    for layer, cores, neurons in _layer_rows(mapping):
        of = None if mapping.traffic is None else mapping.traffic[layer]
        figures = (None, None, None) if of is None else (of.spikes, of.within, of.crossing)
        rows.append((layer, str(neurons), *(text.amount(f) for f in figures), ", ".join(cores)))
    header = ("layer", "neurons", "spikes", "messages within cores", "messages across", "where")
    return Table(header, tuple(rows))


def _limit_table(mapping: ChipMapping) -> Table:
    rows = [
        (
            name.replace("_", " "),
            text.UNKNOWN if limit.value is None else str(limit.value),
            limit.unit,
            limit.mark,
            limit.source,
        )
        for name, limit in mapping.limits.items()
    ]
    return Table(("limit", "value", "unit", "mark", "source, or the reason"), tuple(rows))


def _costs(mapping: ChipMapping) -> tuple[str, ...]:
    if mapping.energy is None:
        return (mapping.missing["energy"],)
    energy = mapping.energy
    return (
        *(f"energy, {energy.kind}: {source}" for source in energy.sources),
        *(f"energy leaves out {item}" for item in energy.leaves_out),
        *(f"time leaves out {item}" for item in (mapping.time.leaves_out if mapping.time else ())),
    )
