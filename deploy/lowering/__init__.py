"""Passes over a chip stage that several backends share."""
