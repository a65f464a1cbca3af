"""What a chip's core holds: `chips.yaml`, or a file of the same form, as a frozen dataclass."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from spikeport.errors import ArtefactError, UsageError, did_you_mean

CHIPS = Path(__file__).parent / "chips.yaml"

Mark = Literal["published", "inferred", "from memory"]
Whole = Annotated[int, Field(ge=1)]
Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class Limit:
    """One limit: `value` is `None` where none is published."""

    value: Whole | None
    unit: str
    source: str
    mark: Mark


@dataclass(frozen=True, config=_STRICT)
class Limits:
    """What one core holds, and one chip.

    Attributes:
        cores: on a chip.
        compartments: a neuron that resets to zero is one.
        in_axons: distinct source neurons whose spikes reach the core.
        out_axons: pairs of a neuron on the core and a core that its spikes go to.
        synapse_words: words of synaptic memory.
        weight_bits: of the widest weight.
        delay_steps: the longest wait of a connection.
        payload: the largest value that a spike carries.
        populations: whose neurons may share the core; where `Settings` are counted, their settings.
        formats: pairs of weight width and exponent that may share it.
    """

    cores: Limit
    compartments: Limit
    in_axons: Limit
    out_axons: Limit
    synapse_words: Limit
    weight_bits: Limit
    delay_steps: Limit
    payload: Limit
    populations: Limit
    formats: Limit


@dataclass(frozen=True, config=_STRICT)
class Reset:
    """What a neuron takes that does not reset to zero.

    Attributes:
        compartments: of one neuron.
        compartments_with_current: the same where it has a synaptic current, du below 4095.
        feedback: whether it needs a synapse to itself.
    """

    compartments: Whole
    compartments_with_current: Whole
    feedback: bool
    source: str
    mark: Mark


@dataclass(frozen=True, config=_STRICT)
class Resets:
    """What neurons take that reset by subtraction, and that have no reset; see `resets.py`."""

    subtract: Reset
    none: Reset


@dataclass(frozen=True, config=_STRICT)
class Settings:
    """What neurons of one population take whose decays or thresholds differ; see `settings.py`.

    Attributes:
        counted: whether each distinct setting counts as one of `populations`; else they cost nothing.
    """

    counted: bool
    source: str
    mark: Mark


@dataclass(frozen=True, config=_STRICT)
class Memory:
    """How synapses are stored: for each source neuron a list, in blocks that start at a word.

    Attributes:
        word_bits: of a word.
        header_bits: of a block.
        index_bits: of a synapse, beside weight and delay.
        synapses_per_block: at most; `None` for any number.
        weight_widths: that exist, ascending; a weight takes the next one.
    """

    word_bits: Whole
    header_bits: int
    index_bits: int
    synapses_per_block: Whole | None
    weight_widths: tuple[Whole, ...]
    mark: Mark
    source: str

    def words(self, synapses: int, synapse_bits: int) -> int:
        """Return the words of one list."""
        block = self.synapses_per_block or max(synapses, 1)
        full, rest = divmod(synapses, block)
        return full * self._block(block, synapse_bits) + (self._block(rest, synapse_bits) if rest else 0)

    def _block(self, synapses: int, synapse_bits: int) -> int:
        return -(-(synapses * synapse_bits + self.header_bits) // self.word_bits)


@dataclass(frozen=True, config=_STRICT)
class Mesh:
    """Where cores lie: `cores_per_tile` after each other in a tile, tiles filled column by column, as SANA-FE does."""

    columns: Whole
    rows: Whole
    cores_per_tile: Whole
    mark: Mark
    source: str


@dataclass(frozen=True, config=_STRICT)
class Times:
    """Nanoseconds of one event, and the least and the longest barrier that ends a step."""

    synop_ns: Cost
    update_active_ns: Cost
    update_inactive_ns: Cost
    barrier_low_ns: Cost
    barrier_high_ns: Cost


@dataclass(frozen=True, config=_STRICT)
class Costs:
    """One set of published constants.

    Attributes:
        synop_pj: a synaptic operation.
        update_active_pj: a neuron in one step, where it has something to do.
        update_inactive_pj: where it has not.
        spike_pj: a neuron that fires.
        message_pj: a spike sent to one core.
        hop_x_pj: from one tile to the next, east or west.
        hop_y_pj: north or south.
        times: `None` where this source has none.
    """

    name: str
    mark: Mark
    source: str
    synop_pj: Cost
    update_active_pj: Cost
    update_inactive_pj: Cost
    spike_pj: Cost
    message_pj: Cost
    hop_x_pj: Cost
    hop_y_pj: Cost
    times: Times | None = None


@dataclass(frozen=True, config=_STRICT)
class Chip:
    """A chip.

    Attributes:
        title: for readers.
        limits: of a core and of the chip.
        resets: what neurons take that do not reset to zero.
        settings: what neurons take that differ within a population.
        memory: how synapses are stored.
        mesh: where cores lie.
        costs: sets of constants, the nominal one first; empty where none is published.
        no_costs: why there are none.
        no_times: why none of them has times.
        name: in `chips.yaml`.
    """

    title: str
    limits: Limits
    resets: Resets
    settings: Settings
    memory: Memory
    mesh: Mesh
    costs: tuple[Costs, ...]
    no_costs: str | None = None
    no_times: str | None = None
    name: str = field(default="")

    def __post_init__(self) -> None:
        if bool(self.costs) == bool(self.no_costs):
            raise ValueError("a chip has either costs or the reason for none in 'no_costs'")
        if any(c.times for c in self.costs) == bool(self.no_times):
            raise ValueError("a chip has either times or the reason for none in 'no_times'")
        room = self.mesh.columns * self.mesh.rows * self.mesh.cores_per_tile
        if self.limits.cores.value is None or room < self.limits.cores.value:
            raise ValueError(f"the mesh has room for {room} cores, fewer than 'cores'")

    @property
    def cores(self) -> int:
        """Cores on one chip."""
        assert self.limits.cores.value is not None
        return self.limits.cores.value


def available() -> tuple[str, ...]:
    """Return the names of the chips that come with spikeport."""
    return tuple(_read(CHIPS))


def load(name: str | Path) -> Chip:
    """Return the chip called `name`, or the one in the YAML file at that path.

    Raises:
        UsageError: there is no such chip.
        ArtefactError: the file does not describe one chip.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        chips = _read(path)
        if len(chips) != 1:
            raise ArtefactError(str(path), f"it describes {len(chips)} chips", "Give a file with one")
        return next(iter(chips.values()))
    chips = _read(CHIPS)
    if str(name) not in chips:
        raise UsageError(
            f"chip '{name}'", "there is no such chip", did_you_mean(str(name), chips) + "; or a .yaml file"
        )
    return chips[str(name)]


def _read(path: Path) -> dict[str, Chip]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        described = TypeAdapter(dict[str, dict[str, object]]).validate_python(content)
        return {name: TypeAdapter(Chip).validate_python({**chip, "name": name}) for name, chip in described.items()}
    except (OSError, UnicodeDecodeError) as error:
        raise ArtefactError(str(path), f"it cannot be read ({error})", "Check the path") from None
    except yaml.YAMLError as error:
        raise ArtefactError(str(path), "it is not YAML: " + " ".join(str(error).split()), "Mend the file") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "chip"
        raise ArtefactError(f"{path}, {where}", first["msg"], "See deploy/loihi/mapper/chips.yaml") from None
