"""L2-ActSpikeNet: a spiking ResNet and a spiking audio net whose embeddings lie on a sphere, and their fusion."""
