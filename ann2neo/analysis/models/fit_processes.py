"""Stochastic processes fitted to all units, compared by the likelihood of the bits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit, xlog1py, xlogy
from scipy.stats import chi2

from ann2neo._checks import whole_number
from ann2neo._parallel import Task, checked_executor, map_tasks
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
from ann2neo.raster import SegmentedRaster, SpikeRaster
from ann2neo.raster.bits import row_bytes
from ann2neo.recording import Recording
from ann2neo.recording.segments import UnitsOfPhase

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

_BLOCK_CELLS = 1 << 16
"""Bins of a block of units, unless one unit has more."""
_BLOCKS_PER_TASK = 32
_CHUNK_BINS = 1 << 15
"""Bins whose residuals stay in a core's cache while they are multiplied."""
_LARGEST_OVERDISPERSION = 1e6
_LEAST_VARIANCE = 1e-12
_MIN_EXPECTED = 5.0
_MIN_WINDOWS = 50


def fit_processes(
    recording: Recording,
    *,
    window: int | None = None,
    lags: int = 10,
    executor: Executor | None = None,
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

    Each segment of a phase is a sequence of its own: a chain begins anew in it, and
    windows, lags and transitions lie inside it.

    Every likelihood is the probability of the same sequences of bits, so that Akaike's
    information criteria (AIC) can be compared. Those of a density of intervals in
    milliseconds or of a distribution of counts could not: they are probabilities of
    other data.

    Parameters
    ----------
    recording : Recording
        The spikes; each phase is fitted on its own.
    window : int, optional
        Window of the counts, in bins; that of `analyze` for each phase if not given.
    lags : int, default 10
        Lags of the Ljung-Box check of the residuals.
    executor : concurrent.futures.Executor, optional
        As in `analyze`.

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
    raster = recording.raster
    tasks = []
    for phase in phases:
        length = window_for(None, phase.lengths) if window is None else window
        n_units = _BLOCKS_PER_TASK * _block_units(phase.n_time_bins)
        tasks += [
            Task(str(part), (part, length, lags))
            for part in phase.unit_parts(raster, n_units)
        ]
    tables = list(map_tasks(_fit, tasks, checked_executor(executor)))
    if not tables:
        return pd.DataFrame(columns=["unit", "phase", "best_process"])
    return pd.concat(tables, ignore_index=True)


def _block_units(n_time_bins: int) -> int:
    return max(1, _BLOCK_CELLS // 8 // row_bytes(n_time_bins))


def _fit(part: UnitsOfPhase, window: int, lags: int) -> pd.DataFrame:
    segments = part.raster()
    # Once for all blocks of the part, as it goes through all bins of the phase.
    places = _Places(segments, window, lags)
    n_bytes = _block_units(segments.n_time_bins) * row_bytes(segments.n_time_bins)
    blocks = [_fit_block(block, places) for _, block in segments.unit_blocks(n_bytes)]
    table = pd.concat(blocks, ignore_index=True)
    return table_of_units(
        table, np.arange(part.units.start, part.units.stop), part.phase
    )


def _fit_block(segments: SegmentedRaster, places: _Places) -> pd.DataFrame:
    raster, window = segments.raster, places.window
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
    mean, over, counts_likelihood, counts_edge = fit_beta_binomial(segments, window)
    silence, spike, chain_likelihood, chain_edge = fit_markov(segments)
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
    residuals = {
        "bernoulli": _bernoulli_residuals(dense, p),
        "beta_binomial": _beta_binomial_residuals(segments, dense, places, mean, over),
        "markov": _markov_residuals(dense, places.starts, silence, spike),
    }
    checks = {
        name: _residual_checks(
            residual, places, spikes, dependence=int(name != "bernoulli")
        )
        for name, residual in residuals.items()
    }
    # The overdispersion was fitted to these windows, so that their dispersion cannot
    # test it; from few windows its estimate is too rough for white residuals.
    checks["beta_binomial"]["dispersion_pvalue"][:] = np.nan
    if segments.n_windows(window) < _MIN_WINDOWS:
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
    segments: SegmentedRaster | SpikeRaster,
) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Fit a two-state Markov chain by maximum likelihood, first bits included.

    Parameters
    ----------
    segments : SegmentedRaster or SpikeRaster
        The bits; a chain begins in every segment, and a SpikeRaster is one segment.

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
    segments = _segmented(segments)
    n, spikes = segments.n_time_bins, segments.raster.spike_counts()
    n_chains = segments.n_segments
    first = _counts_at(segments.raster, segments.edges[:-1])
    last = _counts_at(segments.raster, segments.edges[1:] - 1)
    # n01 counts silences that a spike follows, and so on.
    n11 = segments.lag_counts(1)[:, 1]
    n10, n01 = spikes - last - n11, spikes - first - n11
    n00 = n - n_chains - n11 - n10 - n01
    # With a and b the probabilities of leaving silence and of leaving spiking, each
    # stationary start adds ln a (or ln b) - ln(a + b).
    leave_silence, leave_spike = n01 + first, n10 + n_chains - first
    # Given b the best a is known in closed form, and the other way round.
    a, b = np.full((2, len(spikes)), 0.5)
    for _ in range(100):
        before = np.stack([a, b])
        a = _leaving(leave_silence, n00, b, n_chains)
        b = _leaving(leave_spike, n11, a, n_chains)
        if np.allclose([a, b], before, rtol=0, atol=1e-15):
            break
    active = (spikes > 0) & (spikes < n)
    likelihood = (
        xlogy(leave_silence, a)
        + xlog1py(n00, -a)
        + xlogy(leave_spike, b)
        + xlog1py(n11, -b)
    )
    likelihood -= n_chains * np.log(np.where(active, a + b, 1.0))
    a, b = np.where(spikes == n, np.nan, a), np.where(spikes == 0, np.nan, b)
    boundary = ~active | (a >= 1) | (b >= 1) | (a <= 0) | (b <= 0)
    return a, 1.0 - b, np.where(active, likelihood, 0.0), boundary


def _leaving(
    left: IntArray, stayed: IntArray, other: FloatArray, n_chains: int
) -> FloatArray:
    """Return the q in 0 .. 1 that maximises the likelihood of leaving a state.

    Its logarithm is ``left ln(q) + stayed ln(1 - q) - n_chains ln(q + other)``, whose
    slope is 0 at the positive root of a quadratic.
    """
    # The slope times q (1 - q) (q + other) is constant - linear q - square q^2.
    square = left + stayed - float(n_chains)
    linear = n_chains - left + (left + stayed) * other
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


def _segmented(raster: SegmentedRaster | SpikeRaster) -> SegmentedRaster:
    return SegmentedRaster(raster) if isinstance(raster, SpikeRaster) else raster


def _counts_at(raster: SpikeRaster, bins: IntArray) -> IntArray:
    """Count the spikes of each unit in some bins, shape (n_units,)."""
    counts: IntArray = (
        raster.cumulative_counts(bins + 1) - raster.cumulative_counts(bins)
    ).sum(axis=1)
    return counts


# -- beta-binomial counts
# --------------------------------------------------------------------------------------


def fit_beta_binomial(
    segments: SegmentedRaster | SpikeRaster, window: int
) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Fit beta-binomial counts by maximum likelihood.

    Parameters
    ----------
    segments : SegmentedRaster or SpikeRaster
        The bits; a SpikeRaster is one segment.
    window : int
        Length of a window, in bins; bins left over at the end of a segment are a
        shorter window.

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
    segments = _segmented(segments)
    n, spikes = segments.n_time_bins, segments.raster.spike_counts()
    window = min(window, int(segments.lengths.max(initial=0)))
    above, below, present = _tail_counts(segments, window)
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
    segments: SegmentedRaster, window: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Count the windows with more than i spikes, silences and bins, i < window."""
    counts = segments.window_counts(window)
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
    # Bins left over at the end of a segment are a shorter window.
    rest = segments.lengths % window
    is_short = rest > 0
    rest, stops = rest[is_short], segments.edges[1:][is_short]
    until, after = (
        segments.raster.cumulative_counts(bins) for bins in (stops - rest, stops)
    )
    last = after - until
    for i in range(int(rest.max(initial=0))):
        above[:, i] += (last > i).sum(axis=1)
        below[:, i] += (rest - last > i).sum(axis=1)
        present[i] += (rest > i).sum()
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


# -- residuals
# --------------------------------------------------------------------------------------

Residuals = Callable[[int, int], FloatArray]
"""Residuals of all units in the bins from the first number to before the second; the
first is a multiple of `_CHUNK_BINS`.
"""


class _Places:
    """Where the bins of a phase lie in their segments and windows.

    Parameters
    ----------
    segments : SegmentedRaster
        The phase.
    window, lags : int
        Length of a window, and number of lags.
    """

    def __init__(self, segments: SegmentedRaster, window: int, lags: int) -> None:
        self.window, self.lags = window, lags
        self.n_time_bins, self.n_segments = segments.n_time_bins, segments.n_segments
        self.starts = segments.edges[:-1]
        segment = np.repeat(np.arange(segments.n_segments), segments.lengths)
        # Place of each bin in its segment, counted from either end.
        from_start = np.arange(segments.n_time_bins) - self.starts[segment]
        to_end = segments.lengths[segment] - 1 - from_start
        # Place of each bin in its window, as numbers to calculate with.
        self.in_window = (from_start % window).astype(np.float64)
        # First bin of each window, those cut short by the end of a segment included.
        self.window_starts = np.flatnonzero(self.in_window == 0)
        # Number of the window of each bin.
        self.window_of = np.repeat(
            np.arange(len(self.window_starts)),
            np.diff(self.window_starts, append=segments.n_time_bins),
        )
        # Pairs of bins at each lag.
        self.n_pairs = segments.n_pairs(lags)
        # Bins near the ends of a segment, and how near.
        self._early = np.flatnonzero(from_start < lags)
        self._late = np.flatnonzero(to_end < lags)
        self._from_start, self._to_end = from_start[self._early], to_end[self._late]
        self._edges, self._is_window = segments.window_edges(window)

    def early(self, lag: int) -> IntArray:
        """Return the bins that have no partner `lag` bins before them."""
        return self._early[self._from_start < lag]

    def late(self, lag: int) -> IntArray:
        """Return the bins that have no partner `lag` bins after them."""
        return self._late[self._to_end < lag]

    def window_sums(self, values: FloatArray) -> FloatArray:
        """Sum values, shape (n_units, n_time_bins), over the complete windows."""
        n_units = len(values)
        if self.n_segments == 1:
            n_windows = self.n_time_bins // self.window
            inside = values[:, : n_windows * self.window]
            shape = n_units, n_windows, self.window
            of_windows: FloatArray = inside.reshape(shape).sum(axis=2)
            return of_windows
        edges = self._edges[self._edges < self.n_time_bins]
        sums = np.add.reduceat(values, edges, axis=1)
        return sums[:, : len(self._is_window)][:, self._is_window]


def _two_values(expected: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the residuals of a silence and of a spike that has a probability."""
    variance = expected * (1.0 - expected)
    possible = variance > _LEAST_VARIANCE
    scale = np.where(possible, 1.0 / np.sqrt(np.where(possible, variance, 1.0)), 0.0)
    return -expected * scale, (1.0 - expected) * scale


def _bernoulli_residuals(dense: BoolArray, p: FloatArray) -> Residuals:
    silence, spike = _two_values(p[:, None])
    return lambda start, stop: silence + dense[:, start:stop] * (spike - silence)


def _markov_residuals(
    dense: BoolArray,
    starts: IntArray,
    after_silence: FloatArray,
    after_spike: FloatArray,
) -> Residuals:
    silence = np.nan_to_num(after_silence, nan=1.0)[:, None]
    spike = np.nan_to_num(after_spike, nan=0.0)[:, None]
    with np.errstate(invalid="ignore"):
        # A first bin has no past: its probability is the stationary a / (a + b).
        stationary = np.nan_to_num(silence / (silence + 1.0 - spike), nan=1.0)
    r00, r01 = _two_values(silence)
    r10, r11 = _two_values(spike)
    first_0, first_1 = _two_values(stationary)
    before = np.zeros_like(dense)
    before[:, 1:] = dense[:, :-1]

    def residuals(start: int, stop: int) -> FloatArray:
        x = dense[:, start:stop].astype(np.float64)
        past = before[:, start:stop].astype(np.float64)
        # The four residuals as a polynomial in x and the bit before it.
        values: FloatArray = r00 + x * (r01 - r00)
        values += past * (r10 - r00 + x * (r11 - r10 - r01 + r00))
        first, last = np.searchsorted(starts, (start, stop))
        begins = starts[first:last]
        values[:, begins - start] = np.where(dense[:, begins], first_1, first_0)
        return values

    return residuals


def _beta_binomial_residuals(
    segments: SegmentedRaster,
    dense: BoolArray,
    places: _Places,
    mean: FloatArray,
    over: FloatArray,
) -> Residuals:
    mean, over = mean[:, None], over[:, None]
    until_window = segments.raster.cumulative_counts(places.window_starts)
    chunks = np.arange(0, places.n_time_bins, _CHUNK_BINS)
    until_chunk = segments.raster.cumulative_counts(chunks)

    def residuals(start: int, stop: int) -> FloatArray:
        x = dense[:, start:stop].astype(np.float64)
        # Spikes so far in the window: those before the bin less those before the
        # window.
        spikes = np.cumsum(x, axis=1)
        spikes -= x
        first = places.window_of[start]
        until = until_window[:, first : places.window_of[stop - 1] + 1]
        until = until - until_chunk[:, [start // _CHUNK_BINS]]
        spikes -= until[:, places.window_of[start:stop] - first]
        # Pólya's urn: each spike so far in the window raises the odds of the next one.
        expected = mean + spikes * over
        expected /= 1.0 + places.in_window[start:stop] * over
        variance = expected * (1.0 - expected)
        possible = variance > _LEAST_VARIANCE
        x -= expected
        x /= np.sqrt(np.where(possible, variance, 1.0))
        return np.where(possible, x, 0.0)

    return residuals


def _residual_checks(
    residuals: Residuals, places: _Places, spikes: IntArray, dependence: int
) -> dict[str, FloatArray]:
    n_units, n, lags = len(spikes), places.n_time_bins, places.lags
    rare = np.minimum(spikes, n - spikes)
    checks = {
        name: np.full(n_units, np.nan)
        for name in ("ljung_box_pvalue", "dispersion", "dispersion_pvalue")
    }
    # Zeros stand before the first bin, so that every bin has a partner at each lag.
    padded = np.zeros((n_units, lags + n))
    values = padded[:, lags:]
    total, products = np.zeros(n_units), np.zeros((n_units, lags + 1))
    for start in range(0, n, _CHUNK_BINS):
        stop = min(n, start + _CHUNK_BINS)
        chunk = values[:, start:stop]
        chunk[:] = residuals(start, stop)
        total += chunk.sum(axis=1)
        for lag in range(lags + 1):
            partner = padded[:, lags + start - lag : lags + stop - lag]
            products[:, lag] += np.vecdot(chunk, partner)
    # K^2 / N pairs of spikes are expected at each lag if bins are independent.
    testable = (rare**2 / n >= _MIN_EXPECTED) & (places.n_pairs[-1] > lags)
    if testable.any():
        statistic = _squared_autocorrelations(padded, products, total, places)
        checks["ljung_box_pvalue"][testable] = chi2.sf(
            n * (n + 2) * statistic[testable], lags - dependence
        )
    sums = places.window_sums(values)
    n_windows = sums.shape[1]
    if n_windows >= 2:
        # Deviations from the mean: the fit of the rate takes one degree of freedom.
        # Residuals of variance 1 have sums of variance w over a window.
        deviation = sums - sums.mean(axis=1, keepdims=True)
        square = (deviation**2).sum(axis=1) / places.window
        active = rare > 0
        checks["dispersion"][active] = square[active] / (n_windows - 1)
        counted = active & (rare * places.window >= n)
        lower = chi2.cdf(square[counted], n_windows - 1)
        upper = chi2.sf(square[counted], n_windows - 1)
        smaller = np.minimum(lower, upper)
        checks["dispersion_pvalue"][counted] = np.minimum(1.0, 2.0 * smaller)
    return checks


def _squared_autocorrelations(
    padded: FloatArray, products: FloatArray, total: FloatArray, places: _Places
) -> FloatArray:
    """Return the sum over lags of r_k^2 / n_k of the residuals around their mean.

    Parameters
    ----------
    padded : ndarray of float64, shape (n_units, lags + n_time_bins)
        Residuals, after zeros.
    products : ndarray of float64, shape (n_units, lags + 1)
        Sum over all bins of the product with the bin `lag` bins before.
    total : ndarray of float64, shape (n_units,)
        Sum of the residuals.
    places : _Places
        Segments and lags.
    """
    lags, n = places.lags, places.n_time_bins
    values, mean = padded[:, lags:], total / n
    statistic = np.zeros(len(total))
    with np.errstate(invalid="ignore", divide="ignore"):
        power = products[:, 0] - n * mean**2
        for lag in range(1, lags + 1):
            early, late = places.early(lag), places.late(lag)
            inside = products[:, lag]
            if places.n_segments > 1:
                # Pairs across a border are no pairs.
                across = np.vecdot(values[:, early], padded[:, lags + early - lag])
                inside = inside - across
            # Sum of both members of all pairs, each less the mean.
            ends = values[:, early].sum(axis=1) + values[:, late].sum(axis=1)
            n_pairs = places.n_pairs[lag]
            centred = inside - mean * (2.0 * total - ends) + n_pairs * mean**2
            statistic += (centred / power) ** 2 / n_pairs
    return statistic
