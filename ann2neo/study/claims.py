"""The paper's eight hypotheses as claims about an effect, and the verdict that an
estimate of it gives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ann2neo.study.paired import PairedEffect

__all__ = [
    "AGAINST",
    "DIFFERS",
    "H1",
    "H2",
    "H3",
    "H4",
    "H5",
    "H6",
    "H6_FROZEN",
    "H7",
    "H8",
    "MARGIN_RATE",
    "SUPPORTED",
    "UNDECIDED",
    "Claim",
    "Finding",
    "finding",
]

SUPPORTED, AGAINST, UNDECIDED = (
    "supported",
    "against",
    "cannot be decided with these cells",
)
DIFFERS = "kinds of memorizing differ"

MARGIN_RATE = 0.02
_MARGIN_SHARE = 0.05


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
        What `effect` measures; the hypothesis predicts its sign, or that it is nearly
        0.
    effect, low, high : float
        Estimate and its interval, 95 % (H7: 90 %); NaN where nothing could be computed.
    n : int
        Replicates: pairs of trained networks, or whatever `effect_is` names.
    pvalue : float
        Two-sided signed-rank p-value of no effect (H8: none).
    verdict : str
        `SUPPORTED`, `AGAINST`, `UNDECIDED`, or `DIFFERS` where kinds of memorizing come
        out differently.
    paper : str
        The paper's own verdict.
    smallest_effect : float
        Where undecided: about the effect that so many replicates, scattering as these
        do, find four times in five.
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
class Claim:
    """A hypothesis, or a part of it, as a claim about an effect.

    Parameters
    ----------
    number : int
        Of the paper's list, 1 to 8.
    statement : str
        What is claimed.
    effect_is : str
        What the effect measures.
    paper : str
        The paper's own verdict.
    sign : {-1, 0, 1}
        Sign that is claimed of the effect; 0 where it is claimed to be nearly 0.
    remark : str
        What to keep in mind.
    margin : float, optional
        Effects nearer to 0 count as none.
    """

    number: int
    statement: str
    effect_is: str
    paper: str
    sign: int
    remark: str = ""
    margin: float | None = None


H1 = Claim(
    1,
    "Memorizing networks fire less than generalizing ones.",
    "mean firing rate, memorizing minus generalizing",
    "strongly confirmed",
    -1,
)
H2 = Claim(
    2,
    "The Poisson model fits generalizing and random networks better than memorizing"
    " ones.",
    "share of units that reject a Poisson process by the test of their Fano factor,"
    " memorizing minus the others",
    "strongly rejected",
    +1,
    "In random order the Fano factor is 1 - rate, so that a unit that fires less lies"
    " nearer to a Poisson process, whatever was learned: this repeats hypothesis 1.",
    _MARGIN_SHARE,
)
H3 = Claim(
    3,
    "Memorizing networks move further from untrained ones than generalizing"
    " networks do.",
    "distance of mean firing rates from the untrained network of the seed, memorizing"
    " minus generalizing",
    "strongly confirmed",
    +1,
)
H4 = Claim(
    4,
    "Firing rates vary more over the units of memorizing networks.",
    "CV of firing rates in percent, memorizing minus generalizing",
    "weakly rejected",
    +1,
    "The CV of rates grows as their mean falls, whatever their spread.",
)
H5 = Claim(
    5,
    "In wider networks memorizing and generalizing are harder to tell apart.",
    "slope on log2 width of the distance of mean firing rates, generalizing to"
    " memorizing",
    "weakly confirmed",
    -1,
    "Wider networks were also trained to memorize more, as in the paper (the MLP 30 to"
    " 48 % of the samples at width 64 and 99 to 100 % at 512), so that width and"
    " accuracy are not told apart.",
)
H6 = Claim(
    6,
    "Memorizing by more layers brings memorizing and generalizing closer.",
    "distance of mean firing rates, generalizing to memorizing, when all layers are"
    " retrained minus the last two",
    "weakly confirmed",
    -1,
)
H6_FROZEN = Claim(
    6,
    "A deeper network whose earlier layers are frozen brings memorizing and"
    " generalizing closer.",
    "distance of mean firing rates, generalizing to memorizing, in the deeper network"
    " minus the less deep one",
    "stays distinct",
    -1,
    "Only networks trained on the same data set, width and seed are compared, so that"
    " depth is not data.",
)
H7 = Claim(
    7,
    "Firing rates are the same on training and test samples.",
    f"mean firing rate, test minus training; the same means within {MARGIN_RATE}",
    "strongly confirmed",
    0,
    "Equivalence is shown by an interval inside the margin, not by a test that does not"
    " reject.",
    MARGIN_RATE,
)
H8 = Claim(
    8,
    "The switch from true to random labels shows as a change point of the mean firing"
    " rate.",
    "share of trainings whose change point lies within one epoch of the switch, above"
    " one half",
    "strongly confirmed",
    +1,
    "That rates are stable otherwise is the other half of the paper's hypothesis, which"
    " is not judged here: how far they move stands below.",
)


def finding(
    claim: Claim, part: str, effect: PairedEffect | None, remark: str | None = None
) -> Finding:
    """Judge a claim by an estimate of its effect.

    Parameters
    ----------
    claim : Claim
        What is claimed.
    part : str
        Which comparison; empty where there is one only.
    effect : PairedEffect or None
        Estimate and interval; None where there are no replicates.
    remark : str, optional
        Instead of the claim's.

    Returns
    -------
    Finding
        With the verdict.
    """
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
        (
            found.seen_effect
            if verdict == UNDECIDED and np.isfinite(found.pvalue)
            else nan
        ),
        claim.remark if remark is None else remark,
    )


def _verdict(claim: Claim, effect: PairedEffect) -> str:
    """For: the interval on the predicted side of 0, or inside the margin of sameness.
    Against: wholly elsewhere.
    """
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
