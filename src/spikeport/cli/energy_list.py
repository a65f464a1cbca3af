"""`spikeport list energy-models`: what each model prices, in which unit, and how sure its constants are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spikeport.benchmarks.energy.model import EnergyModel

_PRICES = {"both": "ANNs and spiking networks", "spiking": "spiking networks only"}


def energy_models(as_json: bool) -> int:
    """Print every energy model that comes with spikeport."""
    from spikeport.benchmarks.energy import load_all

    found = load_all()
    if as_json:
        print(json.dumps([_told(model) for model in found], indent=2))
        return 0
    width = max(len(model.name) for model in found)
    for model in found:
        print(f"{model.name:<{width}}  {model.title}; {model.technology}")
        for line in _lines(model):
            print(f"{'':<{width}}    {line}")
    return 0


def _told(model: EnergyModel) -> dict[str, object]:
    fields = ("name", "title", "technology", "prices", "confidence", "citation", "none_published")
    told = {field: getattr(model, field) for field in fields}
    return told | {"unit": _unit(model), "variants": [variant.name for variant in model.variants]}


def _lines(model: EnergyModel) -> tuple[str, ...]:
    if model.none_published:
        return (f"none published: {model.none_published}",)
    return (f"{_unit(model)}, for {_PRICES[model.prices]}", f"confidence: {model.confidence}")


def _unit(model: EnergyModel) -> str | None:
    """Return the unit of what the model gives, `None` where it gives nothing."""
    if model.none_published:
        return None
    return "spikes per synapse and inference" if model.thresholds else "pJ per operation"
