"""What both sides of suite `training` run: the timing and a training step; and the peer's own worker."""
