"""A forward that holds the loop over time, as snnTorch's tutorials write it.

`recorder` runs it for real and writes down what is called, `fold` finds the step in it, `network` makes the stages.
"""
