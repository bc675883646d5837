"""Correction of p-values for the number of tests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ann2neo.analysis._entry import FloatArray

__all__ = ["benjamini_hochberg"]


def benjamini_hochberg(pvalues: npt.ArrayLike) -> FloatArray:
    """Adjust p-values for the false discovery rate.

    At a false discovery rate of alpha, tests with an adjusted p-value of at most alpha
    reject.

    Parameters
    ----------
    pvalues : array_like of float, shape (n_tests,)
        p-values; NaN does not count as a test.

    Returns
    -------
    ndarray of float, shape (n_tests,)
        Adjusted p-values; NaN where there was none.

    References
    ----------
    Benjamini, Y. and Hochberg, Y. (1995). Controlling the false discovery rate. J. R.
    Stat. Soc. B 57.

    Examples
    --------
    >>> benjamini_hochberg([0.01, float("nan"), 0.02])
    array([0.02,  nan, 0.02])
    """
    from scipy.stats import false_discovery_control

    adjusted = np.array(pvalues, np.float64)
    tested = np.isfinite(adjusted)
    if tested.any():
        # For the i-th smallest of m: the least of p(j) m / j over all j >= i.
        adjusted[tested] = false_discovery_control(adjusted[tested])
    return adjusted
