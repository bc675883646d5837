"""The paper's eight hypotheses, tested on trained networks.

Each can come out for, against, or undecided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.errors import InputValueError
from ann2neo.study.comparison import markdown_table, number_or_none, split_tests
from ann2neo.study.conditions import CONDITIONS, MEMORIZING
from ann2neo.study.memorization import MIN_GAIN, memorization, only_memorizing
from ann2neo.study.networks import NETWORKS
from ann2neo.study.published import KEY, doubtful_cells, paper_table
from ann2neo.study.results import CLUSTER_KEY, Results, stopped_short

__all__ = [
    "AGAINST",
    "DIFFERS",
    "NONE_MEMORIZES",
    "SUPPORTED",
    "UNDECIDED",
    "PairedEffect",
    "hypotheses",
    "hypotheses_markdown",
    "paired_effect",
    "without_short",
]

SUPPORTED, AGAINST = "supported", "against"
UNDECIDED = "cannot be decided with these cells"
DIFFERS = "kinds of memorizing differ"
NONE_MEMORIZES = "no verdict without memorizing networks"

_ABOUT_MEMORIZING = (1, 2, 3, 4, 5, 6)
_MARGIN_RATE = 0.02
_MOST_UNDECIDED = 5
_NAN = float("nan")


class PairedEffect(NamedTuple):
    """Median difference of pairs: estimate, interval, p-value, number of pairs."""

    estimate: float = _NAN
    low: float = _NAN
    high: float = _NAN
    pvalue: float = _NAN
    n: int = 0

    def detectable(self, level: float = 0.95) -> float:
        """Return about the effect that as many such pairs find four times in five.

        Half the interval is z standard errors. An effect of z + z(0.8) standard errors,
        z(0.8) being the 80 % quantile of the normal distribution, has a power of 0.8.
        """
        from scipy.stats import norm

        limit = norm.ppf((1 + level) / 2)
        return float((self.high - self.low) / 2 * (limit + norm.ppf(0.8)) / limit)


class _Claim(NamedTuple):
    """A hypothesis, or a part of it, as a claim about the sign of an effect.

    Sign 0 claims that the effect is nearly 0. An effect within the margin counts as no
    effect.
    """

    number: int
    statement: str
    effect_is: str
    paper: str
    sign: int
    remark: str = ""
    margin: float = 0.0


_CLAIMS = {
    "H1": _Claim(
        1,
        "Memorizing networks fire less than generalizing ones.",
        "mean firing rate, memorizing minus generalizing",
        "strongly confirmed",
        -1,
    ),
    "H2": _Claim(
        2,
        "The Poisson model fits generalizing and random networks better than memorizing"
        " ones.",
        "share of units whose Fano factor rejects a Poisson process, memorizing minus"
        " the others",
        "strongly rejected",
        +1,
        "In random order the Fano factor is 1 - rate, so that a unit that fires less"
        " lies nearer to a Poisson process, whatever was learned: this repeats"
        " hypothesis 1.",
        0.05,
    ),
    "H3": _Claim(
        3,
        "Memorizing networks move further from untrained ones than generalizing"
        " networks do.",
        "distance of mean firing rates from the untrained network of the seed,"
        " memorizing minus generalizing",
        "strongly confirmed",
        +1,
    ),
    "H4": _Claim(
        4,
        "Firing rates vary more over the units of memorizing networks.",
        "CV of firing rates in percent, memorizing minus generalizing",
        "weakly rejected",
        +1,
        "The CV of rates grows as their mean falls, whatever their spread.",
    ),
    "H5": _Claim(
        5,
        "In wider networks memorizing and generalizing are harder to tell apart.",
        "slope on log2 width of the distance of mean firing rates, generalizing to"
        " memorizing",
        "weakly confirmed",
        -1,
        "Wider networks were also trained to memorize more, as in the paper (the MLP 30"
        " to 48 % of the samples at width 64 and 99 to 100 % at 512), so width and"
        " accuracy are confounded.",
    ),
    "H6": _Claim(
        6,
        "Memorizing by more layers brings memorizing and generalizing closer.",
        "distance of mean firing rates, generalizing to memorizing, when all layers are"
        " retrained minus the last two",
        "weakly confirmed",
        -1,
    ),
    "H6 frozen": _Claim(
        6,
        "A deeper network whose earlier layers are frozen brings memorizing and"
        " generalizing closer.",
        "distance of mean firing rates, generalizing to memorizing, in the deeper"
        " network minus the less deep one",
        "stays distinct",
        -1,
        "Only networks of the same data set, width and seed are compared, so that depth"
        " is not confounded with data.",
    ),
    "H7": _Claim(
        7,
        "Firing rates are the same on training and test samples.",
        "mean firing rate, test minus training; rates within"
        f" {_MARGIN_RATE} of each other count as the same",
        "strongly confirmed",
        0,
        "An interval inside the margin shows equivalence; a test that does not reject"
        " would not.",
        _MARGIN_RATE,
    ),
    "H8": _Claim(
        8,
        "The switch from true to random labels shows as a change point of the mean"
        " firing rate.",
        "share of trainings whose change point lies within one epoch of the switch,"
        " above one half",
        "strongly confirmed",
        +1,
        "The other half of the paper's hypothesis, that rates are stable otherwise, is"
        " not judged here; ann2neo.study.rate_changes measures how far they move.",
    ),
}


def hypotheses(
    results: Results,
    switches: pd.DataFrame | None = None,
    *,
    min_gain: float = MIN_GAIN,
) -> pd.DataFrame:
    """Test the paper's hypotheses.

    Parameters
    ----------
    results : Results
        What `load_results` read. A replicate is a trained network with its partners of
        the same data set, architecture, width and seed; never a unit.
    switches : pandas.DataFrame, optional
        What `load_switches` read, for hypothesis 8.
    min_gain : float, default 0.10
        Networks trained on permuted labels count where they memorize them by this much
        (`memorization`). Without any, hypotheses 1 to 6 get no verdict.

    Returns
    -------
    pandas.DataFrame
        One row per hypothesis and part of it: ``number``, ``part``, ``statement``,
        ``effect_is``, ``effect`` with its interval ``low, high`` (95 %; H7: 90 %), the
        number ``n`` of replicates, the two-sided ``pvalue`` of no effect, ``verdict``,
        the verdict of the ``paper``, ``smallest_effect``, about the effect that so many
        replicates find four times in five (where undecided), a ``remark``, and
        ``n_memorizing`` of the ``n_permuted`` networks trained on permuted labels (of
        the part's kind), which alone count.
    """
    judged = memorization(results, min_gain)
    results = only_memorizing(results, min_gain)
    train, test = (
        results.table[results.table["split"] == split] for split in ("train", "test")
    )
    rates = _by_condition(train, "mean_firing_rate")
    variation = _by_condition(train, "cv_firing_rate_percent")
    poisson = _by_condition(train, "fano_rejected_share")
    kinds = [name for name in MEMORIZING if name in set(judged["condition"])]
    moved = rates.sub(rates["random"], axis=0).abs()
    gap = rates[[*MEMORIZING]].sub(rates["generalizing"], axis=0).abs()
    rows = [
        *_each_kind("H1", rates, kinds),
        _finding(
            "H2",
            poisson[[*MEMORIZING]].mean(axis=1)
            - poisson[["generalizing", "random"]].mean(axis=1),
        ),
        *_each_kind("H3", moved, kinds),
        *_each_kind("H4", variation, kinds, _spread_remark(rates, variation, kinds)),
        _finding("H5", _slopes(gap)),
        _finding("H6", gap["mem_retrain_all"] - gap["mem_retrain_last"], "all layers"),
        _finding("H6 frozen", _deeper(gap), "earlier layers frozen"),
        *_splits(results, _by_condition(test, "mean_firing_rate") - rates),
        _switch(switches),
    ]
    table = pd.DataFrame(rows)
    of_part = table["part"].where(table["part"].isin(MEMORIZING), "")
    n_permuted = judged.groupby("condition").size()
    n_memorizing = judged.groupby("condition")["memorizes"].sum()
    for name, counts in (("n_memorizing", n_memorizing), ("n_permuted", n_permuted)):
        by_part = {**counts, "": counts.sum()}
        table[name] = of_part.map(by_part).fillna(0).astype(int)
    lacks = table["number"].isin(_ABOUT_MEMORIZING) & (table["n_memorizing"] == 0)
    table.loc[lacks, "verdict"] = NONE_MEMORIZES
    return table


def without_short(results: Results) -> Results:
    """Keep the networks that reached the accuracy they were trained to.

    Where none stopped short, all are left; where all did, none, and the table is empty.
    """
    return replace(results, table=results.table[~stopped_short(results.table)])


def paired_effect(differences: npt.ArrayLike, level: float = 0.95) -> PairedEffect:
    """Estimate the median of paired differences.

    Parameters
    ----------
    differences : array_like of float, shape (n_pairs,)
        One difference per pair.
    level : float, default 0.95
        Level of the interval.

    Returns
    -------
    PairedEffect
        The estimate of Hodges and Lehmann, the median of the means of all pairs of
        differences; the interval of Wilcoxon's signed ranks (Bauer 1972, J Am Stat
        Assoc 67:687), infinite where there are too few pairs for the level; and the
        two-sided p-value of the same test.

    Raises
    ------
    InputValueError
        If there is no pair, or a difference is not finite.

    Examples
    --------
    >>> effect = paired_effect([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    >>> effect.estimate, effect.low, effect.high, effect.pvalue
    (3.5, 1.0, 6.0, 0.03125)
    """
    from scipy.stats import wilcoxon

    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise InputValueError(
            "paired differences must be one or more finite numbers, got"
            f" {differences!r}"
        )
    n = len(values)
    first, second = np.triu_indices(n)
    means = np.sort((values[first] + values[second]) / 2)
    # The distribution of the sum of positive ranks: every rank counts or does not,
    # half the time each.
    chances = np.ones(1)
    for rank in range(1, n + 1):
        chances = np.convolve(chances, np.r_[0.5, np.zeros(rank - 1), 0.5])
    k = int((2 * np.cumsum(chances) <= 1 - level).sum())
    low, high = (means[k - 1], means[len(means) - k]) if k else (-np.inf, np.inf)
    pvalue = float(wilcoxon(values).pvalue) if values.any() else 1.0
    return PairedEffect(float(np.median(means)), float(low), float(high), pvalue, n)


def _finding(
    name: str,
    differences: pd.Series | PairedEffect,
    part: str = "",
    remark: str | None = None,
    level: float = 0.95,
    verdict: str | None = None,
) -> dict[str, Any]:
    """Judge a claim by paired differences, or by an effect already estimated."""
    claim, effect = _CLAIMS[name], differences
    if not isinstance(effect, PairedEffect):
        pairs = effect.dropna().to_numpy()
        effect = paired_effect(pairs, level) if len(pairs) else PairedEffect()
    verdict = verdict or _verdict(claim, effect)
    return {
        "number": claim.number,
        "part": part,
        "statement": claim.statement,
        "effect_is": claim.effect_is,
        "effect": effect.estimate,
        "low": effect.low,
        "high": effect.high,
        "n": effect.n,
        "pvalue": effect.pvalue,
        "verdict": verdict,
        "paper": claim.paper,
        "smallest_effect": effect.detectable(level) if verdict == UNDECIDED else _NAN,
        "remark": claim.remark if remark is None else remark,
    }


def _verdict(claim: _Claim, effect: PairedEffect) -> str:
    """Compare an interval with a claim.

    Supported: the interval lies on the claimed side of 0, or inside the margin where
    no effect is claimed. Against: all of it lies elsewhere.
    """
    low, high, margin = effect.low, effect.high, claim.margin
    inside = -margin < low and high < margin
    if claim.sign == 0:
        supported, against = inside, low > margin or high < -margin
    else:
        ends = sorted((claim.sign * low, claim.sign * high))
        supported, against = ends[0] > 0 and not inside, ends[1] < 0 or inside
    if supported:
        return SUPPORTED
    return AGAINST if against else UNDECIDED


def _by_condition(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Pivot a statistic: one row per `CLUSTER_KEY`, one column per condition."""
    table = rows.pivot_table(index=CLUSTER_KEY, columns="condition", values=column)
    return table.reindex(columns=CONDITIONS)


def _each_kind(
    name: str, table: pd.DataFrame, kinds: list[str], remark: str | None = None
) -> Iterator[dict[str, Any]]:
    """Yield findings on memorizing minus generalizing: all kinds, then each kind.

    Kinds are averaged first, so that every generalizing network counts once.
    """
    differences = table[kinds].sub(table["generalizing"], axis=0)
    parts = [_finding(name, differences[kind], kind, remark) for kind in kinds]
    # An average over kinds must not be taken for what each of them does.
    verdict = DIFFERS if len(_decided(parts)) > 1 else None
    yield _finding(name, differences.mean(axis=1), "", remark=remark, verdict=verdict)
    if len(kinds) > 1:
        yield from parts


def _decided(findings: list[dict[str, Any]]) -> set[str]:
    """Verdicts of the findings that have an interval."""
    return {
        row["verdict"]
        for row in findings
        if np.isfinite([row["low"], row["high"]]).all()
    }


def _spread_remark(
    rates: pd.DataFrame, variation: pd.DataFrame, kinds: list[str]
) -> str:
    """Say whether the standard deviation of rates grows where their CV does."""
    if rates[kinds].isna().to_numpy().all():
        return _CLAIMS["H4"].remark
    deviation = rates * variation / 100
    differences = deviation[kinds].sub(deviation["generalizing"], axis=0)
    return (
        f"{_CLAIMS['H4'].remark} Their standard deviation is smaller in the memorizing"
        f" network in {int((differences < 0).sum().sum())} of"
        f" {int(differences.count().sum())} pairs."
    )


def _slopes(gap: pd.DataFrame) -> pd.Series:
    """Return one slope on log2 width per data set, architecture and seed.

    It is the mean of the slopes of each kind of memorizing: a slope of means would bend
    where a width lacks a kind.
    """

    def slope(distances: pd.Series) -> float:
        present = distances.dropna()
        widths = np.log2(present.index.get_level_values("width").to_numpy(np.float64))
        return np.polyfit(widths, present, 1)[0] if len(set(widths)) > 1 else _NAN

    groups = gap.groupby(level=["dataset", "network", "seed"])
    slopes = [[slope(group[kind]) for kind in group] for _, group in groups]
    return pd.DataFrame(slopes, dtype=float).mean(axis=1)


def _deeper(gap: pd.DataFrame) -> pd.Series:
    """Subtract distances in less deep networks from those in the next deeper one.

    Only kinds of memorizing that leave the earlier layers frozen count.
    """
    frozen = gap.drop(columns="mem_retrain_all")
    of_network = frozen.index.get_level_values("network")
    at = {name: frozen[of_network == name].droplevel("network") for name in NETWORKS}
    differences: pd.Series = pd.concat(
        (at[deeper] - at[network]).mean(axis=1)
        for network, deeper in pairwise(NETWORKS)
    )
    return differences


def _splits(results: Results, differences: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield findings on test minus training samples: all conditions, then each.

    Conditions are averaged, so that networks of one seed count once, and the average
    gets the verdict of the worst condition.
    """
    differences = differences.dropna(axis=1, how="all").sort_index(axis=1)
    parts = [
        _finding("H7", of, str(name), level=0.90) for name, of in differences.items()
    ]
    verdicts = _decided(parts) or {UNDECIDED}
    worst = min(verdicts, key=[AGAINST, UNDECIDED, SUPPORTED].index)
    yield _finding(
        "H7",
        differences.mean(axis=1),
        "",
        _splits_remark(results, differences),
        0.90,
        worst,
    )
    yield from parts


def _splits_remark(results: Results, differences: pd.DataFrame) -> str:
    """Count networks beyond the margin, in our rates and in the paper's cells."""
    size = differences.abs().melt(ignore_index=False, value_name="off")
    size = size.dropna().reset_index()
    beyond = size[size["off"] > _MARGIN_RATE]
    kinds = beyond.groupby(["network", "dataset", "condition"], as_index=False).size()
    listed = "; ".join(" ".join(map(str, kind)) for kind in kinds.to_numpy())
    tests = split_tests(results)
    paper, cells = paper_table(2), doubtful_cells()
    doubtful = cells.loc[cells["column"] == "mean_firing_rate", KEY]
    paper = paper[
        ~pd.MultiIndex.from_frame(paper[KEY]).isin([*doubtful.itertuples(index=False)])
    ]
    of_paper = paper.pivot_table(
        index=[name for name in KEY if name != "split"],
        columns="split",
        values="mean_firing_rate",
    )
    off = (of_paper["test"] - of_paper["train"]).abs().round(2)
    return (
        f"{len(beyond)} of {len(size)} networks differ by more than {_MARGIN_RATE}, the"
        f" largest by {size['off'].max():.3f}{f' ({listed})' if listed else ''}. The"
        " paper's own test, a Kolmogorov-Smirnov test of the units' rates, tells"
        f" training from test samples in {int(tests['shown_to_differ'].sum())} of"
        f" {len(tests)} networks (Benjamini-Hochberg). Of the paper's own cells,"
        f" doubtful ones aside, {int((off > _MARGIN_RATE).sum())} of {off.count()}"
        f" differ by more than {_MARGIN_RATE}, the largest by {off.max():.2f}."
    )


def _switch(switches: pd.DataFrame | None) -> dict[str, Any]:
    """Judge hypothesis 8 by a binomial test of the share of switches found.

    One curve per network counts: training and test samples share their weights.
    """
    from scipy.stats import binomtest

    if switches is None or switches.empty:
        return _finding("H8", PairedEffect(), "", "Run 'ann2neo study dynamics' first.")
    trainings = switches[switches["split"] == "train"]
    n, n_near = len(trainings), int(trainings["within_one_epoch"].sum())
    exact = binomtest(n_near, n)
    interval = exact.proportion_ci(0.95)
    low, high = interval.low - 0.5, interval.high - 0.5
    cells = trainings[["dataset", "network", "width"]].drop_duplicates()
    of_cells = ", ".join(" ".join(map(str, cell)) for cell in cells.to_numpy())
    row = _finding(
        "H8",
        PairedEffect(n_near / n - 0.5, low, high, exact.pvalue, n),
        "",
        f"The switch is found within an epoch in {n_near} of {n} trainings"
        f" ({of_cells}). {_CLAIMS['H8'].remark}",
    )
    # Of five trainings or fewer even all cannot show more than one half; of more, half
    # the interval says what would.
    if n <= _MOST_UNDECIDED:
        row["smallest_effect"] = _NAN
    return row


def hypotheses_markdown(
    table: pd.DataFrame, reached: pd.DataFrame | None = None, note: str = ""
) -> str:
    """Write hypotheses as Markdown, then what they measure and what to keep in mind.

    Parameters
    ----------
    table : pandas.DataFrame
        What `hypotheses` returned.
    reached : pandas.DataFrame, optional
        What it returns for `without_short`, for a column of its own.
    note : str, optional
        What `memorization_note` says of the same networks; stands above the others.

    Returns
    -------
    str
        One row per finding.
    """
    labels = "H" + table["number"].astype(str)
    interval = table["low"].map(_digits) + " to " + table["high"].map(_digits)
    has_interval = np.isfinite(table["high"] - table["low"])
    cells = pd.DataFrame(
        {
            "": (labels + " " + table["part"]).str.strip(),
            "hypothesis": table["statement"],
            "effect": table["effect"].map(_digits),
            "95 % interval (H7: 90 %)": interval.where(has_interval, "none"),
            "replicates": table["n"],
            "memorizing": _shares(table),
            "verdict": [_verdict_words(row) for row in table.to_dict("records")],
            "the paper's": table["paper"],
        }
    )
    if reached is not None:
        both = table.merge(
            reached, on=["number", "part"], how="left", suffixes=("", "_alone")
        )
        cells["only networks that reached the paper's accuracy"] = [
            _alone_words(row) for row in both.to_dict("records")
        ]
    effects = "the effect is the " + table["effect_is"] + "."
    notes = [
        f"- {label}: {note}\n"
        for label, *notes in zip(labels, effects, table["remark"], strict=True)
        for note in notes
        if note
    ]
    if note:
        notes.insert(0, f"- {note}\n")
    return f"{markdown_table(cells)}\n{''.join(dict.fromkeys(notes))}"


def _shares(table: pd.DataFrame) -> pd.Series:
    """Write how many of the networks trained on permuted labels memorize them."""
    of = table["n_memorizing"].map(str) + " of " + table["n_permuted"].map(str)
    return of.where(table["number"].isin(_ABOUT_MEMORIZING), "–")


def _digits(value: float) -> str:
    return number_or_none(value, ".3g")


def _verdict_words(row: Mapping[Any, Any]) -> str:
    """Write the verdict, and where undecided, what such replicates can show."""
    verdict = str(row["verdict"])
    if verdict != UNDECIDED or not row["n"]:
        return verdict
    if np.isfinite(row["smallest_effect"]):
        smallest = f"{row['smallest_effect']:.2g}"
        return f"{verdict}; an effect of {smallest} is found four times in five"
    return f"{verdict}; too few replicates to see any effect"


def _alone_words(row: Mapping[Any, Any]) -> str:
    """Write the finding without networks that stopped short, where it differs."""
    if not row["n_alone"] > 0:
        return "none left"
    if (row["n_alone"], row["effect_alone"]) == (row["n"], row["effect"]):
        return "the same"
    effect = _digits(row["effect_alone"])
    return f"{effect} ({row['n_alone']:.0f}), {row['verdict_alone']}"
