"""analyze_trials: statistics of every unit over the trials of every phase."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo._checks import names_of, one_of
from ann2neo._parallel import Task, checked_executor, map_tasks
from ann2neo._progress import progress_bar
from ann2neo.analysis._entry import (
    Column,
    TrialStatistic,
    count_column,
    text_column,
)
from ann2neo.analysis._phases import lags_for, phases_of
from ann2neo.analysis.trials.fano_over_trials import FANO_OVER_TRIALS
from ann2neo.analysis.trials.ramp import RAMP
from ann2neo.analysis.trials.serial_correlation import SERIAL_CORRELATION
from ann2neo.analysis.trials.time_locking import TIME_LOCKING
from ann2neo.analysis.trials.trial_counts import TrialCounts, TrialPlan, TrialTrain
from ann2neo.analysis.trials.trials import Trials, check_trials, is_missing, trials_of
from ann2neo.analysis.trials.variability_over_repeats import variability_over_repeats
from ann2neo.analysis.units.analyze import (
    ENGINES,
    fast_values,
    identity_of_units,
    joined_rows,
    reference_values,
    with_reasons,
)
from ann2neo.errors import InputValueError
from ann2neo.raster import CarriedRaster, SpikeRaster
from ann2neo.recording import Recording, checked_recording
from ann2neo.recording.windows import step_window

__all__ = ["COLUMNS", "TRIAL_STATISTICS", "analyze_trials"]

TRIAL_STATISTICS: tuple[TrialStatistic, ...] = (
    FANO_OVER_TRIALS,
    SERIAL_CORRELATION,
    TIME_LOCKING,
    RAMP,
)
"""Every statistic of the trials of a unit, in the order of the columns."""

_LABEL = Column("label", "Label of the trials of the row.", "", "")

CONDITIONS: tuple[Column, ...] = (
    count_column("unit", "Index of the unit in the recording."),
    text_column("phase", "Phase of the recording."),
    text_column("kind", "Kind of the presentations that are the trials."),
    text_column(
        "order", "Order of the trials: random, stored or unknown; steps keep theirs."
    ),
    text_column(
        "emission",
        "How activations became spikes: threshold, bernoulli or poisson (drawn from"
        " rates, so that steps are independent given the rates); empty where it is not"
        " known, as of neurons.",
    ),
    count_column("n_trials", "Trials of the row."),
    count_column("n_steps", "Steps of the longest of them."),
    count_column("window_start", "First step of the window in which counts are taken."),
    count_column(
        "window_stop",
        "Step after the last one of that window; -1 for the end of each trial.",
    ),
    count_column(
        "n_trials_in_window",
        "Trials that hold the whole window; counts are taken in these alone.",
    ),
    count_column("lags", "Lags of the serial correlation."),
    text_column(
        "engine",
        "fast (from the bits) or reference (Elephant, statsmodels, definition).",
    ),
)
"""Columns that say what a row is about."""

COLUMNS: tuple[Column, ...] = (
    CONDITIONS[0],
    CONDITIONS[1],
    _LABEL,
    *CONDITIONS[2:],
    *(
        column
        for entry in TRIAL_STATISTICS
        for column in (*entry.columns, entry.reason_column)
    ),
)
"""Columns of the table of `analyze_trials`; ``label`` is there with ``by="label"``."""

_BLOCK_BYTES = 1 << 21
_GROUPINGS = ("label", "stimulus_id")


def analyze_trials(
    recording: Recording,
    by: str | None = None,
    *,
    kind: str | None = None,
    window: Any = None,
    lags: int | None = None,
    engine: str = "fast",
    statistics: str | Sequence[str] | None = None,
    progress: bool | None = None,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Compute the statistics of every unit over the trials of every phase.

    - ``fano_over_trials``: variance over mean of the spike counts of trials.
    - ``serial_correlation``: what a trial remembers beyond the PSTH. Its null
      distribution exchanges trials at every step.
    - ``time_locking``: how far the rate follows the steps. Its null distribution shifts
      each trial circularly.
    - ``ramp``: whether the rate wanders across trials (KPSS).

    Parameters
    ----------
    recording : Recording
        A recording of trials: each segment of a phase holds one presentation. Steps are
        counted from the start of the segment. ``fano_over_trials`` and ``ramp`` need
        presentations only.
    by : {None, "label", "stimulus_id"}
        None gives one row per unit and phase; residuals are taken inside labels, where
        there are labels, and summed over them. "label" gives one row per label, from
        its trials alone; trials without a label are in none. "stimulus_id" gives the
        table of `variability_over_repeats`.
    kind : str, optional
        Kind of the presentations; the only one, or "trials", if not given.
    window : (start, stop), optional
        For the counts of ``fano_over_trials`` and ``ramp``: steps since the start of a
        presentation, or times since it as quantities; the stop may be None, its end.
        The whole presentation if not given. Trials that end before the window does are
        left out, and ``n_trials_in_window`` counts the others.
    lags : int, optional
        Lags of the serial correlation; 10, or one less than the steps of the longest
        trial where that is fewer, if not given.
    engine : {"fast", "reference"}
        "fast" computes all units from the bits; "reference" goes unit by unit through
        Elephant, statsmodels and the definitions, with the same results.
    statistics : str or sequence of str, optional
        Names of the statistics; all if not given.
    progress : bool, optional
        Show a progress bar; by default only in a terminal or a notebook, after a
        second.
    executor : concurrent.futures.Executor, optional
        As in `analyze`.

    Returns
    -------
    pandas.DataFrame
        One row per unit and phase, or per unit, phase and label: what the row is about,
        what the recording knows about the unit, then the statistics. Where one is not
        valid, its columns hold NaN (-1 for integers) and ``<statistic>_reason`` says
        why. `explain` says what a column means.

    Raises
    ------
    InputTypeError, InputValueError
        If `recording` is not a Recording, there are no presentations of the kind, a
        segment does not hold one presentation (cut trials with `Recording.cut_trials`),
        there are no labels to group by, or an argument is out of range.

    Notes
    -----
    Let x(j, s) be the bin of trial j at step s, K_s the spikes and m_s the trials of a
    label at s, and t = s + k. R_k is the sum over trials and steps of the products of
    residuals x - PSTH at lag k. If the trials of a label change places at every step,
    its mean is 0 and its variance ``V_k``, the sum over steps of ``K_s (m_s - K_s) K_t
    (m_t - K_t) / (m_s m_t (m_s - 1))``; both are summed over labels. The statistic is
    Q, the sum over lags of R_k^2 / V_k.

    Where spikes were drawn from rates (emission "bernoulli" or "poisson"), steps are
    independent given the rates by construction. A deterministic recurrent network that
    is shown one sequence twice answers twice the same: its variability over repeats is
    0, and serial correlation is the memory of its input and its own together.

    References
    ----------
    Churchland, M. M. et al. (2010). Stimulus onset quenches neural variability: a
    widespread cortical phenomenon. Nature Neuroscience 13.

    Examples
    --------
    >>> import pandas as pd
    >>> from ann2neo import SpikeRaster
    >>> rng = np.random.default_rng(0)
    >>> start = np.arange(0, 2000, 20)
    >>> recording = Recording.from_raster(
    ...     SpikeRaster.from_dense(rng.random((2, 2000)) < 0.3)
    ... ).with_presentations(pd.DataFrame({"start_bin": start, "stop_bin": start + 20}))
    >>> table = analyze_trials(recording.cut_trials())
    >>> table[["unit", "n_trials", "fano_over_trials", "serial_correlation"]].round(2)
       unit  n_trials  fano_over_trials  serial_correlation
    0 ...
    """
    checked_recording(recording, "analyze_trials")
    one_of(engine, ENGINES, "engine")
    if by is not None:
        one_of(by, _GROUPINGS, "by")
    chosen = _chosen(statistics)
    steps = step_window(window, recording.raster)
    if by == "stimulus_id":
        return variability_over_repeats(recording, kind=kind)
    plans = []
    for trials, label in _rows_of_trials(recording, by, kind, chosen):
        lengths = trials.phase.lengths if trials.are_segments else trials.n_bins
        plans.append((TrialPlan(trials, steps, lags_for(lags, lengths)), label))
    conditions = COLUMNS if by == "label" else tuple(c for c in COLUMNS if c != _LABEL)
    names = {
        c.name for entry in chosen for c in (*entry.columns, entry.reason_column)
    } | {c.name for c in (*CONDITIONS, _LABEL)}
    columns = tuple(column for column in conditions if column.name in names)
    identity = identity_of_units(recording, names)
    emission = recording.provenance.get("emission", "")
    names_of_statistics = [entry.name for entry in chosen]
    tasks = (
        Task(
            f"units {units.start} .. {units.stop - 1} of phase"
            f" {plan.trials.phase.phase!r}",
            (
                plan,
                CarriedRaster(block),
                units.start,
                label,
                emission,
                engine,
                names_of_statistics,
            ),
        )
        for plan, label in plans
        for units, block in _unit_blocks(recording.raster, plan.trials, engine)
    )
    blocks = []
    n_rows = recording.n_units * len(plans)
    with progress_bar(n_rows, "analyze_trials", "units", progress) as bar:
        for block in map_tasks(_rows, tasks, checked_executor(executor)):
            blocks.append(block)
            bar.update(len(block["unit"]))
    return joined_rows(blocks, identity, columns)


def _chosen(names: str | Sequence[str] | None) -> tuple[TrialStatistic, ...]:
    if names is None:
        return TRIAL_STATISTICS
    names = names_of(names, "statistics")
    valid = [entry.name for entry in TRIAL_STATISTICS]
    for name in names:
        one_of(name, valid, "a name in statistics")
    return tuple(entry for entry in TRIAL_STATISTICS if entry.name in names)


def _rows_of_trials(
    recording: Recording,
    by: str | None,
    kind: str | None,
    statistics: tuple[TrialStatistic, ...],
) -> Iterator[tuple[Trials, Any]]:
    """Yield the trials of each row of a unit, and their label."""
    if by == "label" and "label" not in recording.presentations:
        raise InputValueError(
            "by='label' needs labels, and this recording has none; record with"
            " labels=..., or read a session with label='trial_type' or whatever its"
            " column is called"
        )
    for phase in phases_of(recording, "analyze_trials"):
        trials = trials_of(recording, phase, kind)
        needing = [entry.name for entry in statistics if entry.needs_segments]
        if needing:
            others = [e.name for e in TRIAL_STATISTICS if not e.needs_segments]
            check_trials(
                trials,
                f"{', '.join(needing)} of analyze_trials",
                f", or ask for statistics={others}, which need presentations only",
            )
        if not trials.n_trials:
            raise InputValueError(
                f"phase {phase.phase!r} has no presentations of the kind"
                f" {trials.kind!r}, and trials are presentations; add them with"
                " recording.with_presentations, or select another phase"
            )
        if by is None:
            yield trials, None
            continue
        labels = trials.labels
        assert labels is not None  # noqa: S101 - there is such a column, see above
        for label in np.unique(labels[~is_missing(labels)]):
            yield trials.of(labels == label), label


def _unit_blocks(
    raster: SpikeRaster, trials: Trials, engine: str
) -> Iterator[tuple[slice, SpikeRaster]]:
    """Cut the raster into blocks whose bits of the phase are bounded."""
    if engine == "reference":
        # Unit by unit, as its libraries go.
        return raster.unit_blocks(1)
    bins = max(1, int(trials.n_bins.sum()))
    scale = max(1, raster.n_time_bins) / bins
    return raster.unit_blocks(int(_BLOCK_BYTES * max(1.0, scale)))


def _rows(
    plan: TrialPlan,
    carried: CarriedRaster,
    first_unit: int,
    label: Any,
    emission: str,
    engine: str,
    statistics: list[str],
) -> dict[str, npt.NDArray[Any]]:
    counts, trials = TrialCounts(plan, carried.open()), plan.trials
    lengths = trials.phase.lengths if trials.are_segments else trials.n_bins
    stop = plan.window.stop
    conditions: dict[str, Any] = {
        "unit": np.arange(first_unit, first_unit + counts.n_units),
        "phase": np.array(trials.phase.phase, dtype=object),
        "kind": np.array(trials.kind, dtype=object),
        "order": np.array(trials.phase.order, dtype=object),
        "emission": np.array(emission, dtype=object),
        "n_trials": trials.n_trials,
        "n_steps": int(lengths.max()),
        "window_start": plan.window.start,
        "window_stop": -1 if stop is None else stop,
        "n_trials_in_window": plan.counted.n_trials,
        "lags": plan.lags,
        "engine": np.array(engine, dtype=object),
    }
    if label is not None:
        conditions["label"] = label
    # Chosen again by name: the functions of the table of statistics cannot be sent.
    reasons = {entry: entry.reason(counts) for entry in _chosen(statistics)}
    if engine == "fast":
        values = fast_values(counts, reasons)
    else:
        values = reference_values(
            reasons,
            counts.n_units,
            lambda unit: TrialTrain(counts.of_units(np.array([unit]))),
        )
    columns = {
        name: np.broadcast_to(value, counts.n_units)
        for name, value in conditions.items()
    }
    return columns | with_reasons(reasons, values)
