"""Null distributions of serial correlation: trials exchanged at every step.

At each step the values of a label's trials change places, in one of two ways:

- rotations: trials of one label and one length are cut into blocks of 64, 32, .. 2 or 1
  trials, and at each step all blocks are rotated by one number, drawn for the step::

      13 trials   | 0 1 2 3 4 5 6 7 | 8 9 10 11 | 12 |
      rotated     | 7 0 1 2 3 4 5 6 | 11 8 9 10 | 12 |     by 1, or by 9, ...

  With c(s, t; d) the sum over the trials j of x(j, s) x(j + d, t), j + d counted around
  the block, the joint spikes of two rotated steps are c at the difference of their
  rotations. A Fourier transform of the blocks gives c for all differences, and a draw
  is a look into that small table.
- permutations: any order, for trials of any lengths. Only the places of the spikes
  matter; they are a random choice, kept as bits.

Both are groups that leave the null hypothesis as it is, so that p-values are exact.
Draws are seeded by the sizes alone: engines and machines agree.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
from scipy import fft

from ann2neo.analysis._entry import FloatArray, IntArray
from ann2neo.analysis.trials.step_matrices import Bytes, StepMatrices
from ann2neo.analysis.units.nulls import N_DRAWS

__all__ = [
    "Rotations",
    "centres",
    "permutation_draws",
    "rotation_draws",
    "rotations",
    "spikes_reaching",
]

_CELLS_AT_ONCE = 1 << 19
"""Cells of permuted trials drawn at once, which stay in cache."""

_LEAST_BLOCK = 64
_LEAST_ROTATIONS = math.log(1e6)
"""Logarithm of the number of rotations from which they give p-values small enough."""

_SHARE = 0.9
"""Smallest share of the bins that must lie in blocks of two trials or more."""


def _seed(steps: StepMatrices, lags: int) -> np.random.SeedSequence:
    sizes = [rows.stop - rows.start for rows in steps.groups]
    return np.random.SeedSequence([steps.n_steps, lags, *sizes])


# -- rotations
# --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Rotations:
    """Blocks of trials that are rotated at each step.

    Parameters
    ----------
    size : int
        Trials of the largest blocks, a power of two.
    blocks : list of ndarray of int64, shape (n_blocks, n)
        The rows of trials in blocks of n trials, for n = 2, 4, .. `size`.
    """

    size: int
    blocks: list[IntArray]


def rotations(steps: StepMatrices, lags: int) -> Rotations | None:
    """Return the blocks to rotate, or None where trials must be permuted.

    That is so where too many trials have a length of their own, or where there are too
    few different rotations, as of trials of two or three steps.
    """
    classes = _classes(steps)
    largest = max((len(rows) for rows in classes), default=0)
    size = _LEAST_BLOCK
    while (steps.n_steps - 1) * math.log(size) < _LEAST_ROTATIONS and size <= largest:
        size *= 2
    size = min(size, 1 << max(0, largest.bit_length() - 1))
    # In a random order, so that what neighbouring trials have in common does not stay.
    rng = np.random.default_rng(_seed(steps, lags))
    blocks: dict[int, list[IntArray]] = {}
    rotated = 0
    for rows in classes:
        left, n = rng.permutation(rows), size
        while n > 1:
            n_rows = len(left) // n * n
            if n_rows:
                blocks.setdefault(n, []).append(left[:n_rows].reshape(-1, n))
                rotated += n_rows * int(steps.lengths[rows[0]])
            left, n = left[n_rows:], n // 2
    n_rotations = (steps.n_steps - 1) * math.log(max(1, size))
    if rotated < _SHARE * steps.lengths.sum() or n_rotations < _LEAST_ROTATIONS:
        return None
    return Rotations(size, [np.concatenate(blocks[n]) for n in sorted(blocks)])


def _classes(steps: StepMatrices) -> list[IntArray]:
    """Return the rows of the trials of each label and length."""
    classes = []
    for rows in steps.groups:
        # The lengths of a group descend.
        cuts = np.flatnonzero(np.diff(steps.lengths[rows])) + 1
        classes += np.split(np.arange(rows.start, rows.stop), cuts)
    return classes


def rotation_draws(
    steps: StepMatrices, lags: int, matrices: list[Bytes], chosen: Rotations
) -> FloatArray:
    """Draw sums of centred products after random rotations of trials at each step.

    Parameters
    ----------
    steps : StepMatrices
        The trials.
    lags : int
        Number of lags.
    matrices : list of ndarray of uint8, shape (n_trials, n_steps)
        The spikes of each unit.
    chosen : Rotations
        The blocks.

    Returns
    -------
    ndarray of float64, shape (n_units, lags, N_DRAWS)
        R_1 .. R_lags of each unit in each draw.
    """
    rng = np.random.default_rng(_seed(steps, lags))
    rotation = rng.integers(chosen.size, size=(N_DRAWS, steps.n_steps))
    tables = [_tables(steps, lags, matrix, chosen) for matrix in matrices]
    spikes = np.array([steps.spikes(matrix) for matrix in matrices])
    sums = np.empty((len(matrices), lags, N_DRAWS))
    for lag in range(1, lags + 1):
        # Where the joint spikes of the steps s and s + lag stand in their table; a
        # remainder by a power of two, also of negative numbers.
        place = (rotation[:, :-lag] - rotation[:, lag:]) & (chosen.size - 1)
        place += chosen.size * np.arange(steps.n_steps - lag)
        reaching = None
        if not steps.is_even:
            reaching = np.array([spikes_reaching(steps, m, lag) for m in matrices])
        centre = centres(steps, lag, spikes, reaching)
        for unit, table in enumerate(tables):
            pairs = table[lag - 1].take(place).sum(axis=1, dtype=np.int64)
            sums[unit, lag - 1] = pairs - centre[unit]
    return sums


def spikes_reaching(steps: StepMatrices, matrix: Bytes, lag: int) -> IntArray:
    """Return the spikes at each step in the trials that reach the step `lag` later."""
    reached = steps.reached.view(np.uint8)
    return steps.spikes(matrix[:, :-lag] & reached[:, lag:])


def _tables(
    steps: StepMatrices, lags: int, matrix: Bytes, chosen: Rotations
) -> list[npt.NDArray[np.int32]]:
    """Return the joint spikes of steps by the difference of their rotations.

    For each lag k an array of shape ((n_steps - k) * size,), one step after another.
    """
    size, n_steps = chosen.size, steps.n_steps
    tables = [np.zeros((size, n_steps - k), np.int32) for k in range(1, lags + 1)]
    rotated = np.zeros(steps.n_trials, np.bool_)
    for rows in chosen.blocks:
        n = rows.shape[1]
        rotated[rows] = True
        waves = fft.rfft(matrix[rows].astype(np.float64), axis=1)
        for lag in range(1, lags + 1):
            power = np.einsum(
                "bft,bft->ft", np.conj(waves[..., :-lag]), waves[..., lag:]
            )
            joint = np.rint(fft.irfft(power, n, axis=0)).astype(np.int32)
            # A block of n trials is where it was after n rotations.
            tables[lag - 1] += np.tile(joint, (size // n, 1))
    left = matrix[~rotated]
    for lag in range(1, lags + 1):
        tables[lag - 1] += (left[:, :-lag] & left[:, lag:]).sum(axis=0, dtype=np.int32)
    return [np.ascontiguousarray(table.T).reshape(-1) for table in tables]


# -- permutations
# --------------------------------------------------------------------------------------


def permutation_draws(
    steps: StepMatrices, lags: int, matrices: list[Bytes]
) -> FloatArray:
    """Draw sums of centred products after random orders of the trials at each step.

    Parameters
    ----------
    steps : StepMatrices
        The trials, of any lengths.
    lags, matrices
        As in `rotation_draws`.

    Returns
    -------
    ndarray of float64, shape (n_units, lags, N_DRAWS)
        R_1 .. R_lags of each unit in each draw.
    """
    rng = np.random.default_rng(_seed(steps, lags))
    spikes = [steps.spikes(matrix) for matrix in matrices]
    code = np.repeat(
        np.arange(len(steps.groups)), [r.stop - r.start for r in steps.groups]
    )
    # (n_steps, n_trials): how many trials of a group are to spike at a step.
    wanted = [k.T[:, code] for k in spikes]
    sums = np.empty((len(matrices), lags, N_DRAWS))
    cells = max(1, steps.n_trials * steps.n_steps)
    at_once = max(1, _CELLS_AT_ONCE // cells)
    for first in range(0, N_DRAWS, at_once):
        draws = slice(first, min(first + at_once, N_DRAWS))
        ranks = _ranks(steps, code, draws.stop - draws.start, rng)
        for unit, least in enumerate(wanted):
            sums[unit, :, draws] = _permuted(
                steps, lags, ranks < least, spikes[unit], code
            )
    return sums


def _ranks(
    steps: StepMatrices, code: IntArray, n_draws: int, rng: np.random.Generator
) -> npt.NDArray[np.int32]:
    """Return a random rank of each trial among those of its group that reach a step.

    Shape (n_draws, n_steps, n_trials). The ranks of trials that do not reach a step
    are no smaller than the number of those that do.
    """
    # Sorted numbers give a random order of the trials of a group, many times faster
    # than an argsort. From the highest bit on: group and whether it does not reach the
    # step (16 bits), random (28), trial (20).
    first = (2 * code + ~steps.reached.T).astype(np.uint64) << np.uint64(48)
    first += np.arange(steps.n_trials, dtype=np.uint64)
    shape = (n_draws, steps.n_steps, steps.n_trials)
    keys = rng.integers(1 << 28, size=shape, dtype=np.uint32).astype(np.uint64)
    keys <<= np.uint64(20)
    keys += first
    keys.sort(axis=2)
    keys &= np.uint64((1 << 20) - 1)
    # The trials of a group that reach a step are its first ones, so that their random
    # order is as good as random ranks.
    starts = np.array([rows.start for rows in steps.groups], np.int32)[code]
    return keys.astype(np.int32) - starts


def _permuted(
    steps: StepMatrices,
    lags: int,
    fires: npt.NDArray[np.bool_],
    spikes: IntArray,
    code: IntArray,
) -> FloatArray:
    """Return R_1 .. R_lags of permuted spikes (n_draws, n_steps, n_trials)."""
    packed = np.packbits(fires, axis=2)
    words = np.zeros((*packed.shape[:2], -(-packed.shape[2] // 8) * 8), np.uint8)
    words[:, :, : packed.shape[2]] = packed
    bits = words.view(np.uint64)
    pairs = np.empty((lags, len(fires)))
    for lag in range(1, lags + 1):
        joint = bits[:, :-lag] & bits[:, lag:]
        pairs[lag - 1] = np.bitwise_count(joint).sum(axis=(1, 2), dtype=np.int64)
    if steps.is_even:
        centre = [centres(steps, k, spikes, None) for k in range(1, lags + 1)]
        return pairs - np.array(centre)[:, np.newaxis]
    # What a spike of a trial at a step takes off the pairs at each lag, see `centres`.
    share = (spikes / np.maximum(1, steps.reaching)).T[:, code] * steps.reached.T
    taken = np.zeros((lags, *share.shape))
    for lag in range(1, lags + 1):
        taken[lag - 1, :-lag] = share[lag:]
    flat = fires.reshape(len(fires), -1).astype(np.float64)
    return pairs - taken.reshape(lags, -1) @ flat.T


def centres(
    steps: StepMatrices, lag: int, spikes: IntArray, reaching: IntArray | None
) -> npt.NDArray[np.float64]:
    """Return what pairs of spikes at a lag are compared with.

    With K_t the spikes of a label at step t = s + k, m_t its trials that reach t, and
    K'_s the spikes at s in those trials, the sum over the trials of the centred
    products (x(s) - K_s / m_s) (x(t) - K_t / m_t) is pairs - K'_s K_t / m_t, summed
    here over steps and labels.

    Parameters
    ----------
    steps : StepMatrices
        The trials.
    lag : int
        The lag k.
    spikes : ndarray of int64, shape (..., n_groups, n_steps)
        K, the spikes of each label at each step.
    reaching : ndarray of int64, shape (..., n_groups, n_steps - lag), or None
        K'; None where all trials reach all steps.

    Returns
    -------
    ndarray of float64, shape (...)
        The sums.
    """
    early = spikes[..., :-lag] if reaching is None else reaching
    n = np.maximum(steps.reaching[:, lag:], 1)
    total: npt.NDArray[np.float64] = (early * spikes[..., lag:] / n).sum(axis=(-2, -1))
    return total
