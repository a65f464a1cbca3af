"""What every block is made of: a frozen model that refuses unknown keys, NaN, and nulls without a reason."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class Block(BaseModel):
    """Base of all blocks: frozen; an unknown key, NaN or infinity is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def unexplained(block: Block, figures: tuple[str, ...], missing: dict[str, str]) -> None:
    """Raise `ValueError` where one of `figures` is null without a reason, or has both a value and a reason."""
    for name in figures:
        known = getattr(block, name) is not None
        if not known and not missing.get(name):
            raise ValueError(f"'{name}' is null without a reason in 'missing'")
        if known and name in missing:
            raise ValueError(f"'{name}' has a value and a reason for missing")
    if stray := set(missing) - set(figures):
        raise ValueError(f"'missing' explains {sorted(stray)}, which no figure is called")
