"""From snnTorch to a NIR bundle: conversion, the reference interpreter, the audit.

The package can be called: `spikeport.export(net, sample, dt_s)`.
"""

from spikeport.callable_package import make_callable

make_callable(__name__, "spikeport.export.call:export")
