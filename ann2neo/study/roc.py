"""Areas under the ROC curve of networks, with intervals that stay honest for few
networks and perfect separation.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

__all__ = ["area", "area_interval", "area_words", "newcombe_interval"]

_N_RESAMPLED = 2000
_FEWEST_CLUSTERS = 4

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def area(values: FloatArray, positive: BoolArray) -> float:
    """Probability that a positive has the larger value, ties counting half (Mann &
    Whitney 1947).

    Parameters
    ----------
    values : ndarray of float, shape (n_networks,)
        A statistic; NaN where a network has none, which leaves it out.
    positive : ndarray of bool, shape (n_networks,)
        Which networks are of the kind to be found.

    Returns
    -------
    float
        0.5 where the statistic is of no use; NaN without networks of either kind.

    Examples
    --------
    >>> area(np.array([1.0, 2.0, 3.0]), np.array([False, True, True]))
    1.0
    """
    known = np.isfinite(values)
    high, low = values[known & positive], values[known & ~positive]
    if not len(high) or not len(low):
        return float("nan")
    return float((np.sign(high[:, None] - low[None, :]) / 2 + 0.5).mean())


def area_interval(
    values: FloatArray,
    positive: BoolArray,
    clusters: npt.NDArray[np.int64],
    rng: np.random.Generator,
    level: float = 0.95,
) -> tuple[float, float]:
    """Interval of an area whose networks come in clusters.

    Parameters
    ----------
    values, positive
        As in `area`.
    clusters : ndarray of int, shape (n_networks,)
        Networks of one cluster start from the same weights and are no independent
        witnesses.
    rng : numpy.random.Generator
        Draws clusters.
    level : float, default 0.95
        Level of the interval.

    Returns
    -------
    tuple of float
        The wider of two intervals on either side: percentiles of areas over clusters
        drawn with replacement, which know how networks of a cluster go together but
        have no width where the kinds separate perfectly; and `newcombe_interval` with
        as many independent networks of a kind as there are clusters that have one. NaN
        with fewer than four clusters: chance separates three and three perfectly one
        time in ten.
    """
    known = np.isfinite(values)
    values, positive, clusters = values[known], positive[known], clusters[known]
    observed = area(values, positive)
    names, of_network = np.unique(clusters, return_inverse=True)
    if len(names) < _FEWEST_CLUSTERS or np.isnan(observed):
        return float("nan"), float("nan")
    n_positive, n_negative = (
        len(np.unique(clusters[kind])) for kind in (positive, ~positive)
    )
    low, high = newcombe_interval(observed, n_positive, n_negative, level)
    found = _resampled(values, positive, of_network, len(names), rng)
    if len(found):
        lower, upper = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
        low, high = min(low, float(lower)), max(high, float(upper))
    return low, high


def _resampled(
    values: FloatArray,
    positive: BoolArray,
    of_network: npt.NDArray[np.intp],
    n: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Areas over clusters drawn with replacement; those without networks of either kind
    are left out.
    """
    high, low = np.flatnonzero(positive), np.flatnonzero(~positive)
    # Wins of positives of one cluster over negatives of another, and pairs that were
    # compared.
    wins, compared = np.zeros((n, n)), np.zeros((n, n))
    pairs = np.ix_(of_network[high], of_network[low])
    rows, columns = np.broadcast_arrays(*pairs)
    np.add.at(
        wins,
        (rows, columns),
        np.sign(values[high][:, None] - values[low][None, :]) / 2 + 0.5,
    )
    np.add.at(compared, (rows, columns), 1.0)
    drawn = rng.integers(n, size=(_N_RESAMPLED, n))
    times = np.stack(
        [(drawn == cluster).sum(axis=1) for cluster in range(n)], axis=1
    ).astype(np.float64)
    won, of = (((times @ table) * times).sum(axis=1) for table in (wins, compared))
    areas: FloatArray = won[of > 0] / of[of > 0]
    return areas


def newcombe_interval(
    observed: float, n_positive: int, n_negative: int, level: float = 0.95
) -> tuple[float, float]:
    """Interval of an area from its value and the numbers of networks.

    Parameters
    ----------
    observed : float
        The area found, 0 to 1.
    n_positive, n_negative : int
        Independent networks of either kind.
    level : float, default 0.95
        Level of the interval.

    Returns
    -------
    tuple of float
        The areas A with ``abs(A - observed) <= z sqrt(V(A))``, where V is Hanley and
        McNeil's (1982, Radiology 143:29) variance with both numbers set to their mean
        in its correction: method 5 of Newcombe (2006, Stat Med 25:559). It has a width
        also where `observed` is 0 or 1.

    Examples
    --------
    >>> [round(end, 2) for end in newcombe_interval(1.0, 6, 6)]
    [0.69, 1.0]
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    z = float(norm.ppf((1 + level) / 2))
    extra = (n_positive + n_negative) / 2 - 1

    def spread(value: float) -> float:
        factor = 1 + extra * (1 - value) / (2 - value) + extra * value / (1 + value)
        return z * float(
            np.sqrt(max(0.0, value * (1 - value) * factor / (n_positive * n_negative)))
        )

    def end(bound: float, sign: float) -> float:
        # At the observed value itself the spread exceeds the distance, 0; at the bound
        # it is 0.
        if abs(bound - observed) < 1e-12:
            return bound
        inner = observed + sign * 1e-9
        if spread(inner) <= abs(inner - observed):
            return observed
        return float(
            brentq(lambda value: abs(value - observed) - spread(value), inner, bound)
        )

    return end(0.0, -1.0), end(1.0, 1.0)


def area_words(row: Mapping[str, float], *, turned: bool = True) -> str:
    """Word an area and its interval, turned so that 1 is best, with the direction that
    marks a positive.

    Parameters
    ----------
    row : mapping
        ``auc``, ``low`` and ``high``.
    turned : bool, default True
        Whether areas below 0.5 are turned.

    Returns
    -------
    str
        Such as "0.95 smaller (0.70 to 1.00)".

    Examples
    --------
    >>> area_words({"auc": 0.05, "low": 0.0, "high": 0.3})
    '0.95 smaller (0.70 to 1.00)'
    """
    if np.isnan(row["auc"]):
        return "none"
    auc, low, high = row["auc"], row["low"], row["high"]
    direction = ""
    if turned:
        direction = " larger" if auc > 0.5 else " smaller" if auc < 0.5 else ""
        auc, low, high = (
            (auc, low, high) if auc >= 0.5 else (1 - auc, 1 - high, 1 - low)
        )
    ends = "no interval" if np.isnan(low) else f"{low:.2f} to {high:.2f}"
    return f"{auc:.2f}{direction} ({ends})"
