"""What `spikeport.export` is called with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from export_nets import DT, leaky, spikes_like
from torch import nn

import spikeport
from spikeport.errors import UsageError

X = spikes_like((4,), steps=20)
NET = nn.Sequential(nn.Linear(4, 3), leaky())

CASES: dict[str, tuple[Any, Any, Any, str]] = {
    "text for dt": (NET, X, "1ms", "dt_s = '1ms'"),
    "numpy sample": (NET, X.numpy(), DT, "ndarray.*no torch tensor"),
    "list of samples": (NET, [X], DT, "list.*no torch tensor"),
    "numpy in a mapping": (NET, {"input": X.numpy()}, DT, "ndarray.*no torch tensor"),
    "a class for a net": (nn.Linear, X, DT, "type type: it is no torch module"),
}


@pytest.mark.parametrize(("net", "sample", "dt_s", "said"), CASES.values(), ids=CASES.keys())
def test_an_argument_of_the_wrong_type_is_named(tmp_path: Path, net: Any, sample: Any, dt_s: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        spikeport.export(net, sample, dt_s, tmp_path / "out.bundle")
    assert list(tmp_path.iterdir()) == []
