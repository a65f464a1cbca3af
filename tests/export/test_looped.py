"""Forwards that loop over time, against the author's own call.

The oracle is the author's module itself, called once; the bundle runs on the reference interpreter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import looped_nets as nets
import numpy as np
import pytest
import torch
from looped_nets import B, Forward, T, still, window
from torch import Tensor, nn

import spikeport
from spikeport.errors import SpikeportError, UsageError
from spikeport.export.bundle import Bundle
from spikeport.export.proof import replay

HIDDEN = {"init_hidden": True}
TAKEN = {
    "one still, two records": (Forward(nets.constant), still()),
    "x[t]": (Forward(nets.by_index), window(T, B, 10)),
    "x[:, t], stacked behind the batch": (Forward(nets.batch_first), window(B, T, 10)),
    "batch first, a dictionary": (Forward(nets.transposed), window(B, T, 10)),
    "x[..., t], softmax of the mean": (Forward(nets.last_axis), window(B, 10, T)),
    "for step in x, a list": (Forward(nets.frames), window(T, B, 2, 5)),
    "added up": (Forward(nets.added_up), still()),
    "a layer before the loop": (Forward(nets.before_the_loop), still()),
    "written by places": (Forward(nets.written), still()),
    "a sub-network twice a step": (Forward(nets.twice_a_step), window(T, B, 20)),
    "hidden states": (Forward(nets.hidden, **HIDDEN), window(T, B, 10)),
    "a linear read-out of the record": (nets.with_readout(), still()),
}


def answers(net: nn.Module, sample: Tensor) -> list[np.ndarray]:
    """All that the author's own call returns, in order, a list of steps as one window."""
    with torch.no_grad():
        returned = net(sample.clone())
    values = [*returned.values()] if isinstance(returned, dict) else [returned]
    values = [*values[0]] if isinstance(values[0], tuple) else values
    return [np.asarray(torch.stack(value) if isinstance(value, list) else value) for value in values]


def answered(bundle: Bundle) -> list[np.ndarray]:
    """Return the answers in the bundle's golden recording, to which the reference's own run is held."""
    found = replay(bundle)
    assert found.disagreement is None
    golden = bundle.golden()
    return [np.asarray(golden.outputs[name]) for name in bundle.manifest.outputs]


@pytest.mark.parametrize(("net", "sample"), TAKEN.values(), ids=TAKEN.keys())
def test_it_is_taken_as_it_stands_and_answers_as_its_author_runs_it(
    tmp_path: Path, net: nn.Module, sample: Tensor
) -> None:
    own = answers(net, sample)
    bundle = spikeport.export(net, sample, 1e-3, tmp_path / "net.bundle")
    shown = answered(bundle)
    assert len(shown) == len(own)
    for value, author in zip(shown, own, strict=True):
        assert np.count_nonzero(author) > 0
        if value.shape != author.shape:  # one answer a sample
            value = value[0]
        np.testing.assert_allclose(value, author, rtol=1e-5, atol=1e-6)
        if set(np.unique(author)) <= {0.0, 1.0}:
            np.testing.assert_array_equal(value, author)
    assert any(stage.kind == "chip" for stage in bundle.manifest.stages)


def test_the_network_is_left_alone(tmp_path: Path) -> None:
    net, sample = Forward(nets.hidden, **HIDDEN), window(T, B, 10)
    before = {name: x.clone() for name, x in net.state_dict().items()}
    spikeport.export(net, sample, 1e-3, tmp_path / "net.bundle")
    after = net.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(x, after[name]) for name, x in before.items())
    assert net.training


def test_the_answer_is_named(tmp_path: Path) -> None:
    net, sample = Forward(nets.constant), still()
    first = spikeport.export(net, sample, 1e-3, tmp_path / "first.bundle")
    second = spikeport.export(net, sample, 1e-3, tmp_path / "second.bundle", answer="output_1")
    assert first.manifest.answer == first.manifest.outputs[0]
    assert second.manifest.answer == first.manifest.outputs[1]
    assert {*second.manifest.outputs} == {*first.manifest.outputs}
    with pytest.raises(UsageError, match=r"answer 'mem'.*output_0.*output_1"):
        spikeport.export(net, sample, 1e-3, tmp_path / "third.bundle", answer="mem")


REFUSED: dict[str, tuple[Any, Tensor, str]] = {
    "a reset inside the loop": (Forward(nets.reset_inside, **HIDDEN), window(T, B, 10), "inside its loop over time"),
    "an input weighted by time": (Forward(nets.weighted_by_time), still(), "'lif1'.*12 times.*differs"),
    "another input in the second half": (Forward(nets.other_half), still(), "'lif1'.*12 times.*differs"),
    "time backwards": (Forward(nets.backwards), window(T, B, 10), "'lif1'.*12 times.*differs"),
    "control flow on values": (Forward(nets.by_value), window(T, B, 10), "'__bool__'.*depends on the sample"),
    "a state that starts from 1": (Forward(nets.from_one), window(T, B, 10), "before the loop over time it is 1"),
    "a window computed as a whole": (Forward(nets.normalised), window(T, B, 10), "'truediv'.*the whole window before"),
    "every other step": (Forward(nets.every_other), window(T, B, 10), "output 'output'.*window of steps"),
    "a plain list of neurons": (nets.Listed([]), window(T, B, 10), "Leaky.*plain list.*nn.ModuleList"),
    "NaN": (Forward(nets.by_index), window(T, B, 10) * torch.nan, "NaN or infinity"),
    "chance": (Forward(nets.random_input), still(), "'bernoulli'.*random numbers"),
}


@pytest.mark.parametrize(("net", "sample", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_no_step_can_say_is_refused(tmp_path: Path, net: nn.Module, sample: Tensor, said: str) -> None:
    with pytest.raises(SpikeportError, match=said):
        spikeport.export(net, sample, 1e-3, tmp_path / "net.bundle")
    assert not (tmp_path / "net.bundle").exists()


# What each refusal advises, taken.
ADVISED = {
    "the window computed outside of forward": (Forward(nets.by_index), window(T, B, 10) / window(T, B, 10).max()),
    "noise as an input": (Forward(nets.by_index), (window(T, B, 10) < 0.5).float()),
    "nn.ModuleList": (nets.Listed(nn.ModuleList()), window(T, B, 10)),
    "every step returned, every other one picked outside": (Forward(nets.by_index), window(T, B, 10)),
}


@pytest.mark.parametrize(("net", "sample"), ADVISED.values(), ids=ADVISED.keys())
def test_what_is_advised_is_taken(tmp_path: Path, net: nn.Module, sample: Tensor) -> None:
    (own,) = answers(net, sample)
    (shown,) = answered(spikeport.export(net, sample, 1e-3, tmp_path / "net.bundle"))
    np.testing.assert_array_equal(shown, own)
