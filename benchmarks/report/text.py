"""Figures as people read them. An unknown figure is "-", never 0."""

from __future__ import annotations

from collections.abc import Sequence

from spikeport.benchmarks.blocks import Accuracy, Agreement, EnergyEstimate, Timing
from spikeport.export.coverage import Coverage

UNKNOWN = "-"

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_ENERGY_UNITS = ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"), (1.0, "pJ"))


def amount(value: float | None) -> str:
    """Return a count with three significant digits: `402k`, `1.26M`."""
    if value is None:
        return UNKNOWN
    # 0.9995 of a prefix already rounds up to it.
    for scale, prefix in _PREFIXES:
        if value >= 0.9995 * scale:
            return f"{_digits(value / scale)}{prefix}"
    return _digits(value)


def _digits(value: float) -> str:
    """Three significant digits without an exponent, for values below a thousand."""
    if value == 0 or value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.3g}"


def percent(fraction: float | None, digits: int = 1) -> str:
    """Return `98.1 %`."""
    return UNKNOWN if fraction is None else f"{100 * fraction:.{digits}f} %"


def accuracy(value: Accuracy | None) -> str:
    """Return `98.1 [97.0, 98.8]`, in percent."""
    if value is None:
        return UNKNOWN
    low, high = value.ci95
    return f"{100 * value.value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def agreement(value: Agreement | None) -> str:
    """Return `exact`, `exact, 3 ties`, or the fraction of equal spike entries."""
    if value is None:
        return UNKNOWN
    if value.exact:
        ties = "tie" if value.ties == 1 else "ties"
        return f"exact, {value.ties} {ties}" if value.ties else "exact"
    # Rounded down, so that what differs never reads as 100 %.
    return f"{int(value.spikes * 1e4) / 1e4:.4f}"


def coverage(value: Coverage | None) -> str:
    """Return the share of exercised neurons in the node that has the fewest: `87.5 %`."""
    return UNKNOWN if value is None or value.least is None else value.least.percent


def timing(value: Timing | None) -> str:
    """Return milliseconds a sample with the spread over the repeats: `3.5 [3.4, 3.9]`."""
    if value is None:
        return UNKNOWN
    middle = f"{value.ms_per_sample:.3g}"
    return middle if value.spread is None else f"{middle} [{value.spread[0]:.3g}, {value.spread[1]:.3g}]"


def picojoules(value: float | None) -> str:
    """Return an energy in a fitting unit: `71.1 nJ`."""
    if value is None:
        return UNKNOWN
    scale, unit = _unit(value)
    return f"{_digits(value / scale)} {unit}"


def joules(value: float) -> str:
    """Return a measured energy in a fitting unit; it may be negative, by chance."""
    return f"-{picojoules(-1e12 * value)}" if value < 0 else picojoules(1e12 * value)


def energy_range(estimate: EnergyEstimate | None) -> str:
    """Return `2.4-71 nJ`: the least and the most over a model's variants."""
    if estimate is None or estimate.low_pj is None or estimate.high_pj is None:
        return UNKNOWN
    scale, unit = _unit(estimate.high_pj)
    low, high = _digits(estimate.low_pj / scale), _digits(estimate.high_pj / scale)
    return f"{high} {unit}" if low == high else f"{low}-{high} {unit}"


def _unit(value_pj: float) -> tuple[float, str]:
    return next((pair for pair in _ENERGY_UNITS if value_pj >= pair[0]), _ENERGY_UNITS[-1])


def ratio_range(ratios: Sequence[float]) -> str:
    """Return `0.29× to 11×`: two digits, since no energy model is better than that."""
    if not ratios:
        return UNKNOWN
    low, high = (f"{r:.2g}×" if r < 99.5 else f"{r:.0f}×" for r in (min(ratios), max(ratios)))
    return low if low == high else f"{low} to {high}"
