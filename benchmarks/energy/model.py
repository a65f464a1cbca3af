"""The format of an energy model's YAML file."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spikeport.errors import ArtefactError, UnfaithfulError

Picojoules = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Memory(_File):
    """On-chip memory.

    Attributes:
        sram_bytes: sizes of memories whose access cost is known, ascending.
        sram_pj: the cost of reading or writing one word in each; linear between, constant below the first.
        word_bytes: size of a weight, potential, activation or event.
        fifo_words: words in an event queue.
        address_add_pj: an addition that computes an address.
        address_mac_pj: a multiply-accumulate that computes one.
    """

    sram_bytes: tuple[Positive, ...] = Field(min_length=1)
    sram_pj: tuple[Picojoules, ...]
    word_bytes: Annotated[int, Field(gt=0)]
    fifo_words: Annotated[int, Field(gt=0)]
    address_add_pj: Picojoules
    address_mac_pj: Picojoules

    @model_validator(mode="after")
    def _table(self) -> Memory:
        if len(self.sram_bytes) != len(self.sram_pj):
            raise ValueError("sram_bytes and sram_pj differ in length")
        if list(self.sram_bytes) != sorted(set(self.sram_bytes)):
            raise ValueError("sram_bytes do not ascend")
        return self

    def access_pj(self, words: int) -> float:
        """Return the cost of one access in a memory of `words` words.

        Raises:
            UnfaithfulError: the memory is larger than the table reaches.
        """
        size = words * self.word_bytes
        if size > self.sram_bytes[-1]:
            raise UnfaithfulError(
                f"a buffer of {size} bytes",
                f"the model's memory table ends at {self.sram_bytes[-1]:.0f} bytes",
                "Use a model with off-chip memory",
            )
        points = list(zip(self.sram_bytes, self.sram_pj, strict=True))
        if size <= points[0][0]:
            return points[0][1]
        (b0, e0), (b1, e1) = next(pair for pair in pairwise(points) if size <= pair[1][0])
        return e0 + (e1 - e0) * (size - b0) / (b1 - b0)


class Variant(_File):
    """One set of constants.

    Attributes:
        ac_pj: an accumulate.
        mac_pj: a multiply-accumulate.
        update_pj: stepping one neuron; null where the model leaves it out.
        memory: null where the model leaves it out.
    """

    name: Text
    note: str = ""
    ac_pj: Picojoules
    mac_pj: Picojoules
    update_pj: Picojoules | None = None
    memory: Memory | None = None


class EnergyModel(_File):
    """Constants with their source, and what they leave out.

    Attributes:
        name: equals the file's stem.
        title: a few words for a chart's axis.
        assumes: completes "Assuming that ...".
        technology: process, voltage, number format.
        citation: where the constants are published.
        confidence: how sure the constants are.
        leaves_out: what no constant covers.
        nominal: the variant that `per_sample_pj` is.
        variants: the sets of constants that span the range.
    """

    name: Text
    title: Text
    assumes: Text
    technology: Text
    citation: Text
    confidence: Text
    leaves_out: tuple[Text, ...] = Field(min_length=1)
    nominal: Text
    variants: tuple[Variant, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names(self) -> EnergyModel:
        names = [variant.name for variant in self.variants]
        if len(set(names)) != len(names):
            raise ValueError(f"variants are named twice: {names}")
        if self.nominal not in names:
            raise ValueError(f"nominal '{self.nominal}' is none of the variants {names}")
        return self


def read_model(path: Path) -> EnergyModel:
    """Read and check a model file.

    Raises:
        ArtefactError: it is missing, no YAML, or not a model; the message names the key.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        model = EnergyModel.model_validate(content)
    except (OSError, UnicodeDecodeError) as error:
        raise ArtefactError(str(path), f"it cannot be read ({error})", "Check the path") from None
    except yaml.YAMLError as error:
        reason = "it is not YAML: " + " ".join(str(error).split())
        raise ArtefactError(str(path), reason, "Mend the file") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "model"
        raise ArtefactError(f"{path}, {where}", first["msg"], "See benchmarks/energy for examples") from None
    if model.name != path.stem:
        raise ArtefactError(str(path), f"it calls itself '{model.name}'", f"Name it {path.stem}")
    return model
