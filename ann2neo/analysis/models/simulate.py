"""Simulated spikes: of fitted processes, or of given rates and correlations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq
from scipy.special import ndtri

from ann2neo._checks import number_between, one_of, seed_or_new, whole_number
from ann2neo.analysis._entry import (
    BoolArray,
    Column,
    FloatArray,
    count_column,
    text_column,
)
from ann2neo.analysis._phases import one_phase, phase_named
from ann2neo.analysis.models.dichotomized_gaussian import latent_factor
from ann2neo.analysis.models.fit_processes import PROCESSES, fit_processes
from ann2neo.errors import InputValueError
from ann2neo.raster import RasterBuilder, SpikeRaster
from ann2neo.recording import Recording

__all__ = ["COUNTING_COLUMNS", "counting_processes", "simulate"]

COUNTING_COLUMNS: tuple[Column, ...] = (
    count_column("unit", "Index of the unit in the recording."),
    count_column(
        "time_bin",
        "Time bin before which spikes are counted; segments are set side by side.",
    ),
    count_column("observed", "Spikes of the unit before that bin."),
    count_column("simulated", "Spikes of its first simulated train before that bin."),
    Column("mean", "Mean over the simulated trains of the unit.", "spikes"),
    Column("lower", "Lower edge of the band that holds most of them.", "spikes"),
    Column("upper", "Upper edge of that band.", "spikes"),
    Column(
        "mean_process",
        "Mean over trains of one process with the mean rate of the units.",
        "spikes",
    ),
    Column("mean_process_lower", "Lower edge of the band of that process.", "spikes"),
    Column("mean_process_upper", "Upper edge of the band of that process.", "spikes"),
    text_column("process", "Process that was simulated."),
    count_column("n_simulations", "Simulated trains of each unit."),
    count_column("seed", "Seed of the simulation."),
)
"""Columns of the table of `counting_processes`."""

_BLOCK_CELLS = 1 << 22


def simulate(
    fit_or_rates: pd.DataFrame | npt.ArrayLike,
    n_time_bins: int | None = None,
    *,
    process: str | None = None,
    correlations: float | npt.ArrayLike | None = None,
    phase: str | None = None,
    sampling_period: pq.Quantity = 1 * pq.ms,
    seed: int | None = None,
) -> Recording:
    """Simulate spike trains.

    Parameters
    ----------
    fit_or_rates : pandas.DataFrame or array_like of float, shape (n_units,)
        A table returned by `fit_processes`, or firing rates in spikes per bin, from 0
        to 1.
    n_time_bins : int, optional
        Number of bins; that of the fit if not given.
    process : {"best", "bernoulli", "poisson", "beta_binomial", "markov"}, optional
        For a fit: the process to simulate; "best" (the default) is the one of the
        lowest AIC, unit by unit.
    correlations : float or array_like, shape (n_units, n_units), optional
        For rates: correlation of every pair of units, one number for all or a matrix
        such as `correlation_matrix` returns; rows of units that never vary are ignored.
        Units are independent if not given.
    phase : str, optional
        For a fit: the phase to simulate; not needed if there is only one.
    sampling_period : quantities.Quantity, time
        Length of a bin.
    seed : int, optional
        Seed; one is drawn if not given. The provenance of the result reports it.

    Returns
    -------
    Recording
        One phase "simulated", without presentations.

    Raises
    ------
    InputTypeError, InputValueError
        If rates lie outside 0 .. 1, an argument is missing or does not apply, or no
        dichotomized Gaussian has these correlations; the message names the pair and its
        possible range.

    Notes
    -----
    Correlated units are a dichotomized Gaussian: bits are the signs of a Gaussian
    vector, independent from bin to bin, whose means and correlations are chosen such
    that rates and pairwise correlations of the bits are exact. Among the binary
    distributions with these moments, it has little structure beyond them.

    References
    ----------
    Macke, J. H., Berens, P., Ecker, A. S., Tolias, A. S. and Bethge, M. (2009).
    Generating spike trains with specified correlation coefficients. Neural Comput. 21.

    Examples
    --------
    >>> recording = simulate([0.2, 0.7], 10_000, correlations=0.3, seed=1)
    >>> recording.raster.spike_counts() / 10_000
    array([0.2..., 0.7...])
    """
    seed = seed_or_new(seed)
    if isinstance(fit_or_rates, pd.DataFrame):
        if correlations is not None:
            raise InputValueError(
                "correlations cannot be given together with a fit; pass rates, for"
                " example fit['bernoulli_p']"
            )
        raster, origin = _from_fit(
            fit_or_rates, n_time_bins, process or "best", phase, sampling_period, seed
        )
    else:
        if process is not None or phase is not None:
            name = "process" if process is not None else "phase"
            raise InputValueError(
                f"{name} applies to a table of fits, and rates were given; drop it, or"
                " pass the fit"
            )
        if n_time_bins is None:
            raise InputValueError(
                "rates do not say how many bins to simulate; pass n_time_bins=..."
            )
        rates = _checked_rates(fit_or_rates)
        n_time_bins = whole_number(n_time_bins, "n_time_bins", noun="bins")
        raster = _from_rates(rates, n_time_bins, correlations, sampling_period, seed)
        origin = {
            "process": "bernoulli" if correlations is None else "dichotomized_gaussian"
        }
    provenance = {"simulated": "True", "seed": str(seed), **origin}
    return Recording.from_raster(raster, phase="simulated", provenance=provenance)


def _checked_rates(rates: npt.ArrayLike) -> FloatArray:
    values = np.asarray(rates, np.float64)
    if values.ndim != 1:
        raise InputValueError(
            f"rates need shape (n_units,), got {values.shape}; pass a list, for one"
            " unit too"
        )
    outside = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if outside.size:
        unit = int(outside[0])
        raise InputValueError(
            f"rates are spikes per bin and lie in 0 .. 1, got {values[unit]} for unit"
            f" {unit}; multiply a rate in Hz by the bin length in s"
        )
    return values


def _from_rates(
    rates: FloatArray,
    n_time_bins: int,
    correlations: Any,
    sampling_period: pq.Quantity,
    seed: int,
) -> SpikeRaster:
    rng = np.random.default_rng(seed)
    n_units = len(rates)
    varying = np.flatnonzero((rates > 0) & (rates < 1))
    if correlations is not None:
        matrix = _checked_correlations(correlations, varying, n_units)
        factor = latent_factor(rates[varying], matrix, varying)
    builder = RasterBuilder(n_units, n_time_bins)
    # Blocks of whole bytes: the builder packs eight bins into one.
    step = max(8, _BLOCK_CELLS // max(1, n_units) // 8 * 8)
    for first in range(0, n_time_bins, step):
        n_rows = min(step, n_time_bins - first)
        if correlations is None:
            bits = rng.random((n_rows, n_units)) < rates
        else:
            # Units that never vary have no latent Gaussian, and keep their value.
            bits = np.tile(rates >= 1, (n_rows, 1))
            latent = rng.standard_normal((n_rows, len(varying))) @ factor.T
            bits[:, varying] = latent < ndtri(rates[varying])
        builder.write(first, np.ascontiguousarray(bits))
    return builder.build(sampling_period=sampling_period)


def _checked_correlations(
    correlations: Any, varying: npt.NDArray[np.intp], n_units: int
) -> FloatArray:
    matrix = np.asarray(correlations, np.float64)
    if matrix.ndim == 0:
        matrix = np.full((n_units, n_units), float(matrix))
        np.fill_diagonal(matrix, 1.0)
    if matrix.shape != (n_units, n_units):
        raise InputValueError(
            f"correlations must be one number or a matrix of shape ({n_units},"
            f" {n_units}), got shape {matrix.shape}"
        )
    matrix = matrix[np.ix_(varying, varying)]
    if not np.isfinite(matrix).all() or (np.abs(matrix) > 1 + 1e-9).any():
        raise InputValueError(
            "correlations must lie in -1 .. 1 for all units that vary; check for NaN"
        )
    symmetric = np.allclose(matrix, matrix.T, atol=1e-9)
    if not symmetric or not np.allclose(np.diag(matrix), 1.0, atol=1e-9):
        raise InputValueError(
            "a matrix of correlations must be symmetric with ones on the diagonal"
        )
    return matrix


# -- from a fit
# --------------------------------------------------------------------------------------


def _from_fit(
    fit: pd.DataFrame,
    n_time_bins: int | None,
    process: str,
    phase: str | None,
    sampling_period: pq.Quantity,
    seed: int,
) -> tuple[SpikeRaster, dict[str, str]]:
    if "best_process" not in fit or "phase" not in fit:
        raise InputValueError(
            "a table to simulate from must come from fit_processes; it lacks"
            " 'best_process'"
        )
    one_of(process, ("best", *PROCESSES), "process")
    rows = fit[
        fit["phase"] == phase_named(phase, list(dict.fromkeys(fit["phase"])), "fit")
    ]
    if n_time_bins is None:
        n_time_bins = int(rows["n_time_bins"].iloc[0])
    length = whole_number(n_time_bins, "n_time_bins", noun="bins")
    chosen = np.full(len(rows), process, object)
    if process == "best":
        chosen = rows["best_process"].to_numpy()
    bits = np.zeros((len(rows), length), np.bool_)
    for name in PROCESSES:
        units = np.flatnonzero(chosen == name)
        if units.size:
            rng = np.random.default_rng([seed, list(PROCESSES).index(name)])
            bits[units] = _PROCESS_BITS[name](rows.iloc[units], length, rng)
    origin = {"process": process, "phase_fitted": str(rows["phase"].iloc[0])}
    return SpikeRaster.from_dense(bits, sampling_period=sampling_period), origin


def _independent_bits(p: FloatArray, n: int, rng: np.random.Generator) -> BoolArray:
    return rng.random((len(p), n)) < p[:, None]


def _beta_binomial_bits(
    rows: pd.DataFrame, n: int, rng: np.random.Generator
) -> BoolArray:
    """Draw a rate for each window from a beta distribution, and bits of that rate."""
    mean = rows["beta_binomial_mean"].to_numpy()
    over = rows["beta_binomial_overdispersion"].to_numpy()
    window = int(rows["window"].iloc[0])
    n_windows = -(-n // window)
    spread = np.where((over > 0) & (mean > 0) & (mean < 1), over, np.nan)
    # Parameters of units without a beta distribution are placeholders.
    alpha = np.nan_to_num(mean / spread, nan=1.0)
    beta = np.nan_to_num((1.0 - mean) / spread, nan=1.0)
    rates = rng.beta(alpha[:, None], beta[:, None], (len(mean), n_windows))
    rates = np.where(np.isnan(spread)[:, None], mean[:, None], rates)
    return rng.random((len(mean), n)) < np.repeat(rates, window, axis=1)[:, :n]


def _markov_bits(rows: pd.DataFrame, n: int, rng: np.random.Generator) -> BoolArray:
    """Draw alternating runs of silence and spikes, of geometric lengths."""
    silence = np.nan_to_num(rows["markov_after_silence"].to_numpy(), nan=1.0)
    spike = np.nan_to_num(rows["markov_after_spike"].to_numpy(), nan=0.0)
    bits = np.zeros((len(rows), n), np.bool_)
    for unit, (a, b) in enumerate(zip(silence, 1.0 - spike, strict=True)):
        spiking = bool(rng.random() < (a / (a + b) if a + b else 1.0))
        position = 0
        while position < n:
            # Twice as many runs as fit on average, and again if they do not suffice.
            leave = (b, a) if spiking else (a, b)
            mean_pair = sum(1.0 / q if q else np.inf for q in leave)
            # An even number, so that the next round starts in the same state.
            n_runs = 2 * int(max(1, 2 * (n - position) / mean_pair))
            lengths = np.empty(n_runs, np.int64)
            for parity, q in enumerate(leave):
                # A state that is never left lasts for the rest of the train.
                lengths[parity::2] = n
                if q:
                    lengths[parity::2] = np.minimum(rng.geometric(q, n_runs // 2), n)
            runs = (np.arange(n_runs) % 2 == 0) == spiking
            state = np.repeat(runs, lengths)[: n - position]
            bits[unit, position : position + len(state)] = state
            position += len(state)
    return bits


_PROCESS_BITS: Mapping[
    str, Callable[[pd.DataFrame, int, np.random.Generator], BoolArray]
] = {
    "bernoulli": lambda rows, n, rng: _independent_bits(
        rows["bernoulli_p"].to_numpy(), n, rng
    ),
    "poisson": lambda rows, n, rng: _independent_bits(
        -np.expm1(-rows["poisson_rate"].to_numpy()), n, rng
    ),
    "beta_binomial": _beta_binomial_bits,
    "markov": _markov_bits,
}


# -- observed beside simulated
# --------------------------------------------------------------------------------------


def counting_processes(
    recording: Recording,
    *,
    phase: str | None = None,
    units: npt.ArrayLike | None = None,
    process: str = "poisson",
    n_simulations: int = 100,
    n_points: int = 100,
    level: float = 0.95,
    seed: int | None = None,
) -> pd.DataFrame:
    """Count the spikes so far, of observed units and of units simulated from fits.

    Parameters
    ----------
    recording : Recording
        The spikes.
    phase : str, optional
        The phase; not needed if there is only one.
    units : array_like of int or bool, optional
        Units to count; all if not given.
    process : str, default "poisson"
        Process to simulate, as in `simulate`.
    n_simulations : int, default 100
        Simulated trains of each unit.
    n_points : int, default 100
        Points in time at which to count.
    level : float, default 0.95
        Share of simulated trains between ``lower`` and ``upper``.
    seed : int, optional
        Seed; one is drawn and reported if not given.

    Returns
    -------
    pandas.DataFrame
        One row per unit and point in time: ``unit, time_bin, observed`` (spikes before
        that bin; segments are set side by side), ``simulated`` (of the first simulated
        train), ``mean, lower, upper`` (over all simulated trains of that unit), and
        ``mean_process, mean_process_lower, mean_process_upper``: one process with the
        mean rate of these units, the same in the rows of every unit. Units outside that
        band show that one rate cannot describe the layer.

    Raises
    ------
    InputTypeError, InputValueError
        If the phase or the process is unknown or not given, or a number is out of
        range.

    Examples
    --------
    >>> recording = simulate([0.2, 0.4], n_time_bins=1000, seed=0)
    >>> table = counting_processes(recording, n_simulations=20, n_points=5, seed=0)
    >>> table.loc[table["unit"] == 0, ["time_bin", "observed"]].iloc[-1].to_list()
    [1000, ...]
    """
    n_simulations = whole_number(n_simulations, "n_simulations", at_least=2)
    n_points = whole_number(n_points, "n_points")
    level = number_between(level, "level", 0, 1, remedy="the usual one is 0.95")
    chosen = one_phase(recording, phase, "counting_processes")
    seed = seed_or_new(seed)
    raster = chosen.raster(recording.raster).raster
    index = np.arange(raster.n_units)
    if units is not None:
        raster = raster.take(units=units)
        index = index[np.asarray(units)] if raster.n_units else index[:0]
    if not index.size:
        raise InputValueError(
            "counting processes need at least one unit, got none; check units=..."
        )
    n = raster.n_time_bins
    part = recording.select(phase=chosen.phase)
    fit = fit_processes(part if units is None else part.select(units=units))
    points = np.unique(np.linspace(0, n, n_points + 1).round().astype(np.int64))
    tails = [(1 - level) / 2, (1 + level) / 2]
    drawn = np.empty((n_simulations, len(index), len(points)), np.int64)
    for turn in range(n_simulations):
        simulated = simulate(fit, process=process, seed=_nth(seed, turn))
        drawn[turn] = simulated.raster.cumulative_counts(points)
    # One unit for each simulation, all of the mean rate.
    rate = np.full(n_simulations, fit["bernoulli_p"].mean())
    simulated = simulate(rate, n, seed=_nth(seed, n_simulations))
    pooled = simulated.raster.cumulative_counts(points)
    lower, upper = np.quantile(drawn, tails, axis=0)
    pooled_lower, pooled_upper = np.quantile(pooled, tails, axis=0)
    columns = {
        "unit": np.repeat(index, len(points)),
        "time_bin": np.tile(points, len(index)),
        "observed": raster.cumulative_counts(points).ravel(),
        "simulated": drawn[0].ravel(),
        "mean": drawn.mean(axis=0).ravel(),
        "lower": lower.ravel(),
        "upper": upper.ravel(),
        "mean_process": np.tile(pooled.mean(axis=0), len(index)),
        "mean_process_lower": np.tile(pooled_lower, len(index)),
        "mean_process_upper": np.tile(pooled_upper, len(index)),
    }
    return pd.DataFrame(columns).assign(
        process=process, n_simulations=n_simulations, seed=seed
    )


def _nth(seed: int, turn: int) -> int:
    return int(np.random.SeedSequence([seed, turn]).generate_state(1)[0])
