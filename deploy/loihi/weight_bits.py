"""How many bits the weights get: one number for all layers, others by layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from spikeport.deploy.loihi import limits
from spikeport.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class WeightBits:
    """Bits of a weight, sign included.

    Attributes:
        every: of all layers that are not named, 1 to 8.
        layers: by neuron node: of the synapses that end there.
    """

    every: int = limits.WEIGHT_BITS
    layers: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, bits in {"": self.every, **self.layers}.items():
            if not 1 <= bits <= limits.WEIGHT_BITS:
                where = f"weight bits {bits}{f' of layer {name!r}' if name else ''}"
                raise UsageError(where, "Loihi's weights have 1 to 8 bits", "Choose one of those")

    @classmethod
    def parse(cls, text: str) -> WeightBits:
        """Return the bits of `4`, `lif1=4,lif2=2` or `6,lif1=4`.

        Raises:
            UsageError: `text` is none of these.
        """
        every, layers = limits.WEIGHT_BITS, {}
        for part in text.split(","):
            name, equals, number = part.rpartition("=")
            if not number.strip().isdigit() or (equals and not name):
                raise UsageError(f"--weight-bits {text}", f"'{part}' is no number of bits", "Write 4, or 8,LAYER=4")
            if equals:
                layers[name.strip()] = int(number)
            else:
                every = int(number)
        return cls(every, layers)

    def of(self, names: Iterable[str]) -> dict[str, int]:
        """Return the bits of every layer in `names`.

        Raises:
            UsageError: a layer is named that is not there.
        """
        known = list(names)
        for name in self.layers:
            if name not in known:
                reason = "the network has no layer of neurons of this name"
                raise UsageError(f"weight bits of layer '{name}'", reason, did_you_mean(name, known))
        return {name: self.layers.get(name, self.every) for name in known}
