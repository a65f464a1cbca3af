"""What both sides of suite `counting` run: the networks and the timing; and the peers' own worker."""
