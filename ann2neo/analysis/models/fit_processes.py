"""Stochastic processes fitted to all units, compared by the likelihood of the bits."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit, xlog1py, xlogy
from scipy.stats import chi2

from ann2neo._checks import whole_number
from ann2neo.analysis._entry import (
    BY_CONSTRUCTION,
    BoolArray,
    Column,
    FloatArray,
    IntArray,
    Statistic,
    columns_of,
    count_column,
    text_column,
)
from ann2neo.analysis._phases import phases_of, table_of_units, window_for
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording

__all__ = ["COLUMNS", "PROCESSES", "PROCESS_STATISTICS", "fit_processes"]

PROCESSES = {"bernoulli": 1, "poisson": 1, "beta_binomial": 2, "markov": 2}
"""Number of parameters of each process."""


def _process(
    name: str, words: str, parameters: tuple[Column, ...], source: str
) -> Statistic:
    """Return the entry of one process: parameters, fit, and checks of the fit."""
    prefixed = tuple(
        dataclasses.replace(column, name=f"{name}_{column.name}")
        for column in parameters
    )
    return Statistic(
        name=name,
        columns=(
            *prefixed,
            Column(
                f"{name}_log_likelihood",
                f"Log-likelihood of the unit's bits under {words}.",
                "nat",
            ),
            Column(
                f"{name}_aic",
                f"Akaike's information criterion of {words}; the lowest is the best"
                " fit.",
                "nat",
            ),
            Column(
                f"{name}_boundary",
                "Whether the fit lies on the edge of the parameter space, where"
                " standard errors and tests do not hold.",
                "",
                "bool",
            ),
            Column(
                f"{name}_ljung_box_pvalue",
                "Ljung-Box p-value of independent residuals, which holds under"
                f" {words}.",
                in_random_order=BY_CONSTRUCTION,
            ),
            Column(
                f"{name}_dispersion",
                "Variance of the residuals summed over windows, over the one expected"
                f" under {words}, which gives 1.",
                in_random_order=BY_CONSTRUCTION,
            ),
            Column(
                f"{name}_dispersion_pvalue",
                f"Two-sided p-value of a dispersion of 1 under {words}; none where the"
                " process is fitted to it.",
                in_random_order=BY_CONSTRUCTION,
            ),
        ),
        null=f"{words}: its residuals are white noise",
        validity=(
            "fitted to every unit; a p-value needs five expected pairs of spikes (or"
            " silences) per lag, or one of them per window"
        ),
        source=source,
        pvalue=f"{name}_ljung_box_pvalue",
    )


PROCESS_STATISTICS: tuple[Statistic, ...] = (
    _process(
        "bernoulli",
        "independent bits of one rate",
        (Column("p", "Probability of a spike in a bin."),),
        "definition",
    ),
    _process(
        "poisson",
        "a Poisson process seen in bins",
        (
            Column("rate", "Expected spikes of the process in a bin.", "1/bin"),
            Column("rate_hz", "The same per second.", "Hz"),
            Column(
                "clipped_share",
                "Share of its spikes that a bin with at most one spike would hide.",
            ),
        ),
        "the exponential distribution of intervals, integrated over a bin",
    ),
    _process(
        "beta_binomial",
        "beta-binomial counts in windows",
        (
            Column("mean", "Mean of a bit."),
            Column(
                "overdispersion",
                "Overdispersion t of the window counts, which gives two bits of a"
                " window the correlation t / (1 + t); 0 for the binomial distribution.",
            ),
        ),
        "Prentice (1986), J Am Stat Assoc 81:321",
    ),
    _process(
        "markov",
        "a two-state Markov chain",
        (
            Column("after_silence", "Probability of a spike after a bin without one."),
            Column("after_spike", "Probability of a spike after a bin with one."),
        ),
        "maximum likelihood, the first bit from the stationary distribution",
    ),
)
"""The processes, each with what is fitted and how the fit is checked."""

COLUMNS: tuple[Column, ...] = (
    count_column("unit", "Index of the unit in the recording."),
    text_column("phase", "Phase that was fitted."),
    count_column("n_time_bins", "Time bins of the phase, N."),
    count_column("n_spikes", "Spikes of the unit in the phase, K."),
    count_column("window", "Length of a counting window, in time bins."),
    *columns_of(PROCESS_STATISTICS),
    text_column(
        "best_process",
        "Process of the lowest AIC, of equals the first: bernoulli, poisson,"
        " beta_binomial or markov.",
    ),
)
"""Columns of the table of `fit_processes`."""

_BLOCK_BYTES = 1 << 19  # of bits; the residuals of a block take 64 times as much
_LARGEST_OVERDISPERSION = 1e6
_MIN_EXPECTED = 5.0
_MIN_WINDOWS = 50


def fit_processes(
    recording: Recording, *, window: int | None = None, lags: int = 10
) -> pd.DataFrame:
    """Fit four stochastic processes to each unit and compare their AIC.

    - ``bernoulli``: independent bits; geometric intervals. Parameter ``p``.
    - ``poisson``: a Poisson process of which only "some spike in this bin" is seen:
      intervals are the exponential's integral over a bin. Parameter ``rate``, expected
      spikes per bin.
    - ``beta_binomial``: counts in windows are beta-binomial, every arrangement of a
      count equally likely (divided by the binomial coefficient). Parameters ``mean``
      and ``overdispersion``.
    - ``markov``: two states; the first bit from the stationary distribution. Parameters
      ``after_silence`` and ``after_spike``, probabilities of a spike.

    Every likelihood is the probability of the same sequence of bits, so that Akaike's
    information criteria (AIC) can be compared. Those of a density of intervals in
    milliseconds or of a distribution of counts could not: they are probabilities of
    other data.

    Parameters
    ----------
    recording : Recording
        The spikes; each phase is fitted on its own.
    window : int, optional
        Window of the counts, in bins; min(100, max(2, n_time_bins // 10)) of each phase
        if not given.
    lags : int, default 10
        Lags of the Ljung-Box check of the residuals.

    Returns
    -------
    pandas.DataFrame
        One row per unit and phase: ``unit, phase, n_time_bins, n_spikes, window``; for
        each process its parameters, ``_log_likelihood``, ``_aic``, ``_boundary`` (the
        fit lies on the edge of the parameter space, where standard errors and tests do
        not hold) and the checks below; ``best_process``, of the lowest AIC, of equals
        the first.

        Checks of the residuals ``(x - P(spike | past)) / sd``, which are white noise if
        the process is true: ``_ljung_box_pvalue`` over `lags`, and ``_dispersion`` of
        their sums over windows, expected 1, with ``_dispersion_pvalue`` (two-sided,
        chi-square; none for beta_binomial, which is fitted to it). A p-value is NaN
        where a lag has fewer than five expected pairs of spikes (or silences), or a
        window fewer than one of them, and for beta_binomial in fewer than 50 windows,
        as the chi-square distribution would not hold.

    Raises
    ------
    InputTypeError, InputValueError
        If `recording` is not a Recording, or `window` or `lags` is out of range.

    Notes
    -----
    Size of the checks under the true process, measured at a level of 0.05 over 1 500
    trains of 1 000 or 3 000 bins with rates from 0.05 to 0.9: Bernoulli 0.04 to 0.06;
    Markov 0.04 to 0.06 for Ljung-Box, 0.02 to 0.05 for the dispersion, to which the
    fit adapts; beta-binomial Ljung-Box 0.03 to 0.06 with 50 windows (with 30 it
    would be up to 0.09).

    Observed in bins, a Poisson process *is* a Bernoulli process with ``p = 1 -
    exp(-rate)``: their AIC are equal by construction, and these data cannot prefer
    either. ``poisson_clipped_share`` is the share of its spikes that a bin with one
    spike at most would hide. The overdispersion t gives alpha = mean / t, beta = (1 -
    mean) / t and the correlation t / (1 + t) between two bits of one window; 0 is the
    binomial distribution.

    References
    ----------
    Prentice, R. L. (1986). Binary regression using an extended beta-binomial
    distribution. J. Am. Stat. Assoc. 81.

    Examples
    --------
    >>> import numpy as np
    >>> from ann2neo import Recording, SpikeRaster
    >>> bits = np.random.default_rng(1).random((1, 5000)) < 0.3
    >>> fit = fit_processes(Recording.from_raster(SpikeRaster.from_dense(bits)))
    >>> (
    ...     fit["best_process"].to_list(),
    ...     bool(fit["poisson_aic"][0] == fit["bernoulli_aic"][0]),
    ... )
    (['bernoulli'], True)
    """
    phases = phases_of(recording, "fit_processes")
    if window is not None:
        window = whole_number(
            window,
            "window",
            at_least=2,
            noun="bins",
            remedy="a count over one bin is the bit itself",
        )
    lags = whole_number(
        lags,
        "lags",
        at_least=2,
        noun="lags",
        remedy="one degree of freedom goes to the fit",
    )
    tables = []
    for phase in phases:
        raster = phase.raster(recording.raster).raster
        length = window_for(None, phase.lengths) if window is None else window
        for units, block in raster.unit_blocks(_BLOCK_BYTES):
            index = np.arange(units.start, units.stop)
            fit = _fit_block(block, length, lags)
            tables.append(table_of_units(fit, index, phase))
    if not tables:
        return pd.DataFrame(columns=["unit", "phase", "best_process"])
    return pd.concat(tables, ignore_index=True)


def _fit_block(raster: SpikeRaster, window: int, lags: int) -> pd.DataFrame:
    n, spikes = raster.n_time_bins, raster.spike_counts()
    columns: dict[str, Any] = {"n_time_bins": n, "n_spikes": spikes, "window": window}
    p = spikes / n
    edge = (spikes == 0) | (spikes == n)
    # K ln p + (N - K) ln(1 - p), where 0 ln 0 = 0 keeps constant trains finite.
    bernoulli = xlogy(spikes, p) + xlog1py(n - spikes, -p)
    with np.errstate(divide="ignore"):
        rate = -np.log1p(-p)
    # -expm1(-rate) / rate: bins with a spike per spike of the process.
    seen = np.divide(p, rate, out=np.ones_like(p), where=rate > 0)
    mean, over, counts_likelihood, counts_edge = fit_beta_binomial(raster, window)
    silence, spike, chain_likelihood, chain_edge = fit_markov(raster)
    fitted: dict[str, tuple[dict[str, Any], Any, BoolArray]] = {
        "bernoulli": ({"p": p}, bernoulli, edge),
        "poisson": (
            {
                "rate": rate,
                "rate_hz": rate / raster.sampling_period_seconds,
                "clipped_share": 1.0 - seen,
            },
            bernoulli,
            edge,
        ),
        "beta_binomial": (
            {"mean": mean, "overdispersion": over},
            counts_likelihood,
            counts_edge,
        ),
        "markov": (
            {"after_silence": silence, "after_spike": spike},
            chain_likelihood,
            chain_edge,
        ),
    }
    dense = raster.to_dense()
    expected = {
        "bernoulli": np.broadcast_to(p[:, None], dense.shape),
        "beta_binomial": _beta_binomial_expectation(dense, window, mean, over),
        "markov": _markov_expectation(dense, silence, spike),
    }
    checks = {
        name: _residual_checks(
            dense, given_past, window, lags, spikes, dependence=int(name != "bernoulli")
        )
        for name, given_past in expected.items()
    }
    # The overdispersion was fitted to these windows, so that their dispersion cannot
    # test it; from few windows its estimate is too rough for white residuals.
    checks["beta_binomial"]["dispersion_pvalue"][:] = np.nan
    if raster.n_time_bins // window < _MIN_WINDOWS:
        checks["beta_binomial"]["ljung_box_pvalue"][:] = np.nan
    checks["poisson"] = checks["bernoulli"]
    for name, (parameters, likelihood, boundary) in fitted.items():
        columns |= {f"{name}_{key}": value for key, value in parameters.items()}
        columns[f"{name}_log_likelihood"] = likelihood
        columns[f"{name}_aic"] = 2.0 * PROCESSES[name] - 2.0 * likelihood
        columns[f"{name}_boundary"] = boundary
        columns |= {f"{name}_{key}": value for key, value in checks[name].items()}
    criteria = np.stack([columns[f"{name}_aic"] for name in PROCESSES])
    best = np.array(list(PROCESSES), object)[criteria.argmin(axis=0)]
    columns["best_process"] = pd.Series(best, dtype="str")
    return pd.DataFrame(columns, index=pd.RangeIndex(len(spikes)))


# -- two-state Markov chain
# --------------------------------------------------------------------------------------


def fit_markov(
    raster: SpikeRaster,
) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Fit a two-state Markov chain by maximum likelihood, the first bit included.

    Parameters
    ----------
    raster : SpikeRaster
        The bits.

    Returns
    -------
    after_silence, after_spike : ndarray of float64, shape (n_units,)
        Probability of a spike after a bin without and with one; NaN where the train
        never is in that state.
    log_likelihood : ndarray of float64, shape (n_units,)
        Of the whole train.
    boundary : ndarray of bool, shape (n_units,)
        Whether a probability is 0, 1 or unknown.
    """
    n, spikes = raster.n_time_bins, raster.spike_counts()
    first = raster.head(1)[:, 0].astype(np.int64)
    last = raster.tail(1)[:, 0].astype(np.int64)
    # n01 counts silences that a spike follows, and so on.
    n11 = raster.lag_counts(1)[:, 1]
    n10, n01 = spikes - last - n11, spikes - first - n11
    n00 = n - 1 - n11 - n10 - n01
    # With a and b the probabilities of leaving silence and of leaving spiking, the
    # stationary start adds ln a (or ln b) - ln(a + b).
    leave_silence, leave_spike = n01 + first, n10 + 1 - first
    # Given b the best a is known in closed form, and the other way round.
    a, b = np.full((2, len(spikes)), 0.5)
    for _ in range(100):
        before = np.stack([a, b])
        a = _leaving(leave_silence, n00, b)
        b = _leaving(leave_spike, n11, a)
        if np.allclose([a, b], before, rtol=0, atol=1e-15):
            break
    active = (spikes > 0) & (spikes < n)
    likelihood = (
        xlogy(leave_silence, a)
        + xlog1py(n00, -a)
        + xlogy(leave_spike, b)
        + xlog1py(n11, -b)
    )
    likelihood -= np.log(np.where(active, a + b, 1.0))
    a, b = np.where(spikes == n, np.nan, a), np.where(spikes == 0, np.nan, b)
    boundary = ~active | (a >= 1) | (b >= 1) | (a <= 0) | (b <= 0)
    return a, 1.0 - b, np.where(active, likelihood, 0.0), boundary


def _leaving(left: IntArray, stayed: IntArray, other: FloatArray) -> FloatArray:
    """Return the q in 0 .. 1 that maximises the likelihood of leaving a state.

    Its logarithm is ``left ln(q) + stayed ln(1 - q) - ln(q + other)``, whose slope is 0
    at the positive root of a quadratic.
    """
    # The slope times q (1 - q) (q + other) is constant - linear q - square q^2.
    square = left + stayed - 1.0
    linear = 1.0 - left + (left + stayed) * other
    constant = left * other
    root = np.sqrt(np.maximum(0.0, linear**2 + 4.0 * square * constant))
    # Of the two forms of the root, the one that does not cancel.
    falling = linear < 0
    numerator = np.where(falling, root - linear, 2.0 * constant)
    denominator = np.where(falling, 2.0 * square, linear + root)
    inside = np.divide(
        numerator, denominator, out=np.zeros_like(root), where=denominator > 0
    )
    # 0 and 1 are exact, not up to rounding.
    return np.select([left == 0, stayed == 0], [0.0, 1.0], np.clip(inside, 0.0, 1.0))


def _markov_expectation(
    dense: BoolArray, after_silence: FloatArray, after_spike: FloatArray
) -> FloatArray:
    silence = np.nan_to_num(after_silence, nan=1.0)
    spike = np.nan_to_num(after_spike, nan=0.0)
    expected = np.empty(dense.shape)
    expected[:, 1:] = np.where(dense[:, :-1], spike[:, None], silence[:, None])
    with np.errstate(invalid="ignore"):
        # The first bin has no past: its probability is the stationary a / (a + b).
        expected[:, 0] = np.nan_to_num(silence / (silence + 1.0 - spike), nan=1.0)
    return expected


# -- beta-binomial counts
# --------------------------------------------------------------------------------------


def fit_beta_binomial(
    raster: SpikeRaster, window: int
) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Fit beta-binomial counts by maximum likelihood.

    Parameters
    ----------
    raster : SpikeRaster
        The bits.
    window : int
        Length of a window, in bins; bins left over at the end are a shorter window.

    Returns
    -------
    mean, overdispersion : ndarray of float64, shape (n_units,)
        Mean of a bit, and ``1 / (alpha + beta)``.
    log_likelihood : ndarray of float64, shape (n_units,)
        Of the bits: the probability of the counts divided by the number of arrangements
        of each count.
    boundary : ndarray of bool, shape (n_units,)
        Whether the overdispersion is 0 (binomial counts), beyond 1e6, or the train
        silent or saturated.
    """
    n, spikes = raster.n_time_bins, raster.spike_counts()
    window = min(window, n)
    above, below, present = _tail_counts(raster, window)
    order = np.arange(window)
    p = spikes / n
    active = (spikes > 0) & (spikes < n)
    mean, over, boundary = p.copy(), np.zeros_like(p), np.ones(len(p), np.bool_)
    q = np.where(active, p, 0.5)
    # Slope of the log-likelihood in the overdispersion, at an overdispersion of 0.
    slopes = order * (above / q[:, None] + below / (1.0 - q[:, None]) - present)
    # Where the likelihood falls from overdispersion 0 on, binomial counts fit best.
    chosen = np.flatnonzero(active & (slopes.sum(axis=1) > 1e-9 * n))
    if chosen.size:
        mean[chosen], over[chosen] = _maximise(
            above[chosen], below[chosen], present, p[chosen]
        )
        boundary[chosen] = over[chosen] >= _LARGEST_OVERDISPERSION
    likelihood = np.zeros(len(p))
    likelihood[active] = _likelihood(
        above[active], below[active], present, mean[active], over[active]
    )
    return mean, over, likelihood, boundary


def _tail_counts(
    raster: SpikeRaster, window: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Count the windows with more than i spikes, silences and bins, i < window."""
    counts = raster.window_counts(window)
    n_units, n_windows = counts.shape
    offset = (window + 1) * np.arange(n_units)[:, None]
    # One histogram for all units, each with an offset of its own.
    histogram = np.bincount(
        (counts + offset).ravel(), minlength=n_units * (window + 1)
    ).reshape(n_units, window + 1)
    # More than i silences are fewer than w - i spikes: the same counts in reverse.
    at_most = np.cumsum(histogram, axis=1)[:, :window]
    above, below = n_windows - at_most, at_most[:, ::-1]
    present = np.full(window, n_windows)
    rest = raster.n_time_bins - n_windows * window
    if rest:
        last = (raster.spike_counts() - counts.sum(axis=1))[:, None]
        order = np.arange(window)
        above = above + (last > order)
        below = below + (rest - last > order)
        present = present + (rest > order)
    return above.astype(float), below.astype(float), present.astype(float)


def _likelihood(
    above: FloatArray,
    below: FloatArray,
    present: FloatArray,
    mean: FloatArray,
    over: FloatArray,
) -> FloatArray:
    # A window of w bits, c of them spikes, has with overdispersion t the probability
    #     prod_(i<c) (mean + i t) prod_(i<w-c) (1 - mean + i t) / prod_(i<w) (1 + i t).
    # Factor i occurs once for each window with more than i spikes (silences, bins), so
    # that the sum has `window` terms however many windows there are.
    step = np.arange(len(present)) * over[:, None]
    spikes = xlogy(above, mean[:, None] + step)
    terms = spikes + xlogy(below, 1.0 - mean[:, None] + step)
    total: FloatArray = (terms - present * np.log1p(step)).sum(axis=1)
    return total


def _maximise(
    above: FloatArray, below: FloatArray, present: FloatArray, p: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return mean and overdispersion of the largest likelihood, all units at once.

    Damped Newton steps (Levenberg) in x = logit(mean) and y = log(overdispersion), with
    gradient (gx, gy) and Hessian ((hxx, hxy), (hxy, hyy)).
    """
    order = np.arange(len(present))
    x, y = logit(p), np.full(len(p), np.log(0.01))
    damping = np.full(len(p), 1e-3)
    value = _likelihood(above, below, present, expit(x), np.exp(y))
    for _ in range(200):
        mean, over = expit(x), np.exp(y)
        slope = mean * (1.0 - mean)
        step = order * over[:, None]
        up, down = 1.0 / (mean[:, None] + step), 1.0 / (1.0 - mean[:, None] + step)
        total = 1.0 / (1.0 + step)
        gain, loss = above * up, below * down
        d_mean = (gain - loss).sum(axis=1)
        d_over = (order * (gain + loss - present * total)).sum(axis=1)
        gain, loss = gain * up, loss * down
        gx, gy = d_mean * slope, d_over * over
        hxx = -(gain + loss).sum(axis=1) * slope**2 + gx * (1.0 - 2.0 * mean)
        hxy = -(order * (gain - loss)).sum(axis=1) * slope * over
        bend = (order**2 * (gain + loss - present * total**2)).sum(axis=1)
        hyy = -bend * over**2 + gy
        # Added to the diagonal, so that steps climb where the surface is not concave.
        ridge = damping * (np.abs(hxx) + np.abs(hyy) + 1e-12)
        ridge += np.maximum(0.0, np.maximum(hxx, hyy))
        axx, ayy = ridge - hxx, ridge - hyy
        determinant = axx * ayy - hxy**2
        safe = determinant > 1e-14 * axx * ayy
        determinant = np.where(safe, determinant, axx * ayy)
        cross = np.where(safe, hxy, 0.0)
        dx = np.clip((ayy * gx + cross * gy) / determinant, -2.0, 2.0)
        dy = np.clip((cross * gx + axx * gy) / determinant, -2.0, 2.0)
        # Each unit keeps only a step that climbs, and damps the next one after a fall.
        tried_x, tried_y = x + dx, np.minimum(y + dy, np.log(_LARGEST_OVERDISPERSION))
        tried = _likelihood(above, below, present, expit(tried_x), np.exp(tried_y))
        better = tried >= value
        moved = np.maximum(np.abs(tried_x - x), np.abs(tried_y - y))
        x, y = np.where(better, tried_x, x), np.where(better, tried_y, y)
        value = np.where(better, tried, value)
        damping = np.where(better, damping * 0.1, np.minimum(damping * 10.0, 1e12))
        if np.all((moved < 1e-10) | (damping >= 1e12)):
            break
    over = np.where(
        y >= np.log(_LARGEST_OVERDISPERSION), _LARGEST_OVERDISPERSION, np.exp(y)
    )
    return expit(x), over


def _beta_binomial_expectation(
    dense: BoolArray, window: int, mean: FloatArray, over: FloatArray
) -> FloatArray:
    """Return the probability of a spike given the bins before it in the same window."""
    n_units, n = dense.shape
    before = np.zeros((n_units, n + 1), np.int32)
    np.cumsum(dense, axis=1, out=before[:, 1:])
    # Pólya's urn: each spike so far in the window raises the odds of the next one.
    place = np.arange(n) % window
    spikes = before[:, :-1] - before[:, np.arange(n) - place]
    return (mean[:, None] + spikes * over[:, None]) / (1.0 + place * over[:, None])


# -- residuals
# --------------------------------------------------------------------------------------


def _residual_checks(
    dense: BoolArray,
    expected: FloatArray,
    window: int,
    lags: int,
    spikes: IntArray,
    dependence: int,
) -> dict[str, FloatArray]:
    n_units, n = dense.shape
    variance = expected * (1.0 - expected)
    possible = variance > 1e-12
    residual = np.where(possible, dense - expected, 0.0)
    residual /= np.sqrt(np.where(possible, variance, 1.0))
    rare = np.minimum(spikes, n - spikes)
    checks = {
        name: np.full(n_units, np.nan)
        for name in ("ljung_box_pvalue", "dispersion", "dispersion_pvalue")
    }
    # K^2 / N pairs of spikes are expected at each lag if bins are independent.
    testable = (rare**2 / n >= _MIN_EXPECTED) & (n > 2 * lags)
    if testable.any():
        centred = residual[testable] - residual[testable].mean(axis=1, keepdims=True)
        power = np.einsum("ut,ut->u", centred, centred)
        statistic = np.zeros(len(centred))
        for lag in range(1, lags + 1):
            r = np.einsum("ut,ut->u", centred[:, lag:], centred[:, :-lag]) / power
            statistic += r**2 / (n - lag)
        checks["ljung_box_pvalue"][testable] = chi2.sf(
            n * (n + 2) * statistic, lags - dependence
        )
    n_windows = n // window
    if n_windows >= 2:
        windows = residual[:, : n_windows * window].reshape(n_units, n_windows, window)
        sums = windows.sum(axis=2)
        # Deviations from the mean: the fit of the rate takes one degree of freedom.
        # Residuals of variance 1 have sums of variance w over a window.
        square = ((sums - sums.mean(axis=1, keepdims=True)) ** 2).sum(axis=1) / window
        active = rare > 0
        checks["dispersion"][active] = square[active] / (n_windows - 1)
        counted = active & (rare * window >= n)
        lower = chi2.cdf(square[counted], n_windows - 1)
        upper = chi2.sf(square[counted], n_windows - 1)
        smaller = np.minimum(lower, upper)
        checks["dispersion_pvalue"][counted] = np.minimum(1.0, 2.0 * smaller)
    return checks
