"""Datasets, encodings, recipes, the training loop and the runs it leaves. Importing this imports no torch."""
