"""The blocks that `results.json` is made of; `results.py` puts them together."""

from spikeport.benchmarks.blocks.agreement import Agreement, Divergence, NodeAgreement
from spikeport.benchmarks.blocks.base import Block, unexplained
from spikeport.benchmarks.blocks.counts import (
    Counts,
    Crossing,
    DenseNode,
    Footprint,
    NeuronNode,
    Node,
    NotCounted,
    PerSample,
    Stage,
    SynapseNode,
    Totals,
)
from spikeport.benchmarks.blocks.discrimination import Discrimination, Embeddings, Plane
from spikeport.benchmarks.blocks.energy import (
    EnergyComparison,
    EnergyEstimate,
    Measured,
    PublishedThreshold,
    VariantComparison,
)
from spikeport.benchmarks.blocks.example import Example, Heatmap, Raster, Trace
from spikeport.benchmarks.blocks.scores import Accuracy, Answers, Dataset, Difference, Timing

__all__ = [
    "Accuracy",
    "Agreement",
    "Answers",
    "Block",
    "Counts",
    "Crossing",
    "Dataset",
    "DenseNode",
    "Difference",
    "Discrimination",
    "Divergence",
    "Embeddings",
    "EnergyComparison",
    "EnergyEstimate",
    "Example",
    "Footprint",
    "Heatmap",
    "Measured",
    "NeuronNode",
    "Node",
    "NodeAgreement",
    "NotCounted",
    "PerSample",
    "Plane",
    "PublishedThreshold",
    "Raster",
    "Stage",
    "SynapseNode",
    "Timing",
    "Totals",
    "Trace",
    "VariantComparison",
    "unexplained",
]
