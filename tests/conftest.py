"""Helper modules beside this file are importable from all tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def _proofs_of_this_session_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Which bundles were held against their proof is not remembered from one session to the next."""
    from spikeport.deploy import proof

    root = tmp_path_factory.mktemp("cache") / "environments"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proof, "cache_root", lambda: root)
        yield
