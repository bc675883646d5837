"""Null distributions of serial correlation: trials exchanged at every step.

At each step the values of a label's trials change places, in one of two ways:

- rotations: all move on by the same number of trials, which is drawn for each step.
  With c(s, t; d) the sum over trials j of x(j, s) x(j + d, t), the joint spikes of two
  rotated steps are c at the difference of their rotations. One Fourier transform gives
  c for all differences, and a draw is a look into that table.
- permutations: any order. Only the spikes' places matter, of which each order gives a
  random choice; a choice is a row of bits, one per trial.

Both are groups that leave the null hypothesis as it is, so that p-values are exact.
Draws are seeded by the sizes alone: engines and machines agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import fft

from ann2neo.analysis._entry import FloatArray, IntArray
from ann2neo.analysis.trials.step_matrices import Bytes, StepMatrices
from ann2neo.analysis.units.nulls import N_DRAWS

__all__ = ["centres", "permutation_draws", "rotate", "rotation_draws"]

_TABLE_BYTES = 1 << 26
"""Bytes of the tables of joint spikes that are looked into at once."""

_CELLS_AT_ONCE = 1 << 19
"""Cells of permuted trials drawn at once, which stay in cache."""

_LEAST_ROTATIONS = math.log(1e6)
"""Logarithm of the number of rotations from which they give p-values small enough."""


def rotate(steps: StepMatrices) -> bool:
    """Tell whether trials are rotated; else, they are permuted.

    Rotations need trials of one length, and enough of them for many different draws.
    """
    sizes = [rows.stop - rows.start for rows in steps.groups]
    n_rotations = (steps.n_steps - 1) * sum(map(math.log, sizes))
    return steps.is_even and n_rotations >= _LEAST_ROTATIONS


def _seed(steps: StepMatrices, lags: int) -> np.random.SeedSequence:
    sizes = [rows.stop - rows.start for rows in steps.groups]
    return np.random.SeedSequence([steps.n_steps, lags, *sizes])


# -- rotations
# --------------------------------------------------------------------------------------


def rotation_draws(
    steps: StepMatrices, lags: int, matrices: list[Bytes]
) -> Iterator[FloatArray]:
    """Draw sums of centred products after random rotations of trials at each step.

    Parameters
    ----------
    steps : StepMatrices
        The trials, all of one length.
    lags : int
        Number of lags.
    matrices : list of ndarray of uint8, shape (n_trials, n_steps)
        The spikes of each unit.

    Yields
    ------
    ndarray of float64, shape (lags, N_DRAWS)
        R_1 .. R_lags of a unit in each draw.
    """
    table_bytes = 8 * steps.n_trials * steps.n_steps
    at_once = max(1, _TABLE_BYTES // max(1, table_bytes))
    for first in range(0, len(matrices), at_once):
        yield from _rotated(steps, lags, matrices[first : first + at_once])


def _rotated(
    steps: StepMatrices, lags: int, matrices: list[Bytes]
) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(_seed(steps, lags))
    sums = np.zeros((len(matrices), lags, N_DRAWS))
    for rows in steps.groups:
        n = rows.stop - rows.start
        # Rotations of trials in a random order, so that what neighbouring trials have
        # in common does not stay.
        order = rng.permutation(n)
        rotation = rng.integers(n, size=(N_DRAWS, steps.n_steps))
        if n < 2:
            continue
        trials = [np.ascontiguousarray(x[rows][order].T) for x in matrices]
        waves = [fft.rfft(x.astype(np.float64), axis=1) for x in trials]
        spikes = [x.sum(axis=1, dtype=np.int64) for x in trials]
        for lag in range(1, lags + 1):
            # Where the joint spikes of the steps s and s + lag stand in their table.
            place = rotation[:, :-lag] - rotation[:, lag:]
            place[place < 0] += n
            place += n * np.arange(steps.n_steps - lag)
            for unit, wave in enumerate(waves):
                cross = fft.irfft(np.conj(wave[:-lag]) * wave[lag:], n, axis=1)
                table = np.rint(cross).astype(np.int32).reshape(-1)
                drawn = table.take(place).sum(axis=1, dtype=np.int64)
                k = spikes[unit]
                sums[unit, lag - 1] += drawn - float((k[:-lag] * k[lag:]).sum()) / n
    return sums


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
