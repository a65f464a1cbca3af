"""Back: from a chip graph to a trainable snnTorch network, the inverse of `export.convert`.

`to_snntorch(graph)` returns the module; `imported(graph)` returns it as a `Conversion`, so that
`export.verify.verify` holds it against the graph as it holds an export. What snnTorch has no form for is refused.
"""

from spikeport.export.back.network import imported, to_snntorch

__all__ = ["imported", "to_snntorch"]
