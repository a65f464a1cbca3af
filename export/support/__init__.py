"""What each layer, neuron and call of a model becomes, found by exporting a small example of each.

`rows()` computes the table; `python -m spikeport.export.support docs/support.md` writes it as a page.
"""

from spikeport.export.support.cases import Case
from spikeport.export.support.examples import CASES
from spikeport.export.support.table import Row, rows

__all__ = ["CASES", "Case", "Row", "rows"]
