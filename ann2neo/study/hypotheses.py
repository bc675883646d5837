"""The paper's eight hypotheses, tested on trained networks; each can come out for,
against, or undecided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd

from ann2neo.study.claims import (
    AGAINST,
    DIFFERS,
    H1,
    H2,
    H3,
    H4,
    H5,
    H6,
    H6_FROZEN,
    H7,
    H8,
    MARGIN_RATE,
    SUPPORTED,
    UNDECIDED,
    Claim,
    Finding,
    finding,
)
from ann2neo.study.conditions import MEMORIZING
from ann2neo.study.markdown import markdown_table
from ann2neo.study.networks import NETWORKS
from ann2neo.study.paired import PairedEffect, paired_effect
from ann2neo.study.paper_tables import split_tests
from ann2neo.study.published import KEY, doubtful_cells, paper_table
from ann2neo.study.results import CLUSTER_KEY, Results, stopped_short

__all__ = ["findings_table", "hypotheses_markdown", "judge_hypotheses", "without_short"]

_MOST_UNDECIDED = 5


def judge_hypotheses(
    results: Results, dynamics: pd.DataFrame | None = None
) -> list[Finding]:
    """Test the paper's hypotheses.

    Parameters
    ----------
    results : Results
        What `load_results` read. A replicate is a trained network with its partners of
        the same data set, architecture, width and seed; never a unit.
    dynamics : pandas.DataFrame, optional
        What `switches_table` made, for hypothesis 8.

    Returns
    -------
    list of Finding
        One or more per hypothesis.
    """
    train = results.table[results.table["split"] == "train"]
    rates = _by_condition(train, "mean_firing_rate")
    kinds = [name for name in MEMORIZING if name in rates]
    gap = pd.DataFrame(
        {
            name: (rates["generalizing"] - rates[name]).abs()
            for name in kinds
            if "generalizing" in rates
        }
    )
    findings = [
        *_each_kind(H1, rates, kinds, lambda mem, gen: mem - gen),
        *_of_poisson(train),
    ]
    findings += _of_random(rates, kinds)
    variation = _by_condition(train, "cv_firing_rate_percent")
    findings += _each_kind(
        H4,
        variation,
        kinds,
        lambda mem, gen: mem - gen,
        _spread_remark(rates, variation, kinds),
    )
    findings += [_width(gap), *_depth(gap), *_splits(results), _switches(dynamics)]
    return findings


def findings_table(findings: list[Finding]) -> pd.DataFrame:
    """Findings as a table, a row each."""
    return pd.DataFrame(findings)


def without_short(results: Results) -> Results | None:
    """The networks that reached the accuracy they were to be trained to; None where all
    did, or none.
    """
    short = stopped_short(results.table)
    return (
        None
        if short.all() or not short.any()
        else replace(results, table=results.table[~short])
    )


def hypotheses_markdown(
    findings: list[Finding], reached: list[Finding] | None = None
) -> str:
    """Findings as Markdown: a table, then what they measure and what to keep in mind.

    Parameters
    ----------
    findings : list of Finding
        What `judge_hypotheses` found.
    reached : list of Finding, optional
        What it finds `without_short`, for a column of its own.

    Returns
    -------
    str
        A row a finding.
    """
    heads = [
        "",
        "hypothesis",
        "effect",
        "95 % interval (H7: 90 %)",
        "replicates",
        "verdict",
        "the paper's",
    ]
    alone = (
        None
        if reached is None
        else {(found.number, found.part): found for found in reached}
    )
    if alone is not None:
        heads.append("networks of the paper's accuracy only")
    rows = []
    notes: dict[str, None] = {}
    for found in findings:
        name = f"H{found.number}" + f" {found.part}" * bool(found.part)
        interval = (
            "none"
            if not np.isfinite([found.low, found.high]).all()
            else f"{found.low:.3g} to {found.high:.3g}"
        )
        verdict = found.verdict
        if found.verdict == UNDECIDED and found.n:
            power = "too few replicates to see any effect"
            if np.isfinite(found.smallest_effect):
                effect = f"{found.smallest_effect:.2g}"
                power = f"an effect of {effect} is found four times in five"
            verdict += f"; {power}"
        rows.append(
            [
                name,
                found.statement,
                _effect_words(found),
                interval,
                found.n,
                verdict,
                found.paper,
            ]
        )
        if alone is not None:
            rows[-1].append(_alone_words(found, alone.get((found.number, found.part))))
        notes[f"H{found.number}: the effect is the {found.effect_is}."] = None
        if found.remark:
            notes[f"H{found.number}: {found.remark}"] = None
    return f"{markdown_table(heads, rows)}\n" + "".join(f"- {note}\n" for note in notes)


def _effect_words(found: Finding) -> str:
    return "none" if np.isnan(found.effect) else f"{found.effect:.3g}"


def _alone_words(found: Finding, alone: Finding | None) -> str:
    if alone is None or not alone.n:
        return "none left"
    if (alone.n, alone.effect) == (found.n, found.effect):
        return "the same"
    return f"{_effect_words(alone)} ({alone.n}), {alone.verdict}"


def _by_condition(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """A column with one row per data set, architecture, width and seed, and one column
    a condition.
    """
    return rows.pivot_table(index=CLUSTER_KEY, columns="condition", values=column)


def _each_kind(
    claim: Claim,
    table: pd.DataFrame,
    kinds: list[str],
    difference: Callable[[pd.Series, pd.Series], pd.Series],
    remark: str | None = None,
) -> Iterator[Finding]:
    """All kinds of memorizing averaged, so that every generalizing network counts once,
    then each kind.
    """
    if "generalizing" not in table or not kinds:
        yield finding(claim, "", None)
        return
    differences = pd.DataFrame(
        {kind: difference(table[kind], table["generalizing"]) for kind in kinds}
    )
    parts = [finding(claim, kind, _effect(differences[kind]), remark) for kind in kinds]
    whole = finding(claim, "", _effect(differences.mean(axis=1)), remark)
    # An average over kinds must not be taken for what each of them does.
    differ = (
        len(
            {part.verdict for part in parts if np.isfinite([part.low, part.high]).all()}
        )
        > 1
    )
    yield (
        replace(whole, verdict=DIFFERS, smallest_effect=float("nan"))
        if differ
        else whole
    )
    if len(kinds) > 1:
        yield from parts


def _spread_remark(
    rates: pd.DataFrame, variation: pd.DataFrame, kinds: list[str]
) -> str:
    """What the standard deviation of rates does where their coefficient of variation
    grows.
    """
    deviation = rates * variation / 100
    if "generalizing" not in deviation or not kinds:
        return H4.remark
    differences = deviation[kinds].sub(deviation["generalizing"], axis=0).to_numpy()
    n_smaller, n = int((differences < 0).sum()), int(np.isfinite(differences).sum())
    return (
        f"{H4.remark} Their standard deviation is smaller in the memorizing network in"
        f" {n_smaller} of {n} pairs."
    )


def _of_poisson(train: pd.DataFrame) -> Iterator[Finding]:
    """The paper's test: of Poisson counts, by the Fano factor (Eden & Kramer 2010)."""
    shares = _by_condition(train, "fano_rejected_share")
    kinds = [name for name in MEMORIZING if name in shares]
    others = [name for name in ("generalizing", "random") if name in shares]
    if not kinds or not others:
        yield finding(H2, "", None)
        return
    yield finding(
        H2, "", _effect(shares[kinds].mean(axis=1) - shares[others].mean(axis=1))
    )


def _of_random(rates: pd.DataFrame, kinds: list[str]) -> Iterator[Finding]:
    if "random" not in rates:
        yield finding(H3, "", None)
        return
    random = rates["random"]
    yield from _each_kind(
        H3, rates, kinds, lambda mem, gen: (mem - random).abs() - (gen - random).abs()
    )


def _width(gap: pd.DataFrame) -> Finding:
    """One slope per data set, architecture and seed: the mean of the slopes of each
    kind of memorizing.
    """
    slopes = []
    if not gap.empty:
        for _, group in gap.groupby(level=["dataset", "network", "seed"]):
            of_kinds = []
            for kind in group:
                known = group[kind].dropna()
                widths = np.log2(
                    known.index.get_level_values("width").to_numpy(np.float64)
                )
                if len(set(widths)) > 1:
                    of_kinds.append(np.polyfit(widths, known.to_numpy(), 1)[0])
            if of_kinds:
                slopes.append(np.mean(of_kinds))
    return finding(H5, "", _effect(pd.Series(slopes, dtype=float)))


def _depth(gap: pd.DataFrame) -> Iterator[Finding]:
    """In one network, more layers that may memorize; and deeper networks whose earlier
    layers are frozen.
    """
    if {"mem_retrain_all", "mem_retrain_last"} <= set(gap):
        yield finding(
            H6, "all layers", _effect(gap["mem_retrain_all"] - gap["mem_retrain_last"])
        )
    else:
        yield finding(H6, "all layers", None)
    compared = []
    if not gap.empty:
        for network, deeper in pairwise(NETWORKS):
            common = [kind for kind in gap if kind != "mem_retrain_all"]
            parts = [
                gap[common].xs(name, level="network")
                for name in (network, deeper)
                if name in gap.index.get_level_values("network")
            ]
            if len(parts) == 2:
                compared.append((parts[1] - parts[0]).mean(axis=1))
    differences = pd.concat(compared) if compared else pd.Series(dtype=float)
    yield finding(H6_FROZEN, "earlier layers frozen", _effect(differences))


def _splits(results: Results) -> Iterator[Finding]:
    """All conditions averaged, so that networks of one seed count once, judged by the
    worst condition; then each.
    """
    rates = results.table.pivot_table(
        index=CLUSTER_KEY, columns=["split", "condition"], values="mean_firing_rate"
    )
    if not {"train", "test"} <= set(rates.columns.get_level_values("split")):
        yield finding(H7, "", None)
        return
    differences = rates["test"] - rates["train"]
    parts = [
        finding(H7, str(name), _effect(differences[name], level=0.90))
        for name in differences
    ]
    verdicts = {part.verdict for part in parts if np.isfinite(part.low)}
    worst = next(
        (verdict for verdict in (AGAINST, UNDECIDED, SUPPORTED) if verdict in verdicts),
        UNDECIDED,
    )
    effect = _effect(differences.mean(axis=1), level=0.90)
    whole = finding(H7, "", effect, _splits_remark(results, differences))
    seen = (
        effect.seen_effect
        if effect is not None and worst == UNDECIDED
        else float("nan")
    )
    yield replace(whole, verdict=worst, smallest_effect=seen)
    yield from (replace(part, remark=H7.remark) for part in parts)


def _splits_remark(results: Results, differences: pd.DataFrame) -> str:
    """Networks beyond the margin, the paper's own test, and the cells of its table that
    differ.
    """
    size = (
        differences.abs()
        .melt(var_name="condition", value_name="off", ignore_index=False)
        .dropna()
        .reset_index()
    )
    beyond = size[size["off"] > MARGIN_RATE]
    text = (
        f"{len(beyond)} of {len(size)} networks differ by more than {MARGIN_RATE}, the"
        " largest by "
    )
    text += f"{size['off'].max():.3f}"
    if len(beyond):
        kinds = beyond.groupby(["network", "dataset", "condition"]).size()
        listed = [
            f"{network} {dataset} {condition} {count}"
            for (network, dataset, condition), count in kinds.items()
        ]
        text += f" ({'; '.join(listed)})"
    tests = split_tests(results)
    text += (
        ". The paper's own test, Kolmogorov and Smirnov's on the units' rates, tells"
        f" training from test samples in {int(tests['shown_to_differ'].sum())} of"
        f" {len(tests)} networks (Benjamini-Hochberg)."
    )
    doubtful = {
        cell[1:6] for cell in doubtful_cells() if cell.column == "mean_firing_rate"
    }
    paper = paper_table(2)
    paper = paper[[tuple(key) not in doubtful for key in paper[KEY].to_numpy()]]
    of_paper = paper.pivot_table(
        index=[name for name in KEY if name != "split"], columns="split"
    )["mean_firing_rate"]
    off = (of_paper["test"] - of_paper["train"]).abs().round(2)
    return (
        text + " Of the paper's own cells, doubtful ones aside,"
        f" {int((off > MARGIN_RATE).sum())} of {int(off.count())} differ by more than"
        f" {MARGIN_RATE}, the largest by {off.max():.2f}."
    )


def _switches(dynamics: pd.DataFrame | None) -> Finding:
    if dynamics is None or not len(dynamics):
        return finding(H8, "", None, "Run 'ann2neo study dynamics' first.")
    from scipy.stats import binomtest

    # One curve a network counts: those of training and of test samples come from the
    # same weights.
    dynamics = dynamics[dynamics["split"] == "train"]
    n, n_near = len(dynamics), int(dynamics["within_one_epoch"].sum())
    exact = binomtest(n_near, n)
    interval, cells = (
        exact.proportion_ci(0.95),
        dynamics[["dataset", "network", "width"]].drop_duplicates(),
    )
    effect = PairedEffect(
        n_near / n - 0.5, interval.low - 0.5, interval.high - 0.5, exact.pvalue, n
    )
    found = finding(H8, "", effect)
    of_cells = ", ".join(" ".join(map(str, cell)) for cell in cells.to_numpy())
    told = (
        f"The switch is found within an epoch in {n_near} of {n} trainings"
        f" ({of_cells}). {H8.remark}"
    )
    # Of five trainings or fewer even all cannot show more than one half; of more, half
    # the interval says what would.
    seen = found.smallest_effect if n > _MOST_UNDECIDED else float("nan")
    return replace(found, remark=told, smallest_effect=seen)


def _effect(differences: pd.Series, level: float = 0.95) -> PairedEffect | None:
    known = differences.dropna()
    return paired_effect(known.to_numpy(), level) if len(known) else None
