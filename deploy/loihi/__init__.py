"""Loihi: integer parameters for a lowered stage, independent of what runs them."""
