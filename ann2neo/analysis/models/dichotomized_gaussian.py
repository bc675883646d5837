"""Correlations of a Gaussian vector whose signs have given rates and correlations."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from ann2neo.errors import InputValueError

__all__ = ["both_below", "latent_correlations", "latent_factor"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_PAIRS = 1 << 15

FloatArray = npt.NDArray[np.float64]


def latent_factor(
    rates: FloatArray, correlations: FloatArray, units: npt.NDArray[np.intp]
) -> FloatArray:
    """A matrix A such that bits ``A z < ndtri(rates)`` of independent Gaussians z have
    these rates and correlations.

    Parameters
    ----------
    rates : ndarray of float64, shape (n_units,)
        Rates, between 0 and 1.
    correlations : ndarray of float64, shape (n_units, n_units)
        Correlations of the bits.
    units : ndarray of int, shape (n_units,)
        What to call the units in messages.

    Returns
    -------
    ndarray of float64, shape (n_units, n_units)
        A square root of the latent correlations.

    Raises
    ------
    InputValueError
        If two such trains cannot have such a correlation, or all together cannot; the
        message says what can.
    """
    latent = latent_correlations(rates, correlations, units)
    values, vectors = np.linalg.eigh(latent)
    # Rounding and 64-point integration leave errors of about 1e-9 in an eigenvalue of
    # 0.
    if len(values) and values[0] < -1e-7 * len(values):
        raise InputValueError(
            "no dichotomized Gaussian has these correlations: each pair is possible,"
            f" all together are not (smallest latent eigenvalue {values[0]:.3g});"
            " shrink the correlations off the diagonal, for example by 0.9, or"
            " simulate fewer units"
        )
    factor: FloatArray = vectors * np.sqrt(np.maximum(values, 0.0))
    # Unit variance exactly, so that the rates are exact.
    factor /= np.sqrt((factor**2).sum(axis=1, keepdims=True))
    return factor


def latent_correlations(
    rates: FloatArray, correlations: FloatArray, units: npt.NDArray[np.intp]
) -> FloatArray:
    """Gaussian correlations that give bits with these rates these correlations, pair by
    pair.

    Parameters
    ----------
    rates, correlations, units
        As in `latent_factor`.

    Returns
    -------
    ndarray of float64, shape (n_units, n_units)
        Symmetric, ones on the diagonal; not always positive semidefinite.

    Raises
    ------
    InputValueError
        If a pair's correlation is outside what its rates allow (Fréchet's bounds); the
        message gives the range.
    """
    n_units = len(rates)
    left, right = np.triu_indices(n_units, 1)
    latent = np.eye(n_units)
    limits = ndtri(rates)
    for first in range(0, len(left), _PAIRS):
        i, j = left[first : first + _PAIRS], right[first : first + _PAIRS]
        p, q = rates[i], rates[j]
        scale = np.sqrt(p * (1 - p) * q * (1 - q))
        wanted = p * q + correlations[i, j] * scale
        lowest, highest = np.maximum(0.0, p + q - 1.0), np.minimum(p, q)
        outside = np.flatnonzero((wanted < lowest - 1e-9) | (wanted > highest + 1e-9))
        if outside.size:
            raise InputValueError(
                _impossible(
                    outside[0], i, j, units, rates, correlations, lowest, highest, scale
                )
            )
        solved = _solve(
            limits[i], limits[j], np.clip(wanted, lowest, highest), lowest, highest
        )
        latent[i, j] = latent[j, i] = solved
    return latent


def _impossible(
    pair: Any,
    i: Any,
    j: Any,
    units: Any,
    rates: Any,
    r: Any,
    lowest: Any,
    highest: Any,
    scale: Any,
) -> str:
    one, two = i[pair], j[pair]
    product = rates[one] * rates[two]
    low, high = (
        (lowest[pair] - product) / scale[pair],
        (highest[pair] - product) / scale[pair],
    )
    return (
        f"units {units[one]} and {units[two]} with rates {rates[one]:.3g} and"
        f" {rates[two]:.3g} cannot have the correlation {r[one, two]:.3g}: binary"
        f" trains of these rates reach {low:.3g} to {high:.3g}; lower it, or bring the"
        " rates closer"
    )


def _solve(
    h: FloatArray,
    k: FloatArray,
    wanted: FloatArray,
    lowest: FloatArray,
    highest: FloatArray,
) -> FloatArray:
    """Angle by bisection and Newton's method: the probability rises with it, and its
    slope is the density.
    """
    low, high = np.full(len(h), -np.pi / 2), np.full(len(h), np.pi / 2)
    angle = np.zeros(len(h))
    open_pairs = np.arange(len(h))
    for _ in range(80):
        at, ho, ko = angle[open_pairs], h[open_pairs], k[open_pairs]
        error = both_below(ho, ko, np.sin(at)) - wanted[open_pairs]
        bottom = np.where(error < 0, at, low[open_pairs])
        top = np.where(error < 0, high[open_pairs], at)
        low[open_pairs], high[open_pairs] = bottom, top
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = at - 2.0 * np.pi * error / _integrand(ho, ko, at)
        inside = np.isfinite(newton) & (newton > bottom) & (newton < top)
        going = (np.abs(error) >= 1e-13) & (top - bottom >= 1e-13)
        angle[open_pairs] = np.where(
            going, np.where(inside, newton, 0.5 * (bottom + top)), at
        )
        open_pairs = open_pairs[going]
        if not open_pairs.size:
            break
    solved = np.sin(angle)
    solved = np.where(wanted >= highest - 1e-13, 1.0, solved)
    return np.where(wanted <= lowest + 1e-13, -1.0, solved)


def _integrand(h: FloatArray, k: FloatArray, angle: FloatArray) -> FloatArray:
    square = np.maximum(np.cos(angle) ** 2, 1e-300)
    value: FloatArray = np.exp(
        -(h * h + k * k - 2.0 * h * k * np.sin(angle)) / (2.0 * square)
    )
    return value


def both_below(h: FloatArray, k: FloatArray, correlation: FloatArray) -> FloatArray:
    """Probability that two standard Gaussians lie below h and k (Plackett 1954,
    Biometrika 41).

    Parameters
    ----------
    h, k, correlation : ndarray of float64, shape (n,)
        Limits and correlation of each pair.

    Returns
    -------
    ndarray of float64, shape (n,)
        ``Phi(h) Phi(k) + integral over a from 0 to asin(r) of exp(-(h^2 + k^2 - 2 h k
        sin a) / (2 cos^2 a)) / 2 pi``.

    Examples
    --------
    >>> import numpy as np
    >>> both_below(np.zeros(1), np.zeros(1), np.array([0.5])).round(12)
    array([0.33333333])
    """
    half = 0.5 * np.arcsin(correlation)[:, None]
    angles = half * (_NODES + 1.0)
    inner = _integrand(h[:, None], k[:, None], angles) @ _WEIGHTS
    probability: FloatArray = ndtr(h) * ndtr(k) + half[:, 0] * inner / (2.0 * np.pi)
    return probability
