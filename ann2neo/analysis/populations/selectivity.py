"""Tuning of units: class selectivity, sparseness, and information about the label."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import xlogy
from scipy.stats import random_table

from ann2neo._checks import seed_or_new, whole_number
from ann2neo._parallel import Task, checked_executor, map_tasks
from ann2neo.analysis._entry import (
    BoolArray,
    Column,
    FloatArray,
    IntArray,
    Statistic,
    columns_of,
    count_column,
    text_column,
)
from ann2neo.analysis._phases import phase_named, phases_of, table_of_units
from ann2neo.analysis.populations.labels import Labels, labels_of, with_missing
from ann2neo.recording import Recording
from ann2neo.recording.segments import SegmentedPhase, UnitsOfPhase

__all__ = [
    "COLUMNS",
    "OVERLAP_COLUMNS",
    "RATE_COLUMN",
    "SELECTIVITY_STATISTICS",
    "lifetime_sparseness",
    "selectivity",
    "selectivity_index",
    "selectivity_of",
    "single_stimulus_overlap",
    "treves_rolls",
]

_BLOCK_BYTES = 1 << 20
_RATE = "rate_"
"""What the names of columns of rates for single labels begin with."""

SELECTIVITY_STATISTICS: tuple[Statistic, ...] = (
    Statistic(
        name="preferred_label",
        columns=(
            Column("mean_rate", "Spikes per bin of the presentations.", "1/bin"),
            Column(
                "preferred_label",
                "Label of the highest rate, of equals the first; -1 or empty for a"
                " silent unit.",
                "",
                "",
            ),
            Column("preferred_rate", "Spikes per bin for that label.", "1/bin"),
        ),
        validity="presentations with labels",
        source="definition",
    ),
    Statistic(
        name="selectivity_index",
        columns=(
            Column(
                "selectivity_index",
                "Class selectivity, (best rate - mean of the other labels') / (best +"
                " mean of the others'), from 0 to 1.",
            ),
            Column(
                "selectivity_index_expected",
                "Its mean under permuted labels, above 0 for every unit by chance.",
            ),
        ),
        validity="at least one spike and two labels",
        source="Morcos et al. (2018), ICLR",
    ),
    Statistic(
        name="sparseness",
        columns=(
            Column(
                "treves_rolls",
                "Treves-Rolls activity of the rates r over labels, mean(r)^2 /"
                " mean(r^2), from 1 / n_labels to 1.",
            ),
            Column(
                "lifetime_sparseness",
                "(1 - treves_rolls) / (1 - 1 / n_labels), from 0 (the same rate for"
                " all labels) to 1 (one label only).",
            ),
        ),
        validity="at least one spike; sparseness also needs two labels",
        source=(
            "Treves and Rolls (1991), Network 2:371; Vinje and Gallant (2000), Science"
            " 287:1273"
        ),
    ),
    Statistic(
        name="mutual_information",
        columns=(
            Column(
                "mutual_information",
                "Mutual information of the spike count in a presentation and its label,"
                " less its bias, the mean under permuted labels; not clipped at 0.",
                "bit",
            ),
            Column(
                "mutual_information_pvalue",
                "p-value of independent spike count and label, from permuted labels.",
            ),
        ),
        null="spike count and label are independent: labels can be permuted",
        validity="presentations with labels, exchangeable where their lengths differ",
        source="definition; permuted labels as Patefield (1981), Appl Stat 30:91",
        pvalue="mutual_information_pvalue",
    ),
    Statistic(
        name="only_stimulus",
        columns=(
            count_column("n_stimuli", "Different stimuli that the unit fired for."),
            Column(
                "only_stimulus",
                "The stimulus, where it is one: its stimulus_id, or its number in the"
                " phase; else -1 or empty.",
                "",
                "",
            ),
            Column(
                "only_label",
                "Label of that stimulus; -1 or empty where there is none.",
                "",
                "",
            ),
        ),
        validity="presentations with labels",
        source="definition",
    ),
)
"""The statistics of tuning, in the order of the columns."""

COLUMNS: tuple[Column, ...] = (
    count_column("unit", "Index of the unit in the recording."),
    text_column("phase", "Phase of the recording."),
    count_column("n_labels", "Different labels in the phase."),
    count_column("n_presentations", "Presentations in the phase."),
    count_column(
        "n_active_presentations",
        "Presentations in which the unit spiked at least once.",
    ),
    *columns_of(SELECTIVITY_STATISTICS),
    count_column("n_permutations", "Permutations of the labels."),
    count_column("seed", "Seed of the permutations."),
)
"""Columns of the table of `selectivity`."""

RATE_COLUMN = Column(
    f"{_RATE}<label>",
    "Spikes per bin of the presentations with the label <label>; NaN in phases without"
    " it.",
    "1/bin",
)
"""What ``rates=True`` adds for each label."""

OVERLAP_COLUMNS: tuple[Column, ...] = (
    count_column("n_units", "Units in both phases."),
    count_column("n_first", "Units that fire for exactly one stimulus of the first."),
    count_column("n_second", "Units that fire for exactly one stimulus of the second."),
    count_column("n_both", "Units that do so in both phases."),
    Column(
        "n_both_expected",
        "Units that would do so in both if the two were independent over units.",
    ),
    count_column(
        "n_first_silent_in_second", "Of n_first, those that are silent in the second."
    ),
    count_column(
        "n_same_label", "Of n_both, those whose two stimuli have the same label."
    ),
    count_column(
        "n_same_stimulus", "Of n_both, those that fire for the same stimulus."
    ),
)
"""Entries of the series that `single_stimulus_overlap` returns."""


def selectivity(
    recording: Recording,
    *,
    kind: str | None = None,
    n_permutations: int = 999,
    seed: int | None = None,
    rates: bool = False,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Measure what every unit is tuned to, and how sharply, in every phase.

    Parameters
    ----------
    recording : Recording
        A recording whose presentations have labels.
    kind : str, optional
        Kind of the presentations; the only one, or "trials", if not given.
    n_permutations : int, default 999
        Number of permutations of the labels, for the expected index and for bias and
        p-value of the mutual information.
    seed : int, optional
        Seed of the permutations; one is drawn and reported in the column ``seed`` if
        not given.
    rates : bool, default False
        Add the firing rate for each label, in spikes per bin of its presentations, as
        columns ``rate_<label>`` at the end; NaN in phases without the label.
    executor : concurrent.futures.Executor, optional
        As in `analyze`.

    Returns
    -------
    pandas.DataFrame
        One row per unit and phase:

        - ``n_labels, n_presentations, n_active_presentations`` (with at least one
          spike), ``mean_rate`` in spikes per bin of the presentations;
        - ``preferred_label`` of the highest rate (of equals the first; missing for a
          silent unit: -1, NaN, or "" for strings) and ``preferred_rate``;
        - ``selectivity_index``, (best rate - mean of the other labels') / (best + mean
          of the others'), from 0 to 1, and ``selectivity_index_expected``, its mean
          under permuted labels: it is above 0 for every unit by chance;
        - ``treves_rolls`` activity of the rates r over labels, mean(r)^2 / mean(r^2),
          from 1 / n_labels to 1, and ``lifetime_sparseness``, (1 - that) / (1 - 1 /
          n_labels), from 0 (same rate for all) to 1 (one label only);
        - ``mutual_information`` of spike count in a presentation and label, in bits,
          less its bias, the mean under permuted labels; not clipped, so that it is 0 on
          average for an untuned unit; and ``mutual_information_pvalue``, (k + 1) /
          (n_permutations + 1), under permuted labels;
        - ``n_stimuli``, the different stimuli it fired for; where that is one,
          ``only_stimulus`` (stimulus_id, or number in the phase without one) and
          ``only_label``, else missing;
        - ``n_permutations, seed``.

    Raises
    ------
    InputTypeError, InputValueError
        If `recording` is not a Recording, a phase has no labelled presentation, there
        are none of the kind, or `n_permutations` is not positive.

    Notes
    -----
    To permute labels is to draw a contingency table of counts and labels with the same
    margins (Patefield 1981). It depends on the unit only through how often each count
    occurs, and units that agree in this share their draws. Presentations of different
    lengths are treated as exchangeable. For single bits, sparseness over stimuli equals
    the rate, so it is computed over labels. The bias of the information is measured
    rather than approximated: Miller and Madow's formula is off where counts are many
    and presentations few, by 0.08 bit with 100 trials of 8 labels and mean count 50.

    References
    ----------
    Treves, A. and Rolls, E. T. (1991). What determines the capacity of autoassociative
    memories in the brain? Network 2. Vinje, W. E. and Gallant, J. L. (2000). Sparse
    coding and decorrelation in primary visual cortex during natural vision. Science
    287. Morcos, A. S. et al. (2018). On the importance of single directions for
    generalization. ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from ann2neo import Recording
    >>> labels = np.arange(40) % 2
    >>> table = selectivity(
    ...     Recording.from_activations(labels[:, None] - 0.5, labels=labels), seed=0
    ... )
    >>> table[
    ...     ["preferred_label", "selectivity_index", "mutual_information_pvalue"]
    ... ].values.tolist()
    [[1.0, 1.0, 0.001]]
    """
    return selectivity_of(
        recording,
        phases_of(recording, "selectivity"),
        kind=kind,
        n_permutations=n_permutations,
        seed=seed,
        rates=rates,
        executor=executor,
    )


def selectivity_of(
    recording: Recording,
    phases: Sequence[SegmentedPhase],
    *,
    kind: str | None,
    n_permutations: int,
    seed: int | None,
    rates: bool,
    executor: Executor | None,
) -> pd.DataFrame:
    """Return the table of `selectivity` for some phases of a recording."""
    n_permutations = whole_number(n_permutations, "n_permutations")
    seed = seed_or_new(seed)
    # All labels first: a phase without labels is an error before any work is done.
    labels_of_phases = [labels_of(recording, phase, kind) for phase in phases]
    nulls = [_Null(labels, n_permutations, seed) for labels in labels_of_phases]
    tasks = (
        Task(str(part), (part, labels, null, rates))
        for phase, labels, null in zip(phases, labels_of_phases, nulls, strict=True)
        for part in phase.unit_parts(
            recording.raster, phase.units_in(recording.raster, _BLOCK_BYTES)
        )
    )
    tables = list(map_tasks(_selectivity, tasks, checked_executor(executor)))
    result = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    result = result.assign(n_permutations=n_permutations, seed=seed)
    # Rates last. Phases may differ in their labels.
    of_labels = [name for name in result if str(name).startswith(_RATE)]
    return result[[name for name in result if name not in of_labels] + of_labels]


def _selectivity(
    part: UnitsOfPhase, labels: Labels, null: _Null, with_rates: bool
) -> pd.DataFrame:
    raster = part.raster().raster
    responses = labels.responses(raster)
    n_units, n_presentations = responses.shape
    classes, bins = len(labels.names), labels.bins_of_each
    spikes = raster.joint_counts(labels.raster())
    rates = spikes / bins
    information, pvalue, expected = np.zeros((3, n_units))
    for unit, row in enumerate(responses):
        values, code = np.unique(row, return_inverse=True)
        counts = np.bincount(
            code * classes + labels.code, minlength=len(values) * classes
        )
        plugin = float(_information(counts.reshape(1, -1, classes))[0])
        drawn, expected[unit] = null.draws(
            values, counts.reshape(-1, classes).sum(axis=1)
        )
        # The plug-in estimate is too large, by as much as it is without any tuning.
        information[unit] = plugin - drawn.mean()
        # Draws that differ from the value only by rounding are ties, which count.
        smaller = np.searchsorted(drawn, plugin - 1e-12)
        pvalue[unit] = (1 + len(drawn) - smaller) / (1 + len(drawn))
    silent = spikes.sum(axis=1) == 0
    preferred = labels.names[rates.argmax(axis=1)]
    active = responses > 0
    n_stimuli, only = _n_stimuli(active, labels.stimulus), active.argmax(axis=1)
    single = n_stimuli == 1
    of_labels = {}
    if with_rates:
        of_labels = {
            f"{_RATE}{name}": rate
            for name, rate in zip(labels.names, rates.T, strict=True)
        }
    table = pd.DataFrame(
        {
            "n_labels": np.full(n_units, classes),
            "n_presentations": np.full(n_units, n_presentations),
            "n_active_presentations": active.sum(axis=1),
            "mean_rate": spikes.sum(axis=1) / bins.sum(),
            "preferred_label": with_missing(preferred, ~silent),
            "preferred_rate": rates.max(axis=1),
            "selectivity_index": selectivity_index(rates),
            "selectivity_index_expected": expected,
            "treves_rolls": treves_rolls(rates),
            "lifetime_sparseness": lifetime_sparseness(rates),
            "mutual_information": information,
            "mutual_information_pvalue": pvalue,
            "n_stimuli": n_stimuli,
            "only_stimulus": with_missing(labels.stimulus[only], single),
            "only_label": with_missing(labels.names[labels.code[only]], single),
            **of_labels,
        },
        index=pd.RangeIndex(n_units),
    )
    return table_of_units(
        table, np.arange(part.units.start, part.units.stop), part.phase
    )


def _n_stimuli(active: BoolArray, stimulus: npt.NDArray[Any]) -> IntArray:
    """Count the different stimuli that each unit spiked for, shape (n_units,)."""
    order = np.argsort(stimulus, kind="stable")
    _, first = np.unique(stimulus[order], return_index=True)
    of_stimulus = np.logical_or.reduceat(active[:, order], first, axis=1)
    return np.asarray(of_stimulus.sum(axis=1))


class _Null:
    """Permuted labels: random tables with fixed margins, drawn once per margin."""

    def __init__(self, labels: Labels, n_draws: int, seed: int) -> None:
        self.n_draws = n_draws
        self._seed = seed
        self._sizes, self._bins = np.bincount(labels.code), labels.bins_of_each
        self._drawn: dict[bytes, tuple[FloatArray, float]] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Drawn again in another process, with the same result.
        return {**self.__dict__, "_drawn": {}}

    def draws(self, values: IntArray, occurring: IntArray) -> tuple[FloatArray, float]:
        """Return sorted information and mean selectivity index over the permutations.

        Parameters
        ----------
        values, occurring : ndarray of int64, shape (n_values,)
            Spike counts of a unit's presentations, and how often each occurs.
        """
        key = values.tobytes() + occurring.tobytes()
        if key not in self._drawn:
            if 1 in (len(values), len(self._sizes)):
                # One row or one column leaves nothing to draw, and SciPy's sampler is
                # wrong for one column.
                only = np.multiply.outer(occurring, self._sizes) // self._sizes.sum()
                tables = np.broadcast_to(only, (self.n_draws, *only.shape))
            else:
                # Seeded by the margin, whatever units were drawn for before.
                rng = np.random.default_rng([self._seed, *(int(n) for n in occurring)])
                distribution = random_table(occurring, self._sizes)
                tables = distribution.rvs(
                    self.n_draws, method="patefield", random_state=rng
                )
            spikes = np.einsum("r,nrc->nc", values.astype(np.float64), tables)
            index = selectivity_index(spikes / self._bins)
            mean = float(index.mean()) if values.any() else np.nan
            self._drawn[key] = np.sort(_information(tables)), mean
        return self._drawn[key]


def _information(tables: npt.NDArray[Any]) -> FloatArray:
    """Return the plug-in mutual information of rows and columns, in bits.

    For tables of shape (n_tables, n_rows, n_columns) with entries n, row sums r, column
    sums c and total N: ``((sum n ln n - sum r ln r - sum c ln c) / N + ln N) / ln 2``.
    """
    counts = np.asarray(tables, np.float64)
    total = counts.sum(axis=(1, 2))
    rows, columns = counts.sum(axis=2), counts.sum(axis=1)
    terms = (
        xlogy(counts, counts).sum(axis=(1, 2))
        - xlogy(rows, rows).sum(axis=1)
        - xlogy(columns, columns).sum(axis=1)
    )
    information: FloatArray = (terms / total + np.log(total)) / np.log(2)
    return information


@np.errstate(invalid="ignore", divide="ignore")
def selectivity_index(rates: FloatArray) -> FloatArray:
    """Return the class selectivity (Morcos et al. 2018) of rates over labels.

    Parameters
    ----------
    rates : ndarray of float64, shape (n_units, n_labels)
        Rate of each unit for each label.

    Returns
    -------
    ndarray of float64, shape (n_units,)
        (best - mean of the others) / (best + mean of the others); NaN for silent units
        and with a single label.

    Examples
    --------
    >>> import numpy as np
    >>> selectivity_index(np.array([[0.9, 0.2, 0.4], [0.5, 0.5, 0.5]])).round(3)
    array([0.5, 0. ])
    """
    best = rates.max(axis=1)
    others = (rates.sum(axis=1) - best) / (rates.shape[1] - 1)
    index: FloatArray = (best - others) / (best + others)
    return index


@np.errstate(invalid="ignore", divide="ignore")
def treves_rolls(rates: FloatArray) -> FloatArray:
    """Return the Treves-Rolls activity ``mean(r)^2 / mean(r^2)`` along the last axis.

    Parameters
    ----------
    rates : ndarray of float64, shape (..., n)
        Rates: over labels for lifetime, over units for population sparseness.

    Returns
    -------
    ndarray of float64, shape (...)
        From 1 / n (one entry carries all) to 1 (all equal); NaN where all are 0.

    Examples
    --------
    >>> import numpy as np
    >>> treves_rolls(np.array([[1.0, 0.0, 0.0, 0.0], [0.3, 0.3, 0.3, 0.3]]))
    array([0.25, 1.  ])
    """
    activity: FloatArray = rates.mean(axis=-1) ** 2 / (rates**2).mean(axis=-1)
    return activity


def lifetime_sparseness(rates: FloatArray) -> FloatArray:
    """Return the sparseness of Vinje and Gallant (2000) along the last axis.

    That is ``(1 - a) / (1 - 1/n)`` of the Treves-Rolls activity a.

    Parameters
    ----------
    rates : ndarray of float64, shape (..., n)
        Rates.

    Returns
    -------
    ndarray of float64, shape (...)
        From 0 (all equal) to 1 (one entry carries all); NaN where all are 0 or n is 1.
    """
    n = rates.shape[-1]
    if n < 2:
        return np.full(rates.shape[:-1], np.nan)
    sparseness: FloatArray = (1.0 - treves_rolls(rates)) / (1.0 - 1.0 / n)
    return sparseness


def single_stimulus_overlap(
    table: pd.DataFrame, first: str = "train", second: str = "test"
) -> pd.Series:
    """Compare the units that fire for exactly one stimulus between two phases.

    Parameters
    ----------
    table : pandas.DataFrame
        The table returned by `selectivity`.
    first, second : str
        Two of its phases.

    Returns
    -------
    pandas.Series
        ``n_units``; ``n_first, n_second, n_both``, units that fire for exactly one
        stimulus in one and in both phases; ``n_both_expected`` if the two were
        independent over units; ``n_first_silent_in_second``, of the first those that
        never fire in the second phase (such as units that fire for one training sample
        and nothing else); ``n_same_label`` and ``n_same_stimulus``, of `n_both` those
        whose two stimuli have the same label and the same stimulus_id (meaningful only
        if both phases number the same stimuli).

    Raises
    ------
    InputValueError
        If a phase is not in the table.

    Examples
    --------
    >>> labels = [0, 0, 1, 1]
    >>> phases = [
    ...     Recording.from_activations(np.eye(4)[:, :3], labels=labels, phase=p)
    ...     for p in ("train", "test")
    ... ]
    >>> table = selectivity(Recording.concatenate(phases), n_permutations=9, seed=0)
    >>> single_stimulus_overlap(table)[
    ...     ["n_units", "n_first", "n_second", "n_both"]
    ... ].astype(int).to_list()
    [3, 3, 3, 3]
    """
    phases = list(dict.fromkeys(table["phase"]))
    a, b = (
        table[table["phase"] == phase_named(name, phases, "table")].set_index("unit")
        for name in (first, second)
    )
    once, again = a["n_stimuli"] == 1, b["n_stimuli"] == 1
    both = once & again
    return pd.Series(
        {
            "n_units": len(a),
            "n_first": int(once.sum()),
            "n_second": int(again.sum()),
            "n_both": int(both.sum()),
            "n_both_expected": once.sum() * again.sum() / max(1, len(a)),
            "n_first_silent_in_second": int((once & (b["n_stimuli"] == 0)).sum()),
            "n_same_label": int((both & (a["only_label"] == b["only_label"])).sum()),
            "n_same_stimulus": int(
                (both & (a["only_stimulus"] == b["only_stimulus"])).sum()
            ),
        },
        name=f"{first} and {second}",
    )
