"""The support table is the code's own, and every layer, neuron and call that the code knows is in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import snntorch
import torch.nn.functional as F
from torch import nn

from spikeport.errors import SpikeportError
from spikeport.export.convert.catalogue import converters, functions
from spikeport.export.convert.stepping import StepCell
from spikeport.export.convert.trace import StepTracer
from spikeport.export.drafts import Drafts, HostDraft
from spikeport.export.sides import HOST_CALLS, HOST_LAYERS
from spikeport.export.support import CASES, Case, Row
from spikeport.export.support.page import COMMAND, page
from spikeport.export.support.table import drafted, merged, row, row_of

# torch.fx does not record these: it looks into them.
UNRECORDED = {F.tanh, F.sigmoid}
PAGE = Path(__file__).parents[2] / "docs" / "support.md"
OUTCOMES: dict[Case, tuple[Row, Drafts | None]] = {}


def outcome(case: Case) -> tuple[Row, Drafts | None]:
    """Export a case once for all tests."""
    if case not in OUTCOMES:
        try:
            result: Drafts | SpikeportError = drafted(case)
        except SpikeportError as error:
            result = error
        OUTCOMES[case] = (row_of(case, result), None if isinstance(result, SpikeportError) else result)
    return OUTCOMES[case]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.subject}-{case.setting}")
def test_every_case_is_audited_or_refused_with_advice(case: Case) -> None:
    found, drafts = outcome(case)
    if drafts is None:
        assert found.verdict == "refused"
        assert all(found.notes)
        return
    audits = [chip.agreement for chip in drafts.chips]
    assert all(audit is not None and audit.exact for audit in audits)
    assert any(node.spikes_reference for audit in audits if audit for node in audit.per_node.values())


def onnx_form(case: Case, folder: Path) -> int:
    """Write the host stages of a case, each held against torch; return their number."""
    drafts = outcome(case)[1]
    hosts = [stage for stage in drafts.stages if isinstance(stage, HostDraft)] if drafts else []
    for i, stage in enumerate(hosts):
        stage.write(folder, i)
    return len(hosts)


@pytest.mark.parametrize("subject", ["LayerNorm", "matrix product"])
def test_a_host_stage_is_held_against_torch(subject: str, tmp_path: Path) -> None:
    assert onnx_form(next(case for case in CASES if case.subject == subject), tmp_path) == 1


@pytest.mark.slow
def test_every_host_stage_is_held_against_torch(tmp_path: Path) -> None:
    hosted = 0
    for i, case in enumerate(CASES):
        (tmp_path / str(i)).mkdir()
        hosted += onnx_form(case, tmp_path / str(i)) > 0
    assert hosted > 50


def test_the_page_is_what_the_code_does() -> None:
    expected = page(merged(outcome(case)[0] for case in CASES))
    assert PAGE.read_text(encoding="utf-8") == expected, f"docs/support.md is out of date: run `{COMMAND}`"


def test_every_layer_that_the_code_knows_has_a_case() -> None:
    shown: set[type[nn.Module]] = set()
    for case in CASES:
        shown |= {type(m) for m in case.model().modules()}
    ours = {kind for kind in converters if issubclass(kind, StepCell)}
    assert {*converters, *HOST_LAYERS} - ours - shown == set()


def test_every_neuron_of_snntorch_has_a_case() -> None:
    subjects = {case.subject for case in CASES}
    kinds = [k for k in vars(snntorch).values() if isinstance(k, type) and issubclass(k, nn.Module)]
    abstract = {"SpikingNeuron", "LIF"}
    assert {k.__name__ for k in kinds} - abstract - subjects == set()
    assert {"BatchNormTT1d", "BatchNormTT2d"} <= subjects


def test_every_call_that_the_code_knows_has_a_case() -> None:
    shown = set()
    for case in CASES:
        if case.group == "Calls":
            graph = StepTracer().trace(case.model())
            shown |= {n.target for n in graph.nodes if n.op in ("call_function", "call_method")}
    assert {*functions, *HOST_CALLS} - shown == UNRECORDED


def test_a_name_is_given_once() -> None:
    names = [(case.group, case.subject, case.setting) for case in CASES]
    assert len(set(names)) == len(names)


def test_rows_that_differ_in_their_setting_only_are_one() -> None:
    cases = [case for case in CASES if case.subject == "Leaky" and case.setting.startswith("`zero`")]
    (one,) = merged(row(case) for case in cases)
    assert (one.verdict, one.nodes, len(one.settings)) == ("exact", ("LIF",), 2)
