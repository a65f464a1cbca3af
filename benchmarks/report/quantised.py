"""What integers cost every layer, of the rows that quantise."""

from __future__ import annotations

from spikeport.benchmarks.report.tables import Table, labels
from spikeport.benchmarks.results import Results
from spikeport.deploy.loihi.losses import HEADER, cells

NOTE = (
    "weight error: root mean square, of the weights' own.  bias error: of the threshold.  saturated: share of the "
    "membranes held at 24 bits.  rate: spikes a neuron and step on the calibration samples."
)


def losses(results: Results) -> Table:
    """Return one line per row and layer."""
    label = labels(results)
    rows = [(label[row.id], *cells(name, layer)) for row in results.rows for name, layer in row.quantised.items()]
    return Table(("name", *HEADER), tuple(rows), text_columns=2)
