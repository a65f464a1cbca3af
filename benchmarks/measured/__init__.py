"""Joules read from a counter of the machine: NVIDIA GPUs through NVML, CPU packages through RAPL.

Where no counter can be read there is no figure, and the reason is said: never a guess from a rated power.
"""
