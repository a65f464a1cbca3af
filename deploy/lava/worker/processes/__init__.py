"""Lava processes of our own. Lava imports every file of this folder, so nothing else may stand here."""
