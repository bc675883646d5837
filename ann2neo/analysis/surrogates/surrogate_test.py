"""surrogate_test: a statistic compared with its values on surrogates."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo._checks import number_between, one_of, seed_or_new, whole_number
from ann2neo._parallel import Task, checked_executor, map_tasks
from ann2neo._progress import with_progress
from ann2neo.analysis._entry import (
    Column,
    FloatArray,
    IntArray,
    TrialStatistic,
    count_column,
    text_column,
)
from ann2neo.analysis._phases import lags_for, phases_of, table_of_units, window_for
from ann2neo.analysis.p_values import benjamini_hochberg
from ann2neo.analysis.populations.labels import is_shuffled
from ann2neo.analysis.surrogates.inside_segments import (
    first_distinct,
    goes_by_spikes,
    random_order,
)
from ann2neo.analysis.surrogates.surrogates import (
    GRID_METHODS,
    PhaseSurrogates,
    phase_surrogates,
)
from ann2neo.analysis.table_of_statistics import STATISTICS, column_values, statistic_of
from ann2neo.analysis.trials.analyze_trials import TRIAL_STATISTICS
from ann2neo.analysis.trials.time_locking import TIME_LOCKING
from ann2neo.analysis.trials.trial_counts import TrialCounts, TrialPlan
from ann2neo.analysis.trials.trials import check_trials, trials_of
from ann2neo.analysis.units.counts import Counts
from ann2neo.analysis.units.dispersion import dispersion_values, unbiased_fano_values
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.raster import SegmentedRaster, SpikeRaster
from ann2neo.recording import Recording
from ann2neo.recording.carried import CarriedRecording
from ann2neo.recording.segments import SegmentedPhase
from ann2neo.recording.windows import StepWindow

__all__ = [
    "ALTERNATIVES",
    "COLUMNS",
    "SurrogateWarning",
    "surrogate_test",
    "window_draws",
]

ALTERNATIVES = ("two-sided", "greater", "less")
LEVELS = ("unit", "network")
_TASKS = 32
"""Tasks that share the surrogates of a phase; each prepares the method anew."""
_TIE = 1e-9
_WINDOWED = ("fano_factor", "fano_factor_unbiased", "dispersion")
_INTERVALS = ("cv_isi", "cv2", "lv")
_OF_COUNTS = tuple(e.tested for e in TRIAL_STATISTICS if not e.needs_segments)

COLUMNS: tuple[Column, ...] = (
    count_column("unit", "Index of the unit in the recording; -1 for the network."),
    text_column("phase", "Phase that was tested."),
    text_column(
        "statistic", "Name of the column, or of the function, that was tested."
    ),
    Column("observed", "The statistic of the recording."),
    Column("surrogate_mean", "Its mean over the surrogates that have a value."),
    Column("surrogate_std", "Its standard deviation over them."),
    Column(
        "pvalue",
        "p-value of the null hypothesis that the recording is one of its surrogates,"
        " (k + 1) / (n + 1) with k of n surrogates at least as extreme.",
    ),
    Column(
        "pvalue_bh",
        "The p-value after Benjamini-Hochberg over the units of the phase.",
    ),
    count_column("n_surrogates", "Surrogates with a value."),
    count_column("n_nan", "Surrogates without a value, which are left out."),
    Column("share_lost", "Share of the spikes lost by putting surrogates on the grid."),
    text_column("reason", "Why there is no p-value; empty where there is one."),
    text_column("method", "How the surrogates were made."),
    Column("joint", "Whether all units were permuted jointly.", "", "bool"),
    text_column("alternative", "Which values are extreme: two-sided, greater or less."),
    count_column("seed", "Seed of the surrogates."),
)
"""Columns of the table of `surrogate_test`."""


class SurrogateWarning(UserWarning):
    """A surrogate test has too few surrogates, or a statistic without a value.

    Examples
    --------
    >>> import warnings
    >>> from ann2neo.raster import SpikeRaster
    >>> recording = Recording.from_raster(
    ...     SpikeRaster.from_dense(np.random.default_rng(0).random((50, 200)) < 0.3)
    ... )
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     result = surrogate_test(recording, "lv", n_surrogates=19, seed=0)
    >>> [warning.category.__name__ for warning in caught]
    ['SurrogateWarning']
    """


def surrogate_test(
    recording: Recording,
    statistic: str | Callable[[Any], npt.ArrayLike],
    *,
    method: str | None = None,
    n_surrogates: int = 999,
    joint: bool | None = None,
    level: str = "unit",
    alternative: str = "two-sided",
    alpha: float = 0.05,
    window: int | None = None,
    lags: int | None = None,
    dither: pq.Quantity | None = None,
    kind: str | None = None,
    seed: int | None = None,
    progress: bool | None = None,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Compare a statistic with its values on surrogates.

    Parameters
    ----------
    recording : Recording
        The recording; each phase is tested on its own.
    statistic : str or function of SpikeRaster
        A statistic of the table of statistics (such as "ljung_box") or one of its
        columns (such as "cv2"); a statistic of trials (such as "serial_correlation",
        see `analyze_trials`); or a function that takes the raster of a phase and
        returns one number for the network, or one per unit as an array of shape
        (n_units,). Where a phase has several segments, the function gets the list of
        their rasters.
    method : str, optional
        Method of making surrogates, see `surrogates`. If not given, it is
        bin_permutation for a statistic of single units, that is, one of the table or a
        function that returns one number per unit: circular shifts would leave a unit's
        own structure in place. For a statistic of trials it is that of its null
        hypothesis: step_permutation, or circular_shift for time_locking, or
        within_label for ramp. For a function that returns one number it is
        bin_permutation where the order is random and every presentation is one bin,
        else circular_shift: units that remember would seem to be related after their
        bins are permuted.
    n_surrogates : int, default 999
        Number of surrogates.
    joint : bool, optional
        Whether all units are permuted jointly. The default is True for the network's
        mean of a statistic of the table, since units of one layer are not independent,
        and False otherwise.
    level : {"unit", "network"}
        Test each unit, or the mean over units.
    alternative : {"two-sided", "greater", "less"}
        Which values count as extreme; two-sided doubles the smaller tail.
    alpha : float, default 0.05
        False discovery rate for which there must be enough surrogates (see Warns).
    window, lags : int, optional
        Settings of the statistics of the table, as in `analyze`.
    dither : quantities.Quantity, time, optional
        As in `surrogates`.
    kind : str, optional
        Kind of the presentations, for within_label and step_permutation, and for what
        is one bin long; the only one, or "trials", if not given.
    seed : int, optional
        Seed; one is drawn and reported if not given.
    progress : bool, optional
        Show a progress bar; by default only in a terminal or a notebook, after a
        second.
    executor : concurrent.futures.Executor, optional
        As in `analyze`; surrogates are shared out among the workers. A function as
        `statistic` must be one that other processes can import, or the executor must
        send functions itself, as Dask's does.

    Returns
    -------
    pandas.DataFrame
        One row per phase and unit (unit -1 for the network): ``unit, phase, statistic,
        observed, surrogate_mean, surrogate_std, pvalue, pvalue_bh`` (Benjamini-Hochberg
        over the units of the phase), ``n_surrogates`` (draws with a value), ``n_nan``
        (draws without a value, excluded), ``share_lost`` (spikes lost by putting
        surrogates on the grid), ``method, joint, alternative, seed`` and ``reason``,
        why there is no p-value: the statistic has no value, or surrogates of this
        method cannot change it, as a circular shift cannot change a unit's own
        intervals.

    Raises
    ------
    InputTypeError, InputValueError
        If a name is unknown (the valid ones are listed), a number is out of range,
        labels are needed and missing, or a function raises an error (the message names
        the unit) or returns neither a number nor one per unit.

    Warns
    -----
    SurrogateWarning
        If no p-value can be small enough for Benjamini-Hochberg at `alpha` over the
        units tested (the message says how many surrogates are needed), or if a function
        returns NaN for some units, which the message names.

    Notes
    -----
    p = (k + 1) / (n + 1), with k of n surrogates at least as extreme, ties included.
    Surrogates are made inside segments. Bins permuted inside segments keep the rate of
    each, so that the null hypothesis lets rates differ between segments; the p-value of
    dispersion in `analyze` supposes one rate in all of them.

    For Fano factor and dispersion of units under bin_permutation, only the counts in
    windows are drawn, which are multivariate hypergeometric: one sweep through a random
    order of the bins gives the value for every number of spikes, hence for every unit.

    References
    ----------
    Phipson, B. and Smyth, G. K. (2010). Permutation p-values should never be zero:
    calculating exact p-values when permutations are randomly drawn. Stat. Appl. Genet.
    Mol. Biol. 9.

    Examples
    --------
    >>> import numpy as np
    >>> from ann2neo import SpikeRaster
    >>> bits = np.arange(1000) % 100 < np.array([[50], [10]])
    >>> test = surrogate_test(
    ...     Recording.from_raster(SpikeRaster.from_dense(bits)),
    ...     "cv_isi",
    ...     n_surrogates=199,
    ...     seed=0,
    ... )
    >>> test["pvalue"].to_list()
    [0.01, 0.01]
    """
    phases = phases_of(recording, "surrogate_test")
    one_of(alternative, ALTERNATIVES, "alternative")
    one_of(level, LEVELS, "level")
    n_surrogates = whole_number(n_surrogates, "n_surrogates")
    alpha = number_between(alpha, "alpha", 0, 1, remedy="the usual choice is 0.05")
    column = None if callable(statistic) else _column_of(statistic)
    of_trials = _of_trials(column)
    if of_trials is not None and window is not None:
        raise InputValueError(
            f"window applies to windows of bins, not to {of_trials.name}; leave it out"
        )
    together = level == "network" and column is not None and of_trials is None
    if joint is not None:
        together = joint
    seed, executor = seed_or_new(seed), checked_executor(executor)
    carried = CarriedRecording(recording)
    tests = [
        _PhaseTest(
            carried, phase, statistic if column is None else column, window, lags, kind
        )
        for phase in phases
    ]
    plans = []
    for number, test in enumerate(tests):
        name = method or test.default_method(kind)
        # Elsewhere, the kind asked for decided about the default method alone.
        exchanges = name in {"step_permutation", "within_label"}
        exchanged = None if method is None and not exchanges else kind
        plan = _Draws(
            test, name, together, dither, exchanged, level == "unit", seed, number
        )
        # All methods first: one that does not apply is an error before any work is
        # done.
        _ = plan.surrogates
        plans.append(plan)
    tables, n_tested = [], 0
    for plan in plans:
        table = plan.table(n_surrogates, alternative, progress, executor)
        tables.append(table.assign(method=plan.method))
        n_tested = max(n_tested, int(table["pvalue"].notna().sum()))
    _warn_of_few(n_surrogates, n_tested, alternative, alpha)
    result = pd.concat(tables, ignore_index=True)
    result.insert(
        2, "statistic", column or getattr(statistic, "__name__", repr(statistic))
    )
    result = result.assign(joint=together, alternative=alternative, seed=seed)
    return result[[entry.name for entry in COLUMNS]]


# -- one phase
# --------------------------------------------------------------------------------------


class _PhaseTest:
    """The test of one statistic in one phase.

    Parameters
    ----------
    carried : CarriedRecording
        The recording.
    phase : SegmentedPhase
        Its phase.
    statistic : str or function
        Name of a column of the table of statistics, or a function of the user's.
    window, lags : int, optional
        Settings of the statistics of the table.
    kind : str, optional
        Kind of the presentations that are trials.
    """

    def __init__(
        self,
        carried: CarriedRecording,
        phase: SegmentedPhase,
        statistic: Any,
        window: int | None,
        lags: int | None,
        kind: str | None,
    ) -> None:
        self._kind = kind
        self._carried, self.phase, self._statistic = carried, phase, statistic
        self.column = statistic if isinstance(statistic, str) else None
        self.window = window_for(window, phase.lengths)
        self._lags = lags_for(lags, phase.lengths)

    def __getstate__(self) -> dict[str, Any]:
        # What is computed when it is needed stays here.
        made = ("recording", "segments", "observed", "_plan")
        return {key: value for key, value in self.__dict__.items() if key not in made}

    @cached_property
    def recording(self) -> Recording:
        """The recording."""
        return self._carried.open()

    @cached_property
    def segments(self) -> SegmentedRaster:
        """The spikes of the phase."""
        return self.phase.raster(self.recording.raster)

    @cached_property
    def observed(self) -> FloatArray:
        """The statistic as observed, shape (n_units,) or ()."""
        return self.measure(self.segments, "")

    def measure(self, segments: SegmentedRaster, which: str) -> FloatArray:
        """Return the statistic of the spikes of a phase; `which` is for messages."""
        if self.column is None:
            return _of_user(self._statistic, segments, which)
        entry = _of_trials(self.column)
        if entry is not None:
            counts = TrialCounts(self._plan, segments.raster)
            with np.errstate(all="ignore"):
                values = entry.measure(counts)
            return np.where(entry.reason(counts) == "", values, np.nan)
        return column_values(Counts(segments, self.window, self._lags), self.column)

    @cached_property
    def _plan(self) -> TrialPlan:
        """The trials, in the bins of the joined segments."""
        entry, phase = _of_trials(self.column), self.phase
        trials = trials_of(self.recording, phase, self._kind)
        if entry is not None and (entry.needs_segments or not trials.n_trials):
            check_trials(trials, entry.name)
        edges = self.segments.edges
        joined = replace(
            trials,
            phase=phase._replace(starts=edges[:-1], stops=edges[1:]),
            start_bin=phase.joined_bins(trials.start_bin),
            stop_bin=phase.joined_bins(trials.stop_bin - 1) + 1,
        )
        return TrialPlan(joined, StepWindow(), self._lags)

    def default_method(self, kind: str | None) -> str:
        """Return the method whose null hypothesis fits what the statistic is about."""
        entry = _of_trials(self.column)
        if entry is not None:
            return entry.surrogates
        between_units = self.column is None and not self.observed.ndim
        if between_units and not is_shuffled(self.recording, self.phase, kind):
            return "circular_shift"
        return "bin_permutation"

    def why_unchanged(self, method: str) -> str:
        """Return why surrogates of a method cannot change the statistic, if so."""
        column, shifts = self.column, ("circular_shift", "trial_shifting")
        on_grid = (*GRID_METHODS, "step_permutation")
        if column == "firing_rate" and method in on_grid:
            return f"{method} keeps the firing rate"
        if column == "cv_isi" and method in {"isi_shuffle", "shuffle_isis"}:
            return f"{method} keeps the intervals, of which the CV is"
        if column in _INTERVALS and method in shifts:
            return f"{method} keeps the intervals of a unit and their order"
        lengths, window = self.segments.lengths, self.window
        inside = method in GRID_METHODS and method != "within_label"
        if column in _OF_COUNTS and inside and self._plan.trials.are_segments:
            return f"{method} inside segments keeps the spikes of each trial"
        if column == TIME_LOCKING.tested and method == "step_permutation":
            return "step_permutation keeps the PSTH, which time locking is about"
        alone = len(lengths) > 1 and int(lengths.max()) // window < 2
        if column in _WINDOWED and inside and alone:
            return (
                f"{method} inside segments keeps the spikes of each, and no segment has"
                f" two windows of {window} bins"
            )
        return ""


@dataclass(frozen=True)
class _Draws:
    """Surrogates of a phase that a test compares with, drawn anywhere.

    Parameters
    ----------
    test : _PhaseTest
        The test.
    method, joint, dither, kind
        As in `phase_surrogates`.
    by_unit : bool
        Whether each unit is tested, or the mean over units.
    seed, number : int
        The seed, and the number of the phase.
    """

    test: _PhaseTest
    method: str
    joint: bool
    dither: pq.Quantity | None
    kind: str | None
    by_unit: bool
    seed: int
    number: int

    def __getstate__(self) -> dict[str, Any]:
        # Functions that draw cannot be sent; they are prepared anew.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def surrogates(self) -> PhaseSurrogates:
        """The function that draws surrogates."""
        return phase_surrogates(
            self.test.recording,
            self.test.phase,
            self.method,
            joint=self.joint,
            dither=self.dither,
            kind=self.kind,
        )

    def values(self, turns: range) -> Iterator[tuple[FloatArray, int]]:
        """Yield the statistic of some surrogates, and the number of spikes lost."""
        test, segments = self.test, self.test.segments
        # The same as in `surrogates`, whose surrogate k is the k-th one tested here.
        seeds = [
            np.random.SeedSequence([self.seed, turn, self.number]) for turn in turns
        ]
        is_shared = self.by_unit and test.column in _WINDOWED
        if is_shared and self.method == "bin_permutation":
            yield from window_draws(
                segments, test.window, str(test.column), iter(seeds)
            )
            return
        for turn, seed in zip(turns, seeds, strict=True):
            raster, lost = self.surrogates.draw(seed)
            drawn = test.measure(segments.with_raster(raster), f" in surrogate {turn}")
            is_mean = not self.by_unit and drawn.ndim
            yield _mean(drawn) if is_mean else drawn, lost

    def table(
        self,
        n_surrogates: int,
        alternative: str,
        progress: bool | None,
        executor: Executor | None,
    ) -> pd.DataFrame:
        """Compare with surrogates; one row per unit, or one for the network."""
        test, observed = self.test, self.test.observed
        if not self.by_unit and observed.ndim:
            observed = _mean(observed)
        if test.column is None:
            _warn_of_missing(observed, test.phase.phase)
        unchanged = test.why_unchanged(self.method)
        tally = _Tally(np.atleast_1d(observed))
        draws = iter(()) if unchanged else self._drawn(n_surrogates, executor)
        for values, lost in with_progress(
            draws, n_surrogates, "surrogate_test", "surrogates", progress
        ):
            tally.add(np.atleast_1d(values), lost)
        units = np.arange(len(observed)) if observed.ndim else np.array([-1])
        n_spikes = int(test.segments.raster.spike_counts().sum())
        table = tally.table(alternative, n_spikes, unchanged)
        return table_of_units(table, units, test.phase)

    def _drawn(
        self, n_surrogates: int, executor: Executor | None
    ) -> Iterator[tuple[FloatArray, int]]:
        if executor is None:
            yield from self.values(range(n_surrogates))
            return
        step = -(-n_surrogates // _TASKS)
        tasks = (
            Task(
                f"surrogates {first} .. {min(first + step, n_surrogates) - 1} of phase"
                f" {self.test.phase.phase!r}",
                (self, range(first, min(first + step, n_surrogates))),
            )
            for first in range(0, n_surrogates, step)
        )
        for values in map_tasks(_values, tasks, executor):
            yield from values


def _values(draws: _Draws, turns: range) -> list[tuple[FloatArray, int]]:
    return list(draws.values(turns))


# -- statistics
# --------------------------------------------------------------------------------------


def _column_of(name: Any) -> str:
    if not isinstance(name, str):
        raise InputTypeError(
            f"a statistic is a name or a function of a SpikeRaster, got {name!r}; see"
            " ann2neo.analysis.table_of_statistics.STATISTICS for the names"
        )
    for entry in STATISTICS:
        if entry.name == name:
            return entry.columns[0].name
    for of_trials in TRIAL_STATISTICS:
        if name in {of_trials.name, of_trials.tested}:
            return of_trials.tested
    statistic_of(name)
    return name


def _of_trials(column: str | None) -> TrialStatistic | None:
    """Return the statistic of trials whose column is tested, if it is one."""
    return next((e for e in TRIAL_STATISTICS if e.tested == column), None)


def _of_user(function: Any, segments: SegmentedRaster, which: str) -> FloatArray:
    name = getattr(function, "__name__", repr(function))
    try:
        values = np.asarray(function(_as_user_sees(segments)))
    except Exception as error:
        place = which + _where_it_fails(function, segments)
        raise InputValueError(
            f"the statistic {name} raised {type(error).__name__}: {error}{place};"
            " it must return a number (NaN where it has no value) for every unit"
        ) from error
    shapes = {(), (segments.n_units,)}
    if values.dtype.kind not in "fiub" or values.shape not in shapes:
        raise InputValueError(
            f"the statistic {name} must return one number or an array of shape"
            f" ({segments.n_units},), got {values.dtype} of shape {values.shape}"
        )
    return values.astype(np.float64)


def _as_user_sees(segments: SegmentedRaster) -> SpikeRaster | list[SpikeRaster]:
    """Return the raster of a phase, or the list of those of its segments."""
    return segments.raster if segments.n_segments == 1 else segments.parts()


def _where_it_fails(function: Any, segments: SegmentedRaster) -> str:
    """Return words about the first unit that makes a function fail on its own."""
    counts = segments.raster.spike_counts()
    for unit in range(segments.n_units):
        alone = segments.with_raster(segments.raster.take(units=[unit]))
        try:
            function(_as_user_sees(alone))
        except Exception:  # noqa: BLE001 - whatever a user's function raises
            return (
                f" (unit {unit}, {int(counts[unit])} spikes in"
                f" {segments.n_time_bins} bins)"
            )
    return ""


def _mean(values: FloatArray) -> FloatArray:
    valid = values[~np.isnan(values)]
    return np.asarray(valid.mean() if valid.size else np.nan)


# -- surrogates
# --------------------------------------------------------------------------------------


def window_draws(
    segments: SegmentedRaster | SpikeRaster,
    window: int,
    column: str,
    seeds: Iterator[np.random.SeedSequence],
) -> Iterator[tuple[FloatArray, int]]:
    """Draw Fano factors or dispersions under random placement, without making trains.

    Parameters
    ----------
    segments : SegmentedRaster or SpikeRaster
        The units; a SpikeRaster is one segment. Each unit keeps its number of spikes in
        every segment.
    window : int
        Length of a window, in bins.
    column : {"fano_factor", "fano_factor_unbiased", "dispersion"}
        Statistic to draw.
    seeds : iterator of SeedSequence
        One per draw.

    Yields
    ------
    values : ndarray of float64, shape (n_units,)
        One draw for each unit, of exact distribution; the units of one draw share the
        order of bins.
    lost : int
        0.
    """
    if isinstance(segments, SpikeRaster):
        segments = SegmentedRaster(segments)
    counts, n = segments.segment_counts(), segments.n_windows(window)
    draw, filled = _filling(segments, counts)
    # Each segment has a stretch of the turns: where it begins, and for each unit the
    # turn after its last spike.
    begin = np.cumsum(filled) - filled
    end = begin + counts
    n_turns = int(filled.sum())
    full = segments.lengths // window
    windows_before = np.cumsum(full) - full
    rise, hit = np.zeros((2, n_turns + 1), np.int64)
    for seed in seeds:
        bins, turn = draw(np.random.default_rng(seed))
        segment = segments.segment_of(bins)
        number = (bins - segments.edges[segment]) // window
        # Bins after the last window of a segment are filled too, but not counted.
        inside = number < full[segment]
        key = (number + windows_before[segment])[inside] * n_turns + turn[inside]
        key.sort()
        number, turn = np.divmod(key, max(1, n_turns))
        # Bins are filled in a random order. The j-th filled bin of a window (j = 0, 1,
        # ..) raises its squared count by (j + 1)^2 - j^2 = 2 j + 1; cumulative sums
        # over the order give the squares for every number of spikes.
        first = np.flatnonzero(np.diff(number, prepend=-1))
        j = np.arange(len(key)) - np.repeat(first, np.diff(first, append=len(key)))
        rise[:], hit[:] = 0, 0
        # Entry t + 1 is turn t, so that entry K of the sums is for K spikes.
        rise[turn + 1], hit[turn + 1] = 2 * j + 1, 1
        squares, counted = (
            (total[end] - total[begin]).sum(axis=1)
            for total in (np.cumsum(rise), np.cumsum(hit))
        )
        if column == "dispersion":
            values = dispersion_values(squares, counted, n, window)
        else:
            values = unbiased_fano_values(squares, counted, n)
            if column == "fano_factor":
                values *= (n - 1) / max(1, n)
        yield values, 0


def _filling(
    segments: SegmentedRaster, counts: IntArray
) -> tuple[
    Callable[[np.random.Generator], tuple[IntArray, IntArray]],
    IntArray,
]:
    """Return a function that fills the bins of each segment in a random order.

    It returns bins and the turns in which they are filled, those of the first segment
    before those of the second. Also returned is how many bins of each segment are
    filled: all, or as many as some unit has spikes there.
    """
    if goes_by_spikes(segments):
        most = counts.max(axis=0, initial=0)
        turns = np.arange(most.sum())
        return lambda rng: (first_distinct(segments, most, rng), turns), most
    all_bins = np.arange(segments.n_time_bins)
    if segments.n_segments == 1:
        return lambda rng: (all_bins, rng.permutation(len(all_bins))), segments.lengths
    order = random_order(segments)
    return lambda rng: (order(rng), all_bins), segments.lengths


class _Tally:
    """Numbers of surrogates above and below the observed values."""

    def __init__(self, observed: FloatArray) -> None:
        self._observed = observed
        self._margin = _TIE * np.maximum(1.0, np.abs(observed))
        self._above, self._below, self._valid = np.zeros((3, len(observed)), np.int64)
        self._sum, self._squares = np.zeros((2, len(observed)))
        self._draws = self._lost = 0

    def add(self, values: FloatArray, lost: int) -> None:
        valid = ~np.isnan(values)
        self._valid += valid
        with np.errstate(invalid="ignore"):
            self._above += values >= self._observed - self._margin
            self._below += values <= self._observed + self._margin
        # Deviations from the observed value, so that a small spread is not lost.
        deviation = np.nan_to_num(values - self._observed)
        self._sum += deviation
        self._squares += deviation**2
        self._draws += 1
        self._lost += lost

    def table(self, alternative: str, n_spikes: int, unchanged: str) -> pd.DataFrame:
        observed = ~np.isnan(self._observed)
        tested = observed & (self._valid > 0)
        upper = (self._above + 1) / (self._valid + 1)
        lower = (self._below + 1) / (self._valid + 1)
        both = np.minimum(1.0, 2.0 * np.minimum(upper, lower))
        tails = {"two-sided": both, "greater": upper, "less": lower}
        pvalue = np.where(tested, tails[alternative], np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(tested, self._sum / self._valid, np.nan)
            variance = np.where(tested, self._squares / self._valid, np.nan) - mean**2
        reason = np.select(
            [~observed, ~tested & (unchanged != ""), ~tested],
            ["the observed value is NaN", unchanged, "no surrogate has a value"],
            "",
        )
        return pd.DataFrame(
            {
                "observed": self._observed,
                "surrogate_mean": self._observed + mean,
                "surrogate_std": np.sqrt(np.maximum(0.0, variance)),
                "pvalue": pvalue,
                "pvalue_bh": benjamini_hochberg(pvalue),
                "n_surrogates": self._valid,
                "n_nan": self._draws - self._valid,
                "share_lost": self._lost / max(1, n_spikes * self._draws),
                "reason": pd.Series(reason.tolist(), dtype="str"),
            }
        )


# -- warnings
# --------------------------------------------------------------------------------------


def _warn_of_missing(observed: FloatArray, phase: str) -> None:
    units = np.flatnonzero(np.isnan(np.atleast_1d(observed)))
    if units.size:
        named = ", ".join(map(str, units[:10]))
        if units.size > 10:
            named += " and more"
        where = "for the network"
        if observed.ndim:
            where = f"for units {named} ({units.size} of {observed.size})"
        warnings.warn(
            f"the statistic is NaN in phase {phase!r} {where}; they get no p-value:"
            " leave them out with recording.select(units=...), or return a number",
            SurrogateWarning,
            stacklevel=3,
        )


def _warn_of_few(
    n_surrogates: int, n_tested: int, alternative: str, alpha: float
) -> None:
    tails = 2 if alternative == "two-sided" else 1
    # Solved for n: the smallest p-value, tails / (n + 1), is at most alpha / n_tested.
    needed = math.ceil(tails * n_tested / alpha) - 1
    if n_surrogates < needed:
        smallest = tails / (n_surrogates + 1)
        warnings.warn(
            f"{n_surrogates} surrogates cannot give a p-value below {smallest:.2g}, and"
            f" Benjamini-Hochberg at {alpha:g} over {n_tested} tests needs"
            f" {alpha / n_tested:.2g} where only one unit differs; ask for"
            f" n_surrogates={needed} or more, or test the network",
            SurrogateWarning,
            stacklevel=3,
        )
