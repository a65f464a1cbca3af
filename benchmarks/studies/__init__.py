"""Studies: variants of one recipe, trained over seeds and scored on the same test samples, as one resumable table."""
