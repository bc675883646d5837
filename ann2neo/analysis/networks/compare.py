"""Comparison of the firing rates of two or more recordings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ann2neo._checks import names_of, number_between, one_of
from ann2neo.analysis._entry import (
    BoolArray,
    Column,
    FloatArray,
    count_column,
    text_column,
)
from ann2neo.analysis._pairs import paired_phases, why_unpaired
from ann2neo.analysis._phases import one_phase
from ann2neo.errors import InputValueError
from ann2neo.recording import Recording, checked_recording

__all__ = ["COLUMNS", "SamenessWarning", "compare"]

COLUMNS: tuple[Column, ...] = (
    text_column("first", "Name of the first recording."),
    text_column("second", "Name of the second recording."),
    text_column("first_phase", "Phase of the first recording."),
    text_column("second_phase", "Phase of the second recording."),
    text_column("test", "kolmogorov_smirnov, signed_rank or equivalence."),
    text_column("null", "Null hypothesis of the test."),
    Column("statistic", "Statistic of the test."),
    Column("pvalue", "p-value of the null hypothesis in the column null."),
    Column("effect", "Size of the difference, measured as effect_is says."),
    text_column("effect_is", "What the effect is."),
    Column("effect_low", "Lower end of the effect's 90 % confidence interval."),
    Column("effect_high", "Upper end of the effect's 90 % confidence interval."),
    count_column("n_first", "Units of the first recording."),
    count_column("n_second", "Units of the second recording."),
    text_column("reason", "Why the row has no result; empty where it has one."),
)
"""Columns of the table of `compare`."""


class SamenessWarning(UserWarning):
    """A test that cannot show sameness did not reject."""


class _Outcome(NamedTuple):
    test: str
    null: str
    statistic: float = float("nan")
    pvalue: float = float("nan")
    effect: float = float("nan")
    effect_is: str = ""
    effect_low: float = float("nan")
    effect_high: float = float("nan")
    reason: str = ""


def compare(
    *recordings: Recording,
    names: Sequence[str] | None = None,
    margin: float = 0.02,
    by: str | None = None,
) -> pd.DataFrame:
    """Compare the units' firing rates of two or more recordings, pair by pair.

    Parameters
    ----------
    *recordings : Recording
        Two or more. Phases of the same name are compared; two recordings of one phase
        each are compared whatever the phases are called.
    names : sequence of str, optional
        Names of the recordings in the table; "1", "2", .. if not given.
    margin : float, default 0.02
        Largest difference of mean firing rates, in spikes per bin, that counts as the
        same.
    by : str, optional
        Column of the tables of units, such as "layer": units are compared group by
        group, and the table has this column behind the phases. A group that is in one
        recording only has rows that say so. To compare the layers of one recording with
        each other, pass ``*(recording.select(layer=name) for name in layers)``.

    Returns
    -------
    pandas.DataFrame
        One row per pair, phase and test:

        kolmogorov_smirnov
            The paper's test of the distributions of rates; the effect is their largest
            distance. It cannot show that two are the same: between two layers of 64
            units it needs a distance of 0.24 to reject at 5 %.
        signed_rank
            Wilcoxon's paired test, unit by unit; the effect is the matched-pairs
            rank-biserial correlation.
        equivalence
            Two one-sided paired t tests: a small p-value shows that the mean rates
            differ by less than `margin`; the effect is the mean difference (second
            minus first), with its 90 % confidence interval.

        The paired tests need the same units in both; ``reason`` says why a row has no
        result.

    Raises
    ------
    InputTypeError, InputValueError
        If there are fewer than two recordings, an argument is not a Recording, no phase
        can be paired, the number of names is wrong, `margin` is out of range, or the
        tables of units lack the column `by`.

    Warns
    -----
    SamenessWarning
        If a Kolmogorov-Smirnov test does not reject at 5 %: that is no evidence of
        sameness.

    Notes
    -----
    Units of a network depend on each other. To compare ways of training, the replicate
    is a trained network, never a unit: compare summaries of several networks each.

    References
    ----------
    Wilcoxon, F. (1945). Individual comparisons by ranking methods. Biometrics Bulletin
    1. Schuirmann, D. J. (1987). A comparison of the two one-sided tests procedure and
    the power approach for assessing the equivalence of average bioavailability. J.
    Pharmacokinet. Biopharm. 15.

    Examples
    --------
    >>> a = Recording.from_activations(
    ...     np.random.default_rng(0).normal(0.0, 1, (500, 40))
    ... )
    >>> b = Recording.from_activations(
    ...     np.random.default_rng(1).normal(0.1, 1, (500, 40))
    ... )
    >>> table = compare(a, b, names=["before", "after"])
    >>> table[["test", "effect_is", "effect"]].round(2)
                     test                  effect_is  effect
    0  kolmogorov_smirnov           largest distance    0.57
    1         signed_rank  rank-biserial correlation    0.92
    2         equivalence        difference of means    0.04
    """
    for recording in recordings:
        checked_recording(recording, "compare")
    if len(recordings) < 2:
        raise InputValueError(
            f"compare needs at least two recordings, got {len(recordings)}; pass"
            " another one"
        )
    margin = number_between(
        margin, "margin", 0, 1, noun="spike per bin", remedy="the usual one is 0.02"
    )
    labels = [str(number) for number in range(1, len(recordings) + 1)]
    if names is not None:
        labels = names_of(names, "names")
    if len(labels) != len(recordings) or len(set(labels)) != len(labels):
        raise InputValueError(
            f"names must be {len(recordings)} different names, one per recording, got"
            f" {labels}"
        )
    columns = [column.name for column in COLUMNS]
    if by is not None:
        _check_by(by, recordings)
        columns.insert(columns.index("second_phase") + 1, by)
    rows: list[tuple[Any, ...]] = []
    undecided = []
    for (name, first), (other, second) in combinations(
        zip(labels, recordings, strict=True), 2
    ):
        for phase, other_phase in paired_phases(first, second):
            all_rates, all_others = _rates(first, phase), _rates(second, other_phase)
            for group, here, there in _groups(first.units, second.units, by):
                rates, others = all_rates[here], all_others[there]
                unpaired = why_unpaired(first.units[here], second.units[there])
                outcomes = (
                    _kolmogorov_smirnov(rates, others),
                    _signed_rank(rates, others, unpaired),
                    _equivalence(rates, others, unpaired, margin),
                )
                place = (name, other, phase, other_phase, *group)
                if outcomes[0].pvalue > 0.05:
                    where = ", ".join([phase, *map(str, group)])
                    undecided.append(f"{name} and {other} ({where})")
                sizes = (len(rates), len(others))
                rows += [
                    (*place, *outcome[:-1], *sizes, outcome.reason)
                    for outcome in outcomes
                ]
    if undecided:
        warnings.warn(
            f"the Kolmogorov-Smirnov test does not reject for {', '.join(undecided)};"
            " that cannot show that rates are the same: read the rows 'signed_rank' and"
            " 'equivalence'",
            SamenessWarning,
            stacklevel=2,
        )
    return pd.DataFrame(rows, columns=columns)


def _check_by(by: str, recordings: Sequence[Recording]) -> None:
    """Raise if a table of units lacks the column, or a table of results has it."""
    for recording in recordings:
        one_of(by, list(map(str, recording.units)), "by")
    taken = [column.name for column in COLUMNS]
    if by in taken:
        raise InputValueError(
            f"by={by!r} is a column of the table of results; rename that of the units"
        )


def _groups(
    units: pd.DataFrame, others: pd.DataFrame, by: str | None
) -> Iterator[tuple[tuple[Any, ...], BoolArray, BoolArray]]:
    """Yield the name of each group of units, if any, and its units in both tables."""
    if by is None:
        yield (), np.ones(len(units), np.bool_), np.ones(len(others), np.bool_)
        return
    # In order of appearance; the groups of the second only come last.
    for value in pd.concat([units[by], others[by]]).dropna().unique():
        yield (
            (value,),
            (units[by] == value).to_numpy(np.bool_),
            (others[by] == value).to_numpy(np.bool_),
        )


def _rates(recording: Recording, phase: str) -> FloatArray:
    raster = one_phase(recording, phase, "compare").raster(recording.raster)
    return raster.raster.spike_counts() / max(1, raster.n_time_bins)


def _kolmogorov_smirnov(rates: FloatArray, others: FloatArray) -> _Outcome:
    from scipy.stats import ks_2samp

    outcome = _Outcome("kolmogorov_smirnov", "the same distribution of rates")
    if not len(rates) or not len(others):
        return outcome._replace(reason="no unit")
    result = ks_2samp(rates, others)
    return outcome._replace(
        statistic=float(result.statistic),
        pvalue=float(result.pvalue),
        effect=float(result.statistic),
        effect_is="largest distance",
    )


def _signed_rank(rates: FloatArray, others: FloatArray, unpaired: str) -> _Outcome:
    from scipy.stats import rankdata, wilcoxon

    outcome = _Outcome("signed_rank", "differences are symmetric around 0")
    if unpaired or not len(rates):
        return outcome._replace(reason=unpaired or "no unit")
    differences = others - rates
    differences = differences[differences != 0]
    if not len(differences):
        return outcome._replace(reason="no unit's rate differs")
    result = wilcoxon(differences)
    ranks = rankdata(np.abs(differences))
    return outcome._replace(
        statistic=float(result.statistic),
        pvalue=float(result.pvalue),
        effect=float((ranks * np.sign(differences)).sum() / ranks.sum()),
        effect_is="rank-biserial correlation",
    )


def _equivalence(
    rates: FloatArray, others: FloatArray, unpaired: str, margin: float
) -> _Outcome:
    from scipy.stats import t

    outcome = _Outcome(
        "equivalence",
        f"mean rates differ by {margin:g} or more",
        effect_is="difference of means",
    )
    if unpaired or len(rates) < 2:
        return outcome._replace(reason=unpaired or "fewer than two units")
    differences = others - rates
    mean, degrees = float(differences.mean()), len(differences) - 1
    error = float(differences.std(ddof=1)) / np.sqrt(len(differences))
    if error == 0:
        inside = abs(mean) < margin
        statistic, pvalue = (np.inf, 0.0) if inside else (-np.inf, 1.0)
    else:
        statistic = (margin - abs(mean)) / error
        pvalue = float(t.sf(statistic, degrees))
    # Both one-sided tests reject at 5 % just where the 90 % interval is within the
    # margins; the nearer margin gives the larger p-value, which counts.
    half = float(t.ppf(0.95, degrees)) * error
    return outcome._replace(
        statistic=float(statistic),
        pvalue=pvalue,
        effect=mean,
        effect_low=mean - half,
        effect_high=mean + half,
    )
