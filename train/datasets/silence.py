"""What counts as silence, for every dataset of sounds.

Shape suffixes: S samples of sound.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikeport.errors import ArtefactError

# -80 dB of full scale: below it, a 16-bit file holds its last bits only, and levels relative to the loudest would
# make them as loud as any other sound.
SILENT_PEAK = 1e-4


def refuse_silence(subject: str, sound_S: NDArray[np.float32], fix: str) -> None:
    """Refuse a sound, of full scale 1, that stays within `SILENT_PEAK` of its mean; a constant one is silent, too.

    Raises:
        ArtefactError: it does.
    """
    peak = float(np.abs(sound_S - sound_S.mean()).max())
    if peak < SILENT_PEAK:
        reason = f"it is silent: it stays within {peak:.1g} of its mean, of full scale 1, and {SILENT_PEAK:g} is sound"
        raise ArtefactError(subject, reason, fix)
