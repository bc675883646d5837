"""The paper's eight hypotheses, tested on trained networks; each can come out for, against, or undecided."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd

from ann2neo.study.conditions import MEMORIZING
from ann2neo.study.networks import NETWORKS
from ann2neo.study.paired import PairedEffect, paired_effect
from ann2neo.study.paper_tables import split_tests
from ann2neo.study.published import KEY, doubtful_cells, paper_table
from ann2neo.study.results import Results

__all__ = ["AGAINST", "SUPPORTED", "UNDECIDED", "Finding", "findings_table", "hypotheses_markdown", "judge_hypotheses"]

SUPPORTED, AGAINST, UNDECIDED = "supported", "against", "cannot be decided with these cells"

_MARGIN_RATE = 0.02
_MARGIN_SHARE = 0.05
_PLACE = ["dataset", "network", "width", "seed"]


@dataclass(frozen=True)
class Finding:
    """What the cells say about a hypothesis, or a part of it.

    Parameters
    ----------
    number : int
        Of the paper's list, 1 to 8.
    part : str
        Which comparison; empty where there is one only.
    statement : str
        What is claimed.
    effect_is : str
        What `effect` measures; the hypothesis predicts its sign, or that it is nearly 0.
    effect, low, high : float
        Estimate and its interval, 95 % (H7: 90 %); NaN where nothing could be computed.
    n : int
        Replicates: pairs of trained networks, or whatever `effect_is` names.
    pvalue : float
        Two-sided signed-rank p-value of no effect (H8: none).
    verdict : str
        `SUPPORTED`, `AGAINST` or `UNDECIDED`.
    paper : str
        The paper's own verdict.
    smallest_effect : float
        Where undecided: about the effect that so many replicates, scattering as these do, find four times in five.
    remark : str
        What to keep in mind.
    """

    number: int
    part: str
    statement: str
    effect_is: str
    effect: float
    low: float
    high: float
    n: int
    pvalue: float
    verdict: str
    paper: str
    smallest_effect: float
    remark: str


@dataclass(frozen=True)
class _Claim:
    number: int
    statement: str
    effect_is: str
    paper: str
    sign: int
    remark: str = ""
    margin: float | None = None


_H1 = _Claim(
    1,
    "Memorizing networks fire less than generalizing ones.",
    "mean firing rate, memorizing minus generalizing",
    "strongly confirmed",
    -1,
)
_H2 = _Claim(
    2,
    "The Poisson model fits generalizing and random networks better than memorizing ones.",
    "share of units that reject a Poisson process by the test of their Fano factor, memorizing minus the others",
    "strongly rejected",
    +1,
    "In random order the Fano factor is 1 - rate, so that a unit that fires less lies nearer to a Poisson process, "
    "whatever was learned: this repeats hypothesis 1.",
    _MARGIN_SHARE,
)
_H3 = _Claim(
    3,
    "Memorizing networks move further from untrained ones than generalizing networks do.",
    "distance of mean firing rates from the untrained network of the seed, memorizing minus generalizing",
    "strongly confirmed",
    +1,
)
_H4 = _Claim(
    4,
    "Firing rates vary more over the units of memorizing networks.",
    "CV of firing rates in percent, memorizing minus generalizing",
    "weakly rejected",
    +1,
    "The CV of rates grows as their mean falls, whatever their spread.",
)
_H5 = _Claim(
    5,
    "In wider networks memorizing and generalizing are harder to tell apart.",
    "slope on log2 width of the distance of mean firing rates, generalizing to memorizing",
    "weakly confirmed",
    -1,
    "Wider networks were also trained to memorize more, as in the paper (the MLP 30 % of the samples at width 64 and "
    "99 to 100 % at 512), so that width and accuracy are not told apart.",
)
_H6 = _Claim(
    6,
    "Memorizing by more layers brings memorizing and generalizing closer.",
    "distance of mean firing rates, generalizing to memorizing, when all layers are retrained minus the last two",
    "weakly confirmed",
    -1,
)
_H6_FROZEN = _Claim(
    6,
    "A deeper network whose earlier layers are frozen brings memorizing and generalizing closer.",
    "distance of mean firing rates, generalizing to memorizing, in the deeper network minus the less deep one",
    "stays distinct",
    -1,
    "Only networks trained on the same data set, width and seed are compared, so that depth is not data.",
)
_H7 = _Claim(
    7,
    "Firing rates are the same on training and test samples.",
    f"mean firing rate, test minus training; the same means within {_MARGIN_RATE}",
    "strongly confirmed",
    0,
    "Equivalence is shown by an interval inside the margin, not by a test that does not reject.",
    _MARGIN_RATE,
)
_H8 = _Claim(
    8,
    "The switch from true to random labels shows as a change point of the mean firing rate.",
    "share of trainings whose change point lies within one epoch of the switch, above one half",
    "strongly confirmed",
    +1,
    "An exact test needs six trainings of six. That rates are stable otherwise is the other half of the paper's "
    "hypothesis: how far they move stands below.",
)
_MORE_POWER = 1.43
"""(1.96 + 0.84) / 1.96: the effect found four times in five, in halves of a 95 % interval."""


def judge_hypotheses(results: Results, dynamics: pd.DataFrame | None = None) -> list[Finding]:
    """Test the paper's hypotheses.

    Parameters
    ----------
    results : Results
        What `load_results` read. A replicate is a trained network with its partners of the same data set,
        architecture, width and seed; never a unit.
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
    gap = pd.DataFrame({name: (rates["generalizing"] - rates[name]).abs() for name in kinds if "generalizing" in rates})
    findings = [*_each_kind(_H1, rates, kinds, lambda mem, gen: mem - gen), *_of_poisson(train)]
    findings += _of_random(rates, kinds)
    variation = _by_condition(train, "cv_firing_rate_percent")
    findings += _each_kind(_H4, variation, kinds, lambda mem, gen: mem - gen)
    findings += [_width(gap), *_depth(gap), *_splits(results), _switches(dynamics)]
    return findings


def findings_table(findings: list[Finding]) -> pd.DataFrame:
    """Findings as a table, a row each."""
    return pd.DataFrame(findings)


def hypotheses_markdown(findings: list[Finding]) -> str:
    """Findings as Markdown: a table, then what they measure and what to keep in mind."""
    lines = [
        "| | hypothesis | effect | 95 % interval (H7: 90 %) | replicates | verdict | the paper's |",
        "|---|---|---|---|---|---|---|",
    ]
    notes: dict[str, None] = {}
    for found in findings:
        name = f"H{found.number}" + f" {found.part}" * bool(found.part)
        interval = "none" if not np.isfinite([found.low, found.high]).all() else f"{found.low:.3g} to {found.high:.3g}"
        verdict = found.verdict
        if found.verdict == UNDECIDED and found.n:
            seen = f"an effect of {found.smallest_effect:.2g} is found four times in five"
            verdict += f"; {seen if np.isfinite(found.smallest_effect) else 'too few replicates to see any effect'}"
        effect = "none" if np.isnan(found.effect) else f"{found.effect:.3g}"
        lines.append(f"| {name} | {found.statement} | {effect} | {interval} | {found.n} | {verdict} | {found.paper} |")
        notes[f"H{found.number}: the effect is the {found.effect_is}."] = None
        if found.remark:
            notes[f"H{found.number}: {found.remark}"] = None
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"


def _by_condition(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """A column with one row per data set, architecture, width and seed, and one column a condition."""
    return rows.pivot_table(index=_PLACE, columns="condition", values=column)


def _each_kind(
    claim: _Claim, table: pd.DataFrame, kinds: list[str], difference: Callable[[pd.Series, pd.Series], pd.Series]
) -> Iterator[Finding]:
    """All kinds of memorizing averaged, so that every generalizing network counts once, then each kind."""
    if "generalizing" not in table or not kinds:
        yield _finding(claim, "", None)
        return
    differences = pd.DataFrame({kind: difference(table[kind], table["generalizing"]) for kind in kinds})
    yield _finding(claim, "", _effect(differences.mean(axis=1)))
    if len(kinds) > 1:
        for kind in kinds:
            yield _finding(claim, kind, _effect(differences[kind]))


def _of_poisson(train: pd.DataFrame) -> Iterator[Finding]:
    """The paper's test: of Poisson counts, by the Fano factor (Eden & Kramer 2010)."""
    shares = _by_condition(train, "fano_rejected_share")
    kinds = [name for name in MEMORIZING if name in shares]
    others = [name for name in ("generalizing", "random") if name in shares]
    if not kinds or not others:
        yield _finding(_H2, "", None)
        return
    yield _finding(_H2, "", _effect(shares[kinds].mean(axis=1) - shares[others].mean(axis=1)))


def _of_random(rates: pd.DataFrame, kinds: list[str]) -> Iterator[Finding]:
    if "random" not in rates:
        yield _finding(_H3, "", None)
        return
    random = rates["random"]
    yield from _each_kind(_H3, rates, kinds, lambda mem, gen: (mem - random).abs() - (gen - random).abs())


def _width(gap: pd.DataFrame) -> Finding:
    """One slope per data set, architecture and seed: the mean of the slopes of each kind of memorizing."""
    slopes = []
    if not gap.empty:
        for _, group in gap.groupby(level=["dataset", "network", "seed"]):
            of_kinds = []
            for kind in group:
                known = group[kind].dropna()
                widths = np.log2(known.index.get_level_values("width").to_numpy(np.float64))
                if len(set(widths)) > 1:
                    of_kinds.append(np.polyfit(widths, known.to_numpy(), 1)[0])
            if of_kinds:
                slopes.append(np.mean(of_kinds))
    return _finding(_H5, "", _effect(pd.Series(slopes, dtype=float)))


def _depth(gap: pd.DataFrame) -> Iterator[Finding]:
    """In one network, more layers that may memorize; and deeper networks whose earlier layers are frozen."""
    if {"mem_retrain_all", "mem_retrain_last"} <= set(gap):
        yield _finding(_H6, "all layers", _effect(gap["mem_retrain_all"] - gap["mem_retrain_last"]))
    else:
        yield _finding(_H6, "all layers", None)
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
    yield _finding(_H6_FROZEN, "earlier layers frozen", _effect(differences))


def _splits(results: Results) -> Iterator[Finding]:
    """All conditions averaged, so that networks of one seed count once, judged by the worst condition; then each."""
    rates = results.table.pivot_table(index=_PLACE, columns=["split", "condition"], values="mean_firing_rate")
    if not {"train", "test"} <= set(rates.columns.get_level_values("split")):
        yield _finding(_H7, "", None)
        return
    differences = rates["test"] - rates["train"]
    parts = [_finding(_H7, str(name), _effect(differences[name], level=0.90)) for name in differences]
    verdicts = {part.verdict for part in parts if np.isfinite(part.low)}
    worst = next((verdict for verdict in (AGAINST, UNDECIDED, SUPPORTED) if verdict in verdicts), UNDECIDED)
    whole = _finding(_H7, "", _effect(differences.mean(axis=1), level=0.90), _splits_remark(results, differences))
    half = (whole.high - whole.low) / 2 if worst == UNDECIDED else float("nan")
    yield replace(whole, verdict=worst, smallest_effect=_MORE_POWER * half)
    yield from (replace(part, remark=_H7.remark) for part in parts)


def _splits_remark(results: Results, differences: pd.DataFrame) -> str:
    """Networks beyond the margin, the paper's own test, and the cells of its table that differ."""
    size = differences.abs().melt(var_name="condition", value_name="off", ignore_index=False).dropna().reset_index()
    beyond = size[size["off"] > _MARGIN_RATE]
    text = f"{len(beyond)} of {len(size)} networks differ by more than {_MARGIN_RATE}, the largest by "
    text += f"{size['off'].max():.3f}"
    if len(beyond):
        kinds = beyond.groupby(["network", "dataset", "condition"]).size()
        listed = [f"{network} {dataset} {condition} {count}" for (network, dataset, condition), count in kinds.items()]
        text += f" ({'; '.join(listed)})"
    tests = split_tests(results)
    text += (
        f". The paper's own test, Kolmogorov and Smirnov's on the units' rates, tells training from test samples in "
        f"{int(tests['shown_to_differ'].sum())} of {len(tests)} networks (Benjamini-Hochberg)."
    )
    doubtful = {cell[1:6] for cell in doubtful_cells() if cell.column == "mean_firing_rate"}
    paper = paper_table(2)
    paper = paper[[tuple(key) not in doubtful for key in paper[KEY].to_numpy()]]
    of_paper = paper.pivot_table(index=[name for name in KEY if name != "split"], columns="split")["mean_firing_rate"]
    off = (of_paper["test"] - of_paper["train"]).abs().round(2)
    return text + (
        f" Of the paper's own cells, doubtful ones aside, {int((off > _MARGIN_RATE).sum())} of {int(off.count())} "
        f"differ by more than {_MARGIN_RATE}, the largest by {off.max():.2f}."
    )


def _switches(dynamics: pd.DataFrame | None) -> Finding:
    if dynamics is None or not len(dynamics):
        return _finding(_H8, "", None, "Run 'ann2neo study dynamics' first.")
    from scipy.stats import binomtest

    # One curve a network counts: those of training and of test samples come from the same weights.
    dynamics = dynamics[dynamics["split"] == "train"]
    n_near = int(dynamics["within_one_epoch"].sum())
    interval = binomtest(n_near, len(dynamics)).proportion_ci(0.95)
    share = n_near / len(dynamics)
    effect = PairedEffect(share - 0.5, interval.low - 0.5, interval.high - 0.5, float("nan"), len(dynamics))
    return _finding(_H8, "", effect)


def _effect(differences: pd.Series, level: float = 0.95) -> PairedEffect | None:
    known = differences.dropna()
    return paired_effect(known.to_numpy(), level) if len(known) else None


def _finding(claim: _Claim, part: str, effect: PairedEffect | None, remark: str | None = None) -> Finding:
    nan = float("nan")
    found = effect or PairedEffect(nan, nan, nan, nan, 0)
    verdict = _verdict(claim, found)
    return Finding(
        claim.number,
        part,
        claim.statement,
        claim.effect_is,
        found.estimate,
        found.low,
        found.high,
        found.n,
        found.pvalue,
        verdict,
        claim.paper,
        _MORE_POWER * found.half_width if verdict == UNDECIDED and np.isfinite(found.pvalue) else nan,
        claim.remark if remark is None else remark,
    )


def _verdict(claim: _Claim, effect: PairedEffect) -> str:
    """For: the interval on the predicted side of 0, or inside the margin of sameness. Against: wholly elsewhere."""
    low, high, margin = effect.low, effect.high, claim.margin
    if np.isnan(low):
        return UNDECIDED
    inside = margin is not None and -margin < low and high < margin
    if claim.sign == 0:
        outside = margin is not None and (low > margin or high < -margin)
        return SUPPORTED if inside else AGAINST if outside else UNDECIDED
    if inside:
        return AGAINST
    if claim.sign * low > 0 and claim.sign * high > 0:
        return SUPPORTED
    return AGAINST if claim.sign * low < 0 and claim.sign * high < 0 else UNDECIDED
