"""Paired comparisons of trained networks: Wilcoxon's signed ranks with the interval
that belongs to them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ann2neo.errors import InputValueError

__all__ = ["PairedEffect", "paired_effect"]


@dataclass(frozen=True)
class PairedEffect:
    """Median difference of pairs.

    Parameters
    ----------
    estimate : float
        Hodges and Lehmann's: the median of the means of all pairs of differences.
    low, high : float
        Confidence interval from the same signed ranks; infinite where there are too few
        pairs for the level.
    pvalue : float
        Two-sided signed-rank p-value of no difference.
    n : int
        Number of pairs.
    level : float
        Level of the interval.
    """

    estimate: float
    low: float
    high: float
    pvalue: float
    n: int
    level: float = 0.95

    @property
    def seen_effect(self) -> float:
        """About the effect that so many pairs, scattering as these do, find four times
        in five.
        """
        from scipy.stats import norm

        to_the_limit = float(norm.ppf((1 + self.level) / 2))
        return (
            (self.high - self.low)
            / 2
            * (to_the_limit + float(norm.ppf(0.8)))
            / to_the_limit
        )


def paired_effect(differences: npt.ArrayLike, level: float = 0.95) -> PairedEffect:
    """Estimate the median of paired differences.

    Parameters
    ----------
    differences : array_like of float, shape (n_pairs,)
        One difference a pair.
    level : float, default 0.95
        Level of the interval.

    Returns
    -------
    PairedEffect
        Estimate, interval (Hodges & Lehmann 1963; Bauer 1972, J Am Stat Assoc 67:687)
        and p-value.

    Raises
    ------
    InputValueError
        If there is no pair, or a difference is not finite.

    Examples
    --------
    >>> effect = paired_effect([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    >>> effect.estimate, effect.low, effect.high, effect.pvalue
    (3.5, 1.0, 6.0, 0.03125)
    """
    from scipy.stats import wilcoxon

    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise InputValueError(
            "paired differences must be one or more finite numbers, got"
            f" {differences!r}"
        )
    n = len(values)
    first, second = np.triu_indices(n)
    walsh = np.sort((values[first] + values[second]) / 2)
    k = int((2 * _signed_rank_cdf(n) <= 1 - level).sum())
    low, high = (walsh[k - 1], walsh[len(walsh) - k]) if k else (-np.inf, np.inf)
    pvalue = float(wilcoxon(values).pvalue) if values.any() else 1.0
    return PairedEffect(
        float(np.median(walsh)), float(low), float(high), pvalue, n, level
    )


def _signed_rank_cdf(n: int) -> npt.NDArray[np.float64]:
    """P(W <= w) of the sum of positive ranks of n pairs without ties, w = 0 .. n (n +
    1) / 2.
    """
    counts = np.zeros(n * (n + 1) // 2 + 1)
    counts[0] = 1.0
    for rank in range(1, n + 1):
        shifted = np.zeros_like(counts)
        shifted[rank:] = counts[:-rank]
        # Halved at every rank, the counts are probabilities and never overflow.
        counts = (counts + shifted) / 2
    return np.cumsum(counts)
