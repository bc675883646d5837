"""Emission: spikes drawn with a probability that follows from the activation."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ann2neo._checks import one_of
from ann2neo.errors import InputValueError
from ann2neo.probe.adapter import NotFinite, first_not_finite
from ann2neo.probe.nests import all_finite
from ann2neo.probe.thresholds import Threshold
from ann2neo.raster.bits import pack_rows

__all__ = ["Draw", "Drawn", "Emission", "checked_emission"]

Emission = Literal["threshold", "bernoulli", "poisson"]
"""What a user may pass as ``emission``."""

KINDS = ("threshold", "bernoulli", "poisson")


def checked_emission(emission: Any, threshold: Threshold) -> Emission:
    """Return how spikes follow from activations, or raise.

    Raises
    ------
    InputValueError
        If it is unknown, or drawn spikes come with a threshold.
    """
    one_of(emission, KINDS, "emission")
    kind: Emission = emission
    is_default = isinstance(threshold, (int, float)) and threshold == 0
    if kind != "threshold" and not is_default:
        raise InputValueError(
            f"emission={kind!r} draws spikes from activations, and has no threshold;"
            " leave threshold= out, or emission="
        )
    return kind


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Spikes that were drawn.

    Parameters
    ----------
    packed : ndarray of uint8, shape (ceil(n_bins / 8), n_units)
        The spikes, first bin in the lowest bit.
    odd : NotFinite or None
        The first activation that is not finite.
    n_clipped, n : int
        Number of activations outside the range of rates, and of all.
    """

    packed: npt.NDArray[np.uint8]
    odd: NotFinite | None
    n_clipped: int
    n: int


@dataclasses.dataclass(frozen=True)
class Draw:
    """Random numbers for the spikes of one output in one repeat.

    They depend on seed, repeat, output, sample, step and unit alone, whatever batch a
    sample comes in.

    Parameters
    ----------
    kind : {"bernoulli", "poisson"}
        A spike has the probability p, the activation, or 1 - exp(-activation).
    seed : int
        Seed of the recording.
    repeat : int
        Number of the repeat.
    output : int
        Number of the output among the recorded ones.
    n_units : int
        Units of the output, those left out included.
    """

    kind: Emission
    seed: int
    repeat: int
    output: int
    n_units: int

    def spikes(
        self,
        rates: npt.NDArray[Any],
        samples: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        index: npt.NDArray[np.int32] | None,
    ) -> Drawn:
        """Draw the spikes of a batch.

        Parameters
        ----------
        rates : ndarray, shape (n_bins, n_chosen)
            Activations of the chosen units.
        samples : ndarray of int64, shape (n_samples,)
            Numbers of the samples in the data.
        lengths : ndarray of int64, shape (n_samples,)
            Bins of each.
        index : ndarray of int32, shape (n_chosen,), or None
            Which units are chosen; None for all.

        Returns
        -------
        Drawn
            The spikes.
        """
        n_bins, n_chosen = rates.shape
        spikes = np.zeros((-(-n_bins // 8) * 8, n_chosen), np.uint8)
        first = 0
        for sample, n_steps in zip(samples.tolist(), lengths.tolist(), strict=True):
            limits = self._limits(sample, n_steps)
            if index is not None:
                limits = limits[:, index]
            rows = slice(first, first + n_steps)
            np.greater(rates[rows], limits, out=spikes[rows].view(np.bool_))
            first += n_steps
        odd = None if all_finite(rates) else first_not_finite(rates)
        return Drawn(pack_rows(spikes), odd, self._n_clipped(rates), rates.size)

    def _limits(self, sample: int, n_steps: int) -> npt.NDArray[np.float64]:
        """Return what an activation must exceed for a spike, (n_steps, n_units).

        With u uniform in [0, 1): p > u, and 1 - exp(-a) > u just where
        a > -log(1 - u), whose right side does not depend on the network's framework.
        """
        # The lowest of the four words counts up as numbers are drawn.
        counter = np.array([0, 0, self.output, self.repeat], np.uint64)
        key = np.array([self.seed, sample], np.uint64)
        raw = np.random.Philox(key=key, counter=counter).random_raw(
            n_steps * self.n_units
        )
        uniform = (raw >> np.uint64(11)).astype(np.float64)
        uniform *= 2.0**-53
        if self.kind == "poisson":
            np.negative(uniform, out=uniform)
            np.log1p(uniform, out=uniform)
            np.negative(uniform, out=uniform)
        return uniform.reshape(n_steps, self.n_units)

    def _n_clipped(self, rates: npt.NDArray[Any]) -> int:
        if not rates.size:
            return 0
        n = int(np.count_nonzero(rates < 0)) if rates.min() < 0 else 0
        if self.kind == "bernoulli" and rates.max() > 1:
            n += int(np.count_nonzero(rates > 1))
        return n
