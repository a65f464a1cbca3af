"""The support table: each example is exported in memory and audited, and the outcome is its row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Literal

import nir

from spikeport.errors import SpikeportError, UsageError
from spikeport.export.convert.builder import UNUSED
from spikeport.export.drafts import Drafts, draft
from spikeport.export.support.cases import FRAME, Case

Verdict = Literal["exact", "exact after a rewrite", "host stage", "refused"]
DT_S = 1e-3
NO_CONVERTER = "it has no converter"


@dataclass(frozen=True)
class Row:
    """What became of an example.

    Attributes:
        group: the section of the table.
        subject: the layer, neuron or call.
        settings: in which forms.
        verdict: in a word.
        nodes: the NIR nodes that it became, without those of the frame around it.
        notes: the rewrites, or the reason and the nearest faithful choice.
    """

    group: str
    subject: str
    settings: tuple[str, ...]
    verdict: Verdict
    nodes: tuple[str, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Return the row as JSON has it."""
        return asdict(self)


def rows(cases: Iterable[Case]) -> list[Row]:
    """Export every case and return the table."""
    return merged([row(case) for case in cases])


def merged(single: Iterable[Row]) -> list[Row]:
    """Let the settings of one subject that come out alike share a row; keep the subjects together."""
    settings: dict[tuple[str, str], dict[Row, list[str]]] = {}
    for one in single:
        alike = settings.setdefault((one.group, one.subject), {})
        alike.setdefault(replace(one, settings=()), []).extend(one.settings)
    return [replace(r, settings=tuple(forms)) for alike in settings.values() for r, forms in alike.items()]


def row(case: Case) -> Row:
    """Export one case in memory, audited on its sample, and tell what it became."""
    try:
        return row_of(case, drafted(case))
    except SpikeportError as error:
        return row_of(case, error)


def row_of(case: Case, result: Drafts | SpikeportError) -> Row:
    """Tell what became of a case from its stages, or from its refusal."""
    if isinstance(result, UsageError):
        return _row(case, "refused", (), (result.reason,))  # snnTorch or torch itself fails on it
    if isinstance(result, SpikeportError):
        # The advice is a list of every converter, which is this table.
        known = result.reason == NO_CONVERTER
        return _row(case, "refused", (), (result.reason,) if known else (result.reason, result.fix))
    notes = tuple(dict.fromkeys(_rewrites(result)))
    if len(result.chips) < len(result.stages):
        return _row(case, "host stage", (), notes)
    return _row(case, "exact after a rewrite" if notes else "exact", tuple(_nodes(result)), notes)


def drafted(case: Case) -> Drafts:
    """Export one case in memory.

    Raises:
        SpikeportError: it is refused.
    """
    return draft(case.model(), case.sample(), DT_S, None, check=True, feedback=dict(case.feedback))


def _row(case: Case, verdict: Verdict, nodes: tuple[str, ...], notes: tuple[str, ...]) -> Row:
    return Row(case.group, case.subject, (case.setting,), verdict, nodes, notes)


def _nodes(drafts: Drafts) -> Iterator[str]:
    for chip in drafts.chips:
        graph = chip.conversion.graph
        for name in graph.order:
            node = graph.nodes[name]
            if not isinstance(node, nir.Input | nir.Output) and name not in FRAME:
                yield type(node).__name__


def _rewrites(drafts: Drafts) -> Iterator[str]:
    for chip in drafts.chips:
        for rewrite in (r for r in chip.conversion.rewrites if r.what != UNUSED):
            yield rewrite.what if rewrite.bound == "exact" else f"{rewrite.what} ({rewrite.bound})"
