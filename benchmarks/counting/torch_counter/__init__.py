"""Exact counts of any torch or snnTorch model while it runs.

```python
with SpikeCounter(model) as counter:
    for x in loader:
        counter.start(len(x))  # resets every neuron below the model
        model(x)
counts = counter.counts()
```

A *synaptic operation* is one weight applied to one non-zero element: an accumulate (AC) where the element is exactly
1 or -1, a multiply-accumulate (MAC) where it is graded. A layer's total is the inner product of how often each input
element was non-zero and its fan-out, a map computed once per input shape; borders, strides, groups, dilation and
padding are in the map. A product of two activations (attention) costs one operation where both factors are non-zero:
an AC where one of them is exactly 1 or -1. Totals are integers and depend on neither batch nor order.

The maps are kept on the model's device and read once, in `counts()`. Whatever runs and is in no figure is listed by
name in `not_counted`.
"""

from spikeport.benchmarks.counting.torch_counter.counter import SpikeCounter
from spikeport.benchmarks.counting.torch_counter.result import LayerCounts, ModelCounts, NeuronCounts

__all__ = ["LayerCounts", "ModelCounts", "NeuronCounts", "SpikeCounter"]
