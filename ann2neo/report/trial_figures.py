"""Figures of trials: rasters, PSTHs, memory inside trials, variability over trials."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo._checks import whole_number
from ann2neo.analysis._entry import FloatArray, IntArray
from ann2neo.analysis._phases import one_phase
from ann2neo.analysis.trials.psth import psth
from ann2neo.analysis.trials.serial_correlation import (
    lag_scales,
    lag_sums,
    lag_variances,
)
from ann2neo.analysis.trials.trial_counts import TrialCounts, TrialPlan
from ann2neo.analysis.trials.trials import (
    Trials,
    check_trials,
    is_missing,
    trials_of,
)
from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording
from ann2neo.recording.windows import StepWindow
from ann2neo.report._correlogram import draw_correlogram
from ann2neo.report._recorded import is_network, lag_scale, names_of_units
from ann2neo.report.rate_figures import checked_table
from ann2neo.report.style import (
    BLUE,
    INK,
    MUTED,
    VERMILLION,
    Axes,
    add_note,
    axes_or_new,
    counted,
    group_styles,
    grouped,
)

__all__ = [
    "plot_psth",
    "plot_serial_correlation",
    "plot_trials",
    "plot_variability_over_trials",
]

_LEAST_SHARE = 0.1
"""Smallest share of the trials of a line of a PSTH that its points are means of."""

_MAX_TRIALS, _MAX_LABELS, _MAX_POINTS = 300, 6, 3_000


def plot_trials(
    recording: Recording,
    unit: int = 0,
    *,
    kind: str | None = None,
    phase: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the spikes of one unit, trial by trial, those of a label together.

    Parameters
    ----------
    recording : Recording
        A recording of trials: each segment of the phase holds one presentation.
    unit : int, default 0
        Unit to draw.
    kind : str, optional
        Kind of the presentations; the only one, or "trials", if not given.
    phase : str, optional
        Phase to draw; may be left out where there is only one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        A row per trial, a mark per spike, against the time of `psth`; grey where a
        trial has ended. Of more than 300 trials, 300 evenly spaced ones.

    Raises
    ------
    InputTypeError, InputValueError
        If there is no such unit or phase, or segments hold no single presentation.

    Examples
    --------
    >>> import pandas as pd
    >>> from ann2neo import Recording, SpikeRaster
    >>> recording = Recording.from_raster(
    ...     SpikeRaster.from_dense([[1, 0, 1, 1, 1, 0]])
    ... ).with_presentations(pd.DataFrame({"start_bin": [0, 3], "stop_bin": [3, 6]}))
    >>> plot_trials(recording.cut_trials()).get_ylabel()
    'Trial'
    """
    trials = _trials(recording, kind, phase)
    number = _unit(recording, unit)
    order = np.lexsort((np.arange(trials.n_trials), _by_name(trials)))
    n_shown = min(_MAX_TRIALS, trials.n_trials)
    shown = order[np.linspace(0, len(order) - 1, n_shown).astype(np.int64)]
    segments = trials.phase.raster(recording.raster.take(units=[number]))
    bins = segments.raster.spike_bins(0)
    segment = segments.segment_of(bins)
    step = bins - segments.edges[segment]
    row_of = np.full(trials.n_trials, -1)
    row_of[shown] = np.arange(n_shown)
    drawn = row_of[segment] >= 0
    step, row = step[drawn], row_of[segment[drawn]]
    lengths = segments.lengths[shown]
    scale, time_unit = _time_scale(recording)
    width = scale * recording.raster.sampling_period_seconds
    names, codes = _labels_of_rows(trials, shown)
    styles = group_styles(names)
    height = float(np.clip(1.5 + 0.012 * n_shown, 2.6, 5.0))
    box = (0.15, 0.8 / height, 0.66, 1 - 1 / height)
    with axes_or_new(ax, 4.6, height, box) as axes:
        start = scale * trials.start_time(recording)
        stop = start + width * int(lengths.max())
        short = np.flatnonzero(lengths < lengths.max())
        axes.barh(
            short,
            stop - (start + width * lengths[short]),
            left=start + width * lengths[short],
            height=1.0,
            color=MUTED,
            alpha=0.18,
            lw=0,
        )
        for code, name in enumerate(names):
            here = codes[row] == code
            colour = styles[name][0] if 1 < len(names) <= _MAX_LABELS else INK
            axes.vlines(
                start + width * (step[here] + 0.25),
                row[here] - 0.45,
                row[here] + 0.45,
                color=colour,
                lw=0.9,
            )
        _name_rows(axes, names, codes)
        axes.set(xlim=(start, stop), ylim=(n_shown - 0.5, -0.5))
        axes.set(xlabel=f"Time in the trial ({time_unit})", ylabel="Trial")
        note = f"unit {names_of_units(recording)[number]}, {_trials_word(n_shown)}"
        if n_shown < trials.n_trials:
            note += f", evenly spaced, of {grouped(trials.n_trials)}"
        if len(short):
            note += "; grey: the trial has ended"
        add_note(axes, note)
    return axes


def plot_psth(
    recording: Recording,
    unit: int = 0,
    *,
    by: str | None = None,
    window: int | None = None,
    kind: str | None = None,
    phase: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the peristimulus time histogram of one unit, with its standard error.

    Parameters
    ----------
    recording : Recording
        A recording of trials: each segment of the phase holds one presentation.
    unit : int, default 0
        Unit to draw.
    by : str, optional
        "label", or another column of the presentations: one line for each of its
        values, of up to six with the most trials. All trials if not given.
    window : int, optional
        Length of a window, in steps; such that there are 50 or fewer if not given.
    kind, phase, ax
        As in `plot_trials`.

    Returns
    -------
    matplotlib.axes.Axes
        Mean rate over trials against time, with bands of one standard error.

    Raises
    ------
    InputTypeError, InputValueError
        As `ann2neo.psth`.

    Examples
    --------
    >>> import pandas as pd
    >>> from ann2neo import Recording, SpikeRaster
    >>> recording = Recording.from_raster(
    ...     SpikeRaster.from_dense([[1, 0, 1, 1, 1, 0]])
    ... ).with_presentations(pd.DataFrame({"start_bin": [0, 3], "stop_bin": [3, 6]}))
    >>> ax = plot_psth(recording.cut_trials())
    >>> ax.lines[0].get_ydata().tolist()
    [1000.0, 500.0, 500.0]
    """
    trials = _trials(recording, kind, phase)
    number = _unit(recording, unit)
    longest = int(trials.phase.lengths.max())
    length = -(-longest // 50) if window is None else window
    rates = psth(
        recording.select(units=[number]), by, kind, length, phase=trials.phase.phase
    )[..., 0]
    if by is None:
        rates = rates.expand_dims({"all": ["all trials"]})
        errors, n_trials = rates["standard_error"], rates["n_trials"].expand_dims("all")
        errors = errors if errors.ndim == 2 else errors.expand_dims("all")
        by = "all"
    else:
        errors, n_trials = rates["standard_error"], rates["n_trials"]
    reaching = n_trials.to_numpy()
    per_group = reaching.max(axis=1)
    shown = np.sort(np.argsort(-per_group, kind="stable")[:_MAX_LABELS])
    names = [str(name) for name in rates[by].to_numpy()]
    styles = group_styles(names[i] for i in shown)
    scale, time_unit = _time_scale(recording)
    bins, per = length * recording.raster.sampling_period_seconds, 1.0
    what = "Rate (Hz)"
    if is_network(recording):
        per, what = recording.raster.sampling_period_seconds, "Rate (spikes per step)"
    # The middle of each window.
    time = scale * (rates["time"].to_numpy() + bins / 2)
    mean, error = per * rates.to_numpy(), per * errors.to_numpy()
    # Means of very few of the trials would be the largest.
    is_few = reaching < _LEAST_SHARE * per_group[:, np.newaxis]
    mean[is_few] = np.nan
    with axes_or_new(ax) as axes:
        for i in shown:
            colour = styles[names[i]][0] if len(names) > 1 else BLUE
            axes.fill_between(
                time,
                mean[i] - error[i],
                mean[i] + error[i],
                color=colour,
                alpha=0.22,
                lw=0,
            )
            axes.plot(time, mean[i], color=colour, lw=1.4, label=names[i][:20])
        axes.set_ylim(0, None)
        axes.set_xlim(scale * float(rates["time"][0]), time[-1] + scale * bins / 2)
        axes.set(xlabel=f"Time in the trial ({time_unit})", ylabel=what)
        axes.grid(visible=True, axis="y")
        if len(names) > 1:
            axes.legend(loc="best", ncols=2)
        note = f"unit {names_of_units(recording)[number]}"
        note += f", {_trials_word(int(per_group.sum()))}; bands: one standard error"
        if length > 1:
            note += f"; windows of {length} steps"
        if is_few[shown].any():
            note += f"; where {100 * _LEAST_SHARE:.0f} % of them last"
        if len(names) > len(shown):
            note += f"; {len(shown)} of {len(names)} values of {by}"
        add_note(axes, note)
    return axes


def plot_serial_correlation(
    recording: Recording,
    unit: int | None = None,
    *,
    lags: int | None = None,
    kind: str | None = None,
    phase: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the correlation of steps inside trials beyond the PSTH.

    Parameters
    ----------
    recording : Recording
        A recording of trials: each segment of the phase holds one presentation.
    unit : int, optional
        Unit to draw; median and middle 90 % of all units if not given.
    lags : int, optional
        Largest lag; 20, or one less than the steps of the longest trial where that is
        fewer, if not given.
    kind, phase, ax
        As in `plot_trials`.

    Returns
    -------
    matplotlib.axes.Axes
        Correlation of the deviations from the PSTH of the label against the lag, in
        steps for a network and in ms else. The band holds 95 % of the values of a step
        permutation: ``+- 1.96 sqrt(V_k)`` on the same scale, see `analyze_trials`.

    Raises
    ------
    InputTypeError, InputValueError
        If there is no such unit or phase, segments hold no single presentation, or no
        unit varies from trial to trial.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from ann2neo import Recording, SpikeRaster
    >>> start = np.arange(0, 600, 20)
    >>> recording = Recording.from_raster(
    ...     SpikeRaster.from_dense(np.random.default_rng(0).random((2, 600)) < 0.4)
    ... ).with_presentations(pd.DataFrame({"start_bin": start, "stop_bin": start + 20}))
    >>> plot_serial_correlation(recording.cut_trials(), lags=5).get_xlabel()
    'Lag (ms)'
    """
    trials = _trials(recording, kind, phase)
    source = recording.raster
    if unit is not None:
        source = source.take(units=[_unit(recording, unit)])
    longest = int(trials.phase.lengths.max())
    n_lags = min(20, longest - 1)
    if lags is not None:
        n_lags = whole_number(lags, "lags", noun="lags")
    if n_lags >= longest:
        raise InputValueError(
            f"{n_lags} lags need trials of more than {n_lags} steps, got {longest};"
            " draw fewer lags"
        )
    values, spread = _correlations_inside(trials, source, n_lags)
    varies = np.isfinite(values[:, 0]) if n_lags else np.zeros(len(values), np.bool_)
    if not varies.any():
        raise InputValueError(
            "no unit varies between trials of a label, so there is nothing beyond the"
            " PSTH to draw"
        )
    values, spread = values[varies], spread[varies]
    scale, time_unit = 1.0, "steps"
    if not is_network(recording):
        scale, time_unit = lag_scale(recording)
    half = 1.96 * np.median(spread, axis=0)
    outside = float((np.abs(values) > 1.96 * spread).mean())
    low, high = np.quantile(values, [0.05, 0.95], axis=0)
    name = None if unit is None else names_of_units(recording)[unit]
    with axes_or_new(ax) as axes:
        label = "95 % of step permutations"
        draw_correlogram(axes, values, (-half, half), scale, label, name)
        reach = max(float(np.abs([low, high]).max()), 3 * float(half.max()))
        lowest = min(float(low.min()), -1.5 * float(half.max()))
        axes.set_ylim(1.2 * lowest, 1.6 * reach)
        axes.set(xlabel=f"Lag ({time_unit})", ylabel="Serial correlation")
        axes.legend(loc="upper right")
        add_note(
            axes,
            f"{counted(len(values), 'unit')} x {counted(n_lags, 'lag')},"
            f" {_trials_word(trials.n_trials)}: {100 * outside:.1f} % outside their"
            " band (5 % expected if trials remember nothing)",
        )
    return axes


def plot_variability_over_trials(
    table: pd.DataFrame, *, unbiased: bool = True, ax: Axes | None = None
) -> Axes:
    """Draw the Fano factors of trial counts against the mean counts.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per unit, or per unit and label, as `analyze_trials` gives it.
    unbiased : bool, default True
        Draw ``fano_over_trials_unbiased``; else ``fano_over_trials``, as Elephant has
        it.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        One point per row, and the lines of a Poisson process (1) and of answers that
        do not vary (0).

    Raises
    ------
    InputTypeError, InputValueError
        If a column is missing, or no row has a Fano factor.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame(
    ...     {"mean_count": [2.0, 5.0], "fano_over_trials_unbiased": [0.9, 1.3]}
    ... )
    >>> plot_variability_over_trials(table).get_xlabel()
    'Mean spike count of a trial'
    """
    column = "fano_over_trials_unbiased" if unbiased else "fano_over_trials"
    checked_table(table, ["mean_count", column])
    valid = table[np.isfinite(table[column].to_numpy(np.float64))]
    if not len(valid):
        raise InputValueError(
            "no row has a Fano factor over trials; fano_over_trials_reason says why"
        )
    n_rows = len(valid)
    chosen = np.linspace(0, n_rows - 1, min(n_rows, _MAX_POINTS)).astype(np.int64)
    fano = valid[column].to_numpy(np.float64)
    count = valid["mean_count"].to_numpy(np.float64)
    with axes_or_new(ax) as axes:
        axes.axhline(1, color=VERMILLION, ls="--", lw=1.2, label="Poisson process")
        axes.axhline(0, color=MUTED, lw=0.8, label="the same count in every trial")
        axes.plot(
            count[chosen], fano[chosen], "o", color=BLUE, ms=3.5, alpha=0.6, mew=0
        )
        if count.min() > 0 and count.max() > 30 * count.min():
            axes.set_xscale("log")
        else:
            axes.set_xlim(0, 1.05 * count.max())
        axes.set_ylim(-0.05 * max(1.5, fano.max()), 1.25 * max(1.5, fano.max()))
        axes.set_xlabel("Mean spike count of a trial")
        axes.set_ylabel("Fano factor over trials")
        axes.legend(loc="upper right", ncols=1)
        what = "row" if "label" in valid else "unit"
        note = f"{counted(n_rows, what)}; median {np.median(fano):.3g}"
        if len(chosen) < n_rows:
            note += f"; {grouped(len(chosen))} of them drawn"
        add_note(axes, note)
    return axes


def _trials(recording: Recording, kind: str | None, phase: str | None) -> Trials:
    chosen = one_phase(recording, phase, "a figure of trials")
    trials = trials_of(recording, chosen, kind)
    check_trials(trials, "a figure of trials")
    return trials


def _unit(recording: Recording, unit: int) -> int:
    last = recording.n_units - 1
    return whole_number(unit, "unit", at_least=0, at_most=last)


def _correlations_inside(
    trials: Trials, source: SpikeRaster, lags: int
) -> tuple[FloatArray, FloatArray]:
    """Return correlations beyond the PSTH, and their standard deviation under the null.

    Each of shape (n_units, lags).
    """
    counts = TrialCounts(TrialPlan(trials, StepWindow(), lags), source)
    steps = counts.plan.steps
    scale = lag_scales(steps, counts.step_spikes, lags)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = lag_sums(counts) / scale
        spread = np.sqrt(lag_variances(steps, counts.step_spikes, lags)) / scale
    return values, spread


def _by_name(trials: Trials) -> IntArray:
    """Return the place of each trial's label among those sorted; missing ones last."""
    code = np.zeros(trials.n_trials, np.int64)
    if trials.labels is not None:
        missing = is_missing(trials.labels)
        names, place = np.unique(trials.labels[~missing], return_inverse=True)
        code[~missing], code[missing] = place, len(names)
    return code


def _labels_of_rows(
    trials: Trials, shown: IntArray
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return names of the labels of rows, and for each row which one it has."""
    if trials.labels is None:
        return [""], np.zeros(len(shown), np.int64)
    labels = trials.labels[shown].astype(str).astype(object)
    labels[is_missing(trials.labels[shown])] = ""
    codes, names = pd.factorize(labels)
    return list(names), codes.astype(np.int64)


def _name_rows(axes: Axes, names: list[str], codes: npt.NDArray[np.int64]) -> None:
    """Write the label of each group of rows at the right, where there is room."""
    if len(names) < 2:
        return
    borders = np.flatnonzero(np.diff(codes)) + 0.5
    axes.hlines(
        borders, 0, 1, transform=axes.get_yaxis_transform(), color=MUTED, lw=0.6
    )
    edges = np.concatenate([[-0.5], borders, [len(codes) - 0.5]])
    if len(names) > 20:
        return
    for name, low, high in zip(names, edges[:-1], edges[1:], strict=True):
        axes.annotate(
            name[:14] or "no label",
            (1.02, (low + high) / 2),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=7.5,
            color=MUTED,
            annotation_clip=False,
        )


def _time_scale(recording: Recording) -> tuple[float, str]:
    """Return what a second is along the axis of time, and its unit."""
    if is_network(recording):
        return 1 / recording.raster.sampling_period_seconds, "steps"
    return 1000.0, "ms"


def _trials_word(number: int) -> str:
    return counted(number, "trial")
