"""Counting, energy models, the results schema and reports. Importing this package imports nothing heavy."""
