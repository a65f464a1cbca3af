"""All examples, in the table's order."""

from __future__ import annotations

from spikeport.export.support.by_hand import by_hand_cases, feedback_cases
from spikeport.export.support.calls import call_cases
from spikeport.export.support.cases import Case
from spikeport.export.support.layers import layer_cases
from spikeport.export.support.neurons import neuron_cases

CASES: tuple[Case, ...] = (*neuron_cases(), *by_hand_cases(), *layer_cases(), *call_cases(), *feedback_cases())
