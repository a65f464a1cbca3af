"""`--require-coverage X`: a gate on what the samples exercised."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spikeport.benchmarks.results import Results
    from spikeport.export.coverage import Coverage


def lacks(where: str, coverage: Coverage | None, share: float | None) -> bool:
    """Return whether less than `share` of a node was exercised, and name every such node."""
    if share is None or coverage is None:
        return False
    below = coverage.below(share)
    for name, node in below.items():
        print(f"coverage: {where}: {name} is {node.told()}: less than {share:g}", file=sys.stderr)
    return bool(below)


def rows_lack(results: Results, share: float | None) -> bool:
    """Return whether a row that was audited lacks coverage, or none was audited: missing is not met."""
    if share is None:
        return False
    audited = [row for row in results.rows if row.coverage is not None and not row.swept]
    if not audited:
        print("coverage: no row was held against the reference, so nothing is covered", file=sys.stderr)
    # Each is asked, since asking names the nodes.
    lacking = [row for row in audited if lacks(row.id, row.coverage, share)]
    return not audited or bool(lacking)
