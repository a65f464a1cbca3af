"""The audits of a network's chip stages as a row tells them: one block, a status and a reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from spikeport.benchmarks import blocks
from spikeport.benchmarks.results import Status
from spikeport.export.audit import Agreement
from spikeport.export.verify import describe


def agreement_block(agreements: Mapping[str, Agreement]) -> blocks.Agreement:
    """Return the audits of all chip stages as one block; nodes of several stages get their stage's name."""
    several = len(agreements) > 1
    nodes: dict[str, blocks.NodeAgreement] = {}
    latency: dict[str, int] = {}
    firsts = [a.first_divergence for a in agreements.values() if a.first_divergence]
    for stage, agreement in agreements.items():
        prefix = f"{stage}." if several else ""
        latency |= {prefix + n: steps for n, steps in agreement.latency_steps.items()}
        for name, node in agreement.per_node.items():
            nodes[prefix + name] = blocks.NodeAgreement(
                spikes=1 - (node.mismatches + node.ties) / node.entries,
                jaccard=node.jaccard,
                mismatches=node.mismatches,
                ties=node.ties,
                spikes_reference=node.spikes_reference,
                spikes_backend=node.spikes_backend,
            )
    first = min(firsts) if firsts else None
    worst = min(agreements.values(), key=lambda agreement: agreement.jaccard)
    return blocks.Agreement(
        exact=all(agreement.exact for agreement in agreements.values()),
        ties=sum(agreement.ties for agreement in agreements.values()),
        spikes=min(agreement.equal_spikes for agreement in agreements.values()),
        jaccard=worst.jaccard,
        latency_steps=latency,
        first_divergence=None
        if first is None
        else blocks.Divergence(node=first.node, step=first.step, neuron=first.neuron, margin=first.margin),
        per_node=nodes,
    )


def audit_verdict(agreements: Mapping[str, Agreement], quantised: Collection[str]) -> tuple[Status, str | None]:
    """Return the status that the audits give a row, and why; the stages `quantised` differ by declaration."""
    differing = {stage: agreement for stage, agreement in agreements.items() if not agreement.exact}
    undeclared = [agreement for stage, agreement in differing.items() if stage not in quantised]
    if undeclared:
        return "mismatch", describe(min(undeclared, key=lambda agreement: agreement.jaccard))
    if not differing:
        return "ok", None
    worst = min(differing.values(), key=lambda agreement: agreement.jaccard)
    share = f"{worst.mismatches} of {worst.entries} entries"
    return "quantised", f"parameters are rounded to integers, so it differs from the float network, in {share}"
