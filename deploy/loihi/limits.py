"""Ranges of Loihi's integer LIF and synapses, as Lava 0.10.0 documents them (lava.proc.lif, lava.proc.dense).

    u = trunc(u (4096 - (du + 1)) / 4096) + (a << 6)
    v = trunc(v (4096 - dv) / 4096) + u + (bias_mant << bias_exp)
    s = v > (vth_mant << 6), then v = 0;     a = (sum of W s) << weight_exp

trunc is towards 0; u and v are 24-bit. Signed 8-bit weights are even: the last bit is the sign's.
"""

DECAY_ONE = 4096
DU_NONE = 4095
DECAY_MAX = 4095

WEIGHT_BITS = 8
WEIGHT_EXP_MIN = -8
WEIGHT_EXP_MAX = 7

ALIGN = 64
"""Synaptic input and threshold are shifted left by 6 bits against v."""

VTH_MANT_MAX = 2**17 - 1
STATE_MAX = 2**23 - 1
BIAS_MANT_MAX = 2**12 - 1
BIAS_EXP_MAX = 7

PAYLOAD_MAX = 2**15 - 1
"""The most that an input's integers may be; Loihi 2 carries up to 32 bits, and sums have to stay within 24."""
