"""The two modalities of a network, each a side with an input of its own."""

from __future__ import annotations

from typing import Literal, Protocol

Side = Literal["audio", "visual"]


class SideParams(Protocol):
    """Parameters of a network of one or both sides."""

    @property
    def sides(self) -> tuple[Side, ...]:
        """The modalities that there are, in the order in which the network takes them."""
        ...

    def input_of(self, side: Side) -> str:
        """Return what the input of one modality is called."""
        ...


def input_names(params: SideParams) -> tuple[str, ...]:
    """Return the inputs that the network takes, in its order."""
    return tuple(params.input_of(side) for side in params.sides)
