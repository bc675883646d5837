"""Correlations of a Gaussian vector whose signs have given rates and correlations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from ann2neo.analysis._entry import FloatArray
from ann2neo.errors import InputValueError

__all__ = ["both_below", "latent_correlations", "latent_factor"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
# Pairs solved at once: with 64 nodes each, 16 MiB of float64.
_PAIRS = 1 << 15


def latent_factor(
    rates: FloatArray, correlations: FloatArray, units: npt.NDArray[np.intp]
) -> FloatArray:
    """Return a matrix that turns independent Gaussians into correlated ones.

    With it, called A, and independent standard Gaussians z, the bits ``A z <
    ndtri(rates)`` have these rates and correlations.

    Parameters
    ----------
    rates : ndarray of float64, shape (n_units,)
        Rates, between 0 and 1.
    correlations : ndarray of float64, shape (n_units, n_units)
        Correlations of the bits.
    units : ndarray of int, shape (n_units,)
        Numbers of the units, for messages.

    Returns
    -------
    ndarray of float64, shape (n_units, n_units)
        A square root of the latent correlations.

    Raises
    ------
    InputValueError
        If a pair of units, or all together, cannot have these correlations; the message
        gives the possible range.
    """
    latent = latent_correlations(rates, correlations, units)
    values, vectors = np.linalg.eigh(latent)
    # Rounding and 64-point integration leave an eigenvalue of 0 within about 1e-9.
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
    """Return the correlations of the Gaussians, pair by pair.

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
        # P(both spike), which Fréchet's bounds limit.
        wanted = p * q + correlations[i, j] * scale
        lowest, highest = np.maximum(0.0, p + q - 1.0), np.minimum(p, q)
        outside = np.flatnonzero((wanted < lowest - 1e-9) | (wanted > highest + 1e-9))
        if outside.size:
            pair = outside[0]
            one, two = i[pair], j[pair]
            low = (lowest[pair] - p[pair] * q[pair]) / scale[pair]
            high = (highest[pair] - p[pair] * q[pair]) / scale[pair]
            raise InputValueError(
                f"units {units[one]} and {units[two]} with rates {p[pair]:.3g} and"
                f" {q[pair]:.3g} cannot have the correlation"
                f" {correlations[one, two]:.3g}: binary trains of these rates reach"
                f" {low:.3g} to {high:.3g}; lower it, or bring the rates closer"
            )
        wanted = np.clip(wanted, lowest, highest)
        solved = _solve(limits[i], limits[j], wanted, lowest, highest)
        latent[i, j] = latent[j, i] = solved
    return latent


def _solve(
    h: FloatArray,
    k: FloatArray,
    wanted: FloatArray,
    lowest: FloatArray,
    highest: FloatArray,
) -> FloatArray:
    """Return the correlations that give both Gaussians the wanted probability.

    Newton's method for the angle, inside an interval that bisection narrows: the
    probability rises with the angle, and its slope is the density.
    """
    # As an angle, r = sin(a): the slope is the integrand / 2 pi, bounded up to r = 1,
    # while the slope in r divides by sqrt(1 - r^2).
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
        unsolved = (np.abs(error) >= 1e-13) & (top - bottom >= 1e-13)
        angle[open_pairs] = np.where(
            unsolved, np.where(inside, newton, 0.5 * (bottom + top)), at
        )
        open_pairs = open_pairs[unsolved]
        if not open_pairs.size:
            break
    solved = np.sin(angle)
    solved = np.where(wanted >= highest - 1e-13, 1.0, solved)
    return np.where(wanted <= lowest + 1e-13, -1.0, solved)


def _integrand(h: FloatArray, k: FloatArray, angle: FloatArray) -> FloatArray:
    square: FloatArray = np.maximum(np.cos(angle) ** 2, 1e-300)
    return np.exp(-(h * h + k * k - 2.0 * h * k * np.sin(angle)) / (2.0 * square))


def both_below(h: FloatArray, k: FloatArray, correlation: FloatArray) -> FloatArray:
    """Return the probability that two standard Gaussians lie below h and k.

    Parameters
    ----------
    h, k, correlation : ndarray of float64, shape (n,)
        Limits and correlation of each pair.

    Returns
    -------
    ndarray of float64, shape (n,)
        ``Phi(h) Phi(k) + integral over a from 0 to asin(r) of exp(-(h^2 + k^2 - 2 h k
        sin a) / (2 cos^2 a)) / 2 pi`` (Plackett 1954, Biometrika 41).

    Examples
    --------
    >>> import numpy as np
    >>> both_below(np.zeros(1), np.zeros(1), np.array([0.5])).round(12)
    array([0.33333333])
    """
    # Gauss-Legendre nodes, moved from -1 .. 1 to 0 .. asin(r), shape (n, 64).
    half = 0.5 * np.arcsin(correlation)[:, None]
    angles = half * (_NODES + 1.0)
    inner = _integrand(h[:, None], k[:, None], angles) @ _WEIGHTS
    return ndtr(h) * ndtr(k) + half[:, 0] * inner / (2.0 * np.pi)
