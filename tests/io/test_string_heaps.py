"""Walks through HDF5's string heaps that end, and those on which HDF5 would hang."""

from __future__ import annotations

import numpy as np

from ann2neo.io.nwb.hdf5_heaps import _walk_ends


def _walked(words: list[int]) -> bool:
    """Walk through a heap object by object, as HDF5 does."""
    place = 0
    while place + 1 < len(words):
        size = words[place + 1]
        is_free = words[place] & 0xFFFF == 0
        step = size // 8 if is_free else 2 + -(-size // 8)
        place += step
        if step == 0 or place > len(words):
            return False
    return True


def _heap(rng: np.random.Generator) -> list[int]:
    """Make the words of a heap, now and then damaged."""
    words: list[int] = []
    for _ in range(rng.integers(12)):
        size = int(rng.integers(1, 40))
        data = rng.integers(0, 2**63, -(-size // 8)).tolist()
        words += [int(rng.integers(1, 5)), size, *data]
    free = int(rng.integers(4))
    if free > 1:
        words += [0, 8 * free, *[0] * (free - 2)]
    kind = rng.integers(5)
    if kind == 0:
        words += [0] * int(rng.integers(4))
    elif kind == 1 and words:
        odd = [0, 1, 2**31, 2**63, 2**64 - 1]
        words[rng.integers(len(words))] = odd[rng.integers(len(odd))]
    elif kind == 2:
        words = words[: rng.integers(len(words) + 1)]
    return words


def test_walks_of_all_words_at_once_find_what_one_walk_finds() -> None:
    """Heaps whole, zeroed, cut and with odd lengths get the answer of a plain walk."""
    rng = np.random.default_rng(0)
    answers = []
    for _ in range(2000):
        words = _heap(rng)
        answer = _walk_ends(np.array(words, "<u8").tobytes() + bytes(rng.integers(8)))
        assert answer == _walked(words), words
        answers.append(answer)
    assert 100 < sum(answers) < 1900
