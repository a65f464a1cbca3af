"""What is told of samples that were left out."""

from __future__ import annotations

import numpy as np
import pytest

from spikeport.errors import ArtefactError
from spikeport.train.datasets.base import Split
from spikeport.train.datasets.reading import read_all, skipped_lines, skipped_note


def left(*bad: str) -> Split:
    return Split({}, np.zeros(5, np.int64), bad)


def test_the_first_ten_are_named_and_the_others_counted() -> None:
    assert skipped_lines("val", left()) == []
    assert skipped_lines("val", left("a: bad")) == ["val: 1 bad sample skipped, 5 left", "  a: bad"]
    names = tuple(f"f{n}: bad" for n in range(13))
    lines = skipped_lines("train", left(*names))
    assert lines[0] == "train: 13 bad samples skipped, 5 left"
    assert lines[1:] == [*(f"  {name}" for name in names[:10]), "  and 3 more"]


def test_a_note_names_three() -> None:
    assert skipped_note(()) == ""
    assert skipped_note(["a: bad"]) == "; 1 bad sample skipped (a: bad)"
    assert skipped_note(["a", "b", "c", "d", "e"]) == "; 5 bad samples skipped (a; b; c; and 2 more)"


def test_reading_all_names_what_is_bad_and_why() -> None:
    def read(n: int) -> int:
        if n % 2:
            raise ArtefactError(f"file {n}", "odd", "Drop it")
        return n

    assert read_all(range(4), read, True) == ((0, None, 2, None), ("", "file 1: odd", "", "file 3: odd"))
    with pytest.raises(ArtefactError, match=r"file 1: odd \(2 of 4 are bad\), also file 3\. Drop it"):
        read_all(range(4), read, False)
    with pytest.raises(ArtefactError, match=r"file 1: odd \(1 of 2 is bad\)\. Drop it"):
        read_all(range(2), read, False)
