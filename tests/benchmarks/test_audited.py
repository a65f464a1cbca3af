"""What a row's audits make of it: declared rounding is `quantised`, any other difference a `mismatch`."""

from __future__ import annotations

import pytest

from spikeport.benchmarks.audited import audit_verdict
from spikeport.export.audit import Agreement, Difference, NodeAgreement


def agreement(mismatches: int) -> Agreement:
    node = NodeAgreement(True, 100, 0, mismatches, 0, 50, 50, 50 - mismatches)
    first = Difference(3, 0, "lif", (1,), 0.5) if mismatches else None
    return Agreement({"lif": node}, {"lif": 0}, [], first)


@pytest.mark.parametrize(
    ("mismatches", "quantised", "status", "reason"),
    [
        ((0, 0), (), "ok", None),
        ((0, 0), ("a", "b"), "ok", None),
        ((0, 7), ("a", "b"), "quantised", "7 of 100 entries"),
        ((0, 7), ("b",), "quantised", "7 of 100 entries"),
        ((0, 7), (), "mismatch", "first at step 3"),
        ((9, 7), ("a",), "mismatch", "7 of 100 entries differ beyond rounding"),
        ((9, 7), ("a", "b"), "quantised", "9 of 100 entries"),
    ],
)
def test_a_stage_that_claims_to_be_exact_is_held_to_it(mismatches, quantised, status, reason) -> None:
    found, why = audit_verdict(dict(zip("ab", map(agreement, mismatches), strict=True)), quantised)
    assert found == status
    assert why is None if reason is None else reason in why
