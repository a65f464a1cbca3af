"""spikeport: spiking networks out of snnTorch and onto neuromorphic backends, provably the same network."""

__version__ = "0.1.0"
