"""Before a bundle runs: is it what its own proof says? Replayed once for every content, then remembered.

What is remembered lies in the cache, beside the isolated environments: one small file, named by the bundle's hash
and the version of spikeport and of these rules. A cache that cannot be written or read costs a replay and no more.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import spikeport
from spikeport.deploy.isolated import cache_root
from spikeport.errors import ArtefactError
from spikeport.export.bundle import Bundle
from spikeport.export.proof import replay
from spikeport.files import new_file

log = logging.getLogger("spikeport")

RULES = 1
"""Counts up when what `replay` accepts changes."""


def prove(bundle: Bundle, progress: Callable[[str], None] = lambda _: None) -> None:
    """Hold `bundle` against its golden recording by `spikeport.export.proof`, unless that was done before.

    A bundle that was exported without verification claims nothing: how it compares is logged as a warning, each time.

    Args:
        bundle: opened.
        progress: told what runs, where something does.

    Raises:
        ArtefactError: stages and proof disagree; the message names the first node, step and sample. Or the proof is
            malformed.
    """
    differs = _remembered(bundle)
    if differs is None:
        found = replay(bundle, progress).disagreement
        differs = f"{found.where}: {found.reason}" if found else ""
        if not differs or not _claimed(bundle):
            _remember(bundle, differs)
    if not _claimed(bundle):
        how = f"the reference is not what the model did on the golden samples ({differs})" if differs else ""
        log.warning(
            "%s: exported with --no-verify, so nothing proves that it is the model; %s",
            bundle.path,
            how or "on the golden samples the reference does what the model did",
        )
    elif differs:
        where, _, reason = differs.partition(": ")
        fix = "Its stages or its golden.npz are not those of the export: export the bundle again"
        raise ArtefactError(f"{bundle.path}: {where}", f"{reason}; so the bundle is not its own proof", fix)


def _claimed(bundle: Bundle) -> bool:
    return bundle.manifest.verification.status != "skipped"


def _place(bundle: Bundle) -> Path:
    identity = f"{bundle.sha256} {spikeport.__version__} {RULES}"
    return cache_root().parent / "proofs" / f"{hashlib.sha256(identity.encode()).hexdigest()}.json"


def _remembered(bundle: Bundle) -> str | None:
    """Return where the bundle was found to differ, "" where it was not, `None` where nothing is known."""
    with suppress(OSError, RuntimeError, ValueError, RecursionError):
        content = json.loads(_place(bundle).read_text(encoding="utf-8"))
        if isinstance(content, dict) and isinstance(content.get("differs"), str):
            return str(content["differs"])
    return None


def _remember(bundle: Bundle, differs: str) -> None:
    """Keep the outcome; `Path.home` raises RuntimeError where there is none."""
    with suppress(OSError, RuntimeError), new_file(_place(bundle)) as aside:
        aside.write_text(json.dumps({"differs": differs}) + "\n", encoding="utf-8")
