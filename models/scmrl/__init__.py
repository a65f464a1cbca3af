"""S-CMRL: cross-modal residual learning in an audio-visual spiking transformer, as published, corrected, for chips."""
