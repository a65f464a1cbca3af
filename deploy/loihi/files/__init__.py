"""A quantised network as files that Lava's users read: lava-dl's `.net`, and a Lava script with its integers."""
