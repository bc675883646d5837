"""The page of results: the paper rerun, every number beside the published one, written
from a folder's rows alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ann2neo._files import complete_text
from ann2neo.errors import FileFormatError, InputValueError, IntegrityError
from ann2neo.study.assumptions import assumptions_markdown
from ann2neo.study.bernoulli_law import law_in_short, law_markdown, our_law, papers_law
from ann2neo.study.claims import AGAINST, DIFFERS, SUPPORTED, Finding
from ann2neo.study.collect import CURVES
from ann2neo.study.comparison import (
    differences_markdown,
    rates_in_short,
    rates_markdown,
)
from ann2neo.study.figures import ResultFigure, figures_of
from ann2neo.study.hypotheses import (
    hypotheses_markdown,
    judge_hypotheses,
    without_short,
)
from ann2neo.study.indicators import indicators
from ann2neo.study.inventory import holdings_markdown, missing_markdown
from ann2neo.study.label_switches import switches_markdown
from ann2neo.study.matched import matched_in_short, matched_markdown
from ann2neo.study.paired import paired_effect
from ann2neo.study.paper_tables import TABLES, table_markdown
from ann2neo.study.plan import missing_parts, plan
from ann2neo.study.results import NETWORK_KEY, Results, load_results, load_switches
from ann2neo.study.separation import (
    accuracy_confound,
    areas_markdown,
    beside_the_rate,
    fano_markdown,
    paired_differences,
    paired_markdown,
    telling,
    telling_markdown,
)

__all__ = ["check_page", "write_page"]

_PAGE, _LAW, _FIGURES = "README.md", "law.csv", "figures"


@dataclass(frozen=True, eq=False)
class _Content:
    """All that the page is written from."""

    results: Results
    switches: pd.DataFrame | None
    curves: pd.DataFrame | None
    areas: pd.DataFrame | None
    areas_reached: pd.DataFrame | None
    findings: list[Finding]
    findings_reached: list[Finding] | None
    matched: dict[str, pd.DataFrame]


def write_page(folder: str | os.PathLike[str]) -> list[Path]:
    """Write the page of a folder of results: ``README.md``, ``law.csv`` and
    ``figures/``.

    Parameters
    ----------
    folder : path
        What ``ann2neo study collect --out`` made. Comparisons at matched accuracy
        (``*_networks.csv`` of ``ann2neo study populations``) are taken in where they
        lie beside it.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InputValueError, FileFormatError
        If it is no folder of results.
    """
    folder = Path(folder)
    content = _read(folder)
    figures = _figures(content)
    (folder / _FIGURES).mkdir(exist_ok=True)
    texts = _texts(content, figures) | {
        _figure_path(figure): figure.svg() for figure in figures
    }
    for path in (folder / _FIGURES).glob("*.svg"):
        if f"{_FIGURES}/{path.name}" not in texts:
            path.unlink()
    for name, text in texts.items():
        complete_text(folder / name, text, overwrite=True)
    return [folder / name for name in texts]


def check_page(folder: str | os.PathLike[str]) -> None:
    """Compute the page anew and compare it with the one that is there.

    Parameters
    ----------
    folder : path
        As in `write_page`; nothing in it is changed.

    Raises
    ------
    IntegrityError
        If a text differs, or a figure was drawn from other numbers. Figures are
        compared by the sum of their numbers, which their files carry, since pixels
        depend on versions of libraries.
    """
    folder = Path(folder)
    content = _read(folder)
    figures = _figures(content)
    differing = [
        name
        for name, text in _texts(content, figures).items()
        if _text_in(folder / name) != text
    ]
    for figure in figures:
        first = _text_in(folder / _figure_path(figure)).partition("\n")[0]
        if first != f"<!-- {figure.remark} -->":
            differing.append(_figure_path(figure))
    known = {_figure_path(figure) for figure in figures}
    there = {f"{_FIGURES}/{path.name}" for path in (folder / _FIGURES).glob("*.svg")}
    differing += sorted(there - known)
    if differing:
        msg = (
            f"{', '.join(differing)} in {folder} do not follow from its rows; run"
            f" 'ann2neo study page {folder}'"
        )
        raise IntegrityError(msg)


def _text_in(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _figure_path(figure: ResultFigure) -> str:
    return f"{_FIGURES}/{figure.name}.svg"


def _read(folder: Path) -> _Content:
    results = load_results(folder)
    switches = load_switches(folder)
    try:
        curves = pd.read_csv(folder / CURVES) if (folder / CURVES).exists() else None
        matched = {
            path.name: pd.read_csv(path)
            for path in sorted(folder.glob("*_networks.csv"))
        }
    except (ValueError, OSError) as error:
        raise FileFormatError(f"a table in {folder} cannot be read: {error}") from error
    reached = without_short(results)
    return _Content(
        results,
        switches,
        curves,
        _areas(results),
        None if reached is None else _areas(reached),
        judge_hypotheses(results, switches),
        None if reached is None else judge_hypotheses(reached, switches),
        matched,
    )


def _areas(results: Results) -> pd.DataFrame | None:
    try:
        return indicators(results)
    except InputValueError:
        return None


def _figures(content: _Content) -> list[ResultFigure]:
    return figures_of(content.results, content.areas, content.curves)


def _texts(content: _Content, figures: list[ResultFigure]) -> dict[str, str]:
    """Text of every file that is none of the figures."""
    law = pd.concat(
        [
            our_law(content.results).assign(source="ours"),
            papers_law().assign(source="paper"),
        ],
        ignore_index=True,
    )
    law = law[["source", *(name for name in law if name != "source")]]
    drawn = {
        figure.name: (
            f"![{figure.caption}]({_figure_path(figure)})\n\n*{figure.caption}*\n"
        )
        for figure in figures
    }
    return {
        _PAGE: _page(content, drawn),
        _LAW: law.to_csv(index=False, float_format="%.6g"),
    }


def _page(content: _Content, drawn: dict[str, str]) -> str:
    results, areas = content.results, content.areas
    need = (
        "Memorizing and generalizing networks are needed; the rows have one kind"
        " only.\n"
    )
    parts = [
        "# The paper, rerun",
        _HEAD,
        "## In short",
        _in_short(content),
        "## The experiment",
        _EXPERIMENT,
        "## What was run",
        holdings_markdown(results, content.switches, content.matched),
        "## What is missing",
        missing_markdown(results, content.switches),
        "## The paper's tables, ours beside theirs",
        "\n".join(table_markdown(results, number) for number in TABLES),
        "### Where we agree, and where not",
        differences_markdown(results),
        _WHY,
        "## Mean firing rates beside table 2",
        rates_markdown(results),
        drawn.get("beside_paper", ""),
        drawn["by_width"],
        "## The law: mean Fano factor = 1 - mean firing rate",
        (
            f"{_LAW_WORDS}\n{law_markdown(results)}\nEvery row of ours and of the"
            " paper's: [`law.csv`](law.csv).\n"
        ),
        drawn["law"],
        "## The paper's tests of assumptions",
        assumptions_markdown(results),
        "## Do memorizing networks fire less than generalizing ones?",
        paired_markdown(results),
        drawn["by_gap"],
        "## What a Fano factor is worth once the rate is known",
        need if areas is None else fano_markdown(results, areas),
        "## Which statistic tells memorizing from generalizing networks",
        need if areas is None else _telling(content, areas),
        drawn.get("areas", ""),
        "### At matched accuracy",
        *(
            [
                f"From [`{name}`]({name})."
                f" {matched_markdown(table, areas, accuracy_confound(results))}"
                for name, table in content.matched.items()
            ]
            or ["`ann2neo study populations` did not run yet.\n"]
        ),
        "## The paper's hypotheses",
        "Judged on recordings of training samples, H7 on both.\n",
        hypotheses_markdown(content.findings, content.findings_reached),
        "## The switch of labels during training",
        switches_markdown(content.switches, content.curves),
        drawn.get("switches", ""),
        "## Files",
        _FILES,
    ]
    return "\n".join(f"{part.rstrip()}\n" for part in parts if part)


def _telling(content: _Content, areas: pd.DataFrame) -> str:
    text = telling_markdown(areas)
    if content.areas_reached is not None:
        text += f"\n{_telling_reached(areas, content.areas_reached)}\n"
    return f"{text}\n{areas_markdown(areas)}"


def _telling_reached(areas: pd.DataFrame, reached: pd.DataFrame) -> str:
    """What remains without networks that stopped short of the accuracy asked for."""
    before, after = (list(telling(found)["statistic"]) for found in (areas, reached))
    over_all = reached[reached["held_out"] == ""]
    gone, new = (
        [name for name in one if name not in other]
        for one, other in ((before, after), (after, before))
    )
    changes = [
        f"{words} {', '.join(names)}"
        for words, names in (("not", gone), ("but also", new))
        if names
    ]
    return (
        f"Without the networks that stopped short of the paper's accuracy {len(after)}"
        f" of {len(over_all)} do{', ' * bool(changes)}{'; '.join(changes)}."
    )


_HEAD = (
    "The paper: S. J. Lehmler, M. Saif-ur-Rehman, T. Glasmachers & I. Iossifidis,"
    ' "Understanding activation patterns in artificial neural networks by exploring'
    ' stochastic processes: Discriminating generalization from memorization",'
    " Neurocomputing (2024) 128473, doi:10.1016/j.neucom.2024.128473.\n\nWritten by"
    " `ann2neo study page data/study` from the rows beside it; every sentence below"
    " whose truth depends on them is computed, and CI computes it anew. Change nothing"
    " here by hand.\n"
)
_EXPERIMENT = (
    "Networks classify images. A unit of the observed layer, the last hidden one"
    " (dense, ReLU, of the width in the tables), spikes where its activation is above"
    " 0; one sample is one time step. MFR is the mean firing rate, spikes a sample,"
    " mean over all units; MFF the mean Fano factor over those that fire.\n\n- MLP: the"
    " observed layer and a softmax. CNN: 32 filters of 3 x 3 before these. DenseNet121:"
    " that of `keras.applications` before these.\n- random: untrained.\n- generalizing:"
    " trained on the true labels.\n- mem_retrain_last (retrain last): the generalizing"
    " network, its last two layers trained on permuted labels.\n- mem_random_last"
    " (random last): an untrained network, its last two layers trained on permuted"
    " labels.\n- mem_retrain_all (retrain all): the generalizing network, all layers"
    " trained on permuted labels; the MLP has no more than two.\n\nTraining is by"
    " stochastic gradient descent, rate 0.1, batches of 256, on 90 % of the training"
    " samples, and stops at the training accuracy of the paper's cell or at a limit of"
    " epochs.\n"
)
_WHY = (
    "Known differences of the two set-ups: our output layer is a softmax, theirs is"
    " said to be ReLU everywhere; our untrained weights are Glorot-uniform, theirs are"
    " not stated; the KS marks of their table 2 did not survive, those here are ours;"
    " the stars of table 5 are the paper's, by a rule it does not state; DenseNet121"
    " starts from ImageNet's weights where these can be downloaded, and every row says"
    " whether it did; networks marked § trained in mixed precision.\n"
)
_LAW_WORDS = (
    "A unit fires at most once a sample. Shown in random order, its counts in windows"
    " of w samples have variance w p (1 - p) and mean w p, whatever the network has"
    " learned; so the Fano factor is 1 - p (times (n - 1)/n where, as in the paper, the"
    " variance of n windows is divided by n), and averaged over the same units 1 minus"
    " their mean rate. Units that never fire count for the mean rate and have no Fano"
    " factor.\n"
)
_FILES = (
    "- `results.csv`: a row per network and split; `help(ann2neo.summarize)` and"
    " `help(ann2neo.summarize_populations)` explain the columns."
    " `mean_dispersion_pvalue`, `mean_ljung_box_pvalue`, `mean_trend_pvalue`:"
    " presentations permuted for all units alike (`help(ann2neo.network_test)`).\n-"
    " `unit_rates.csv`: firing rate (spikes a sample) of every unit.\n- `law.csv`:"
    " every row of ours and of the paper's against the law.\n- `dynamics.csv`,"
    " `dynamics_curves.csv`: switches of labels and training curves (means over tenths"
    " of an epoch), where they were run.\n- `populations_*.csv` and `.md`: networks at"
    " matched accuracy.\n- `*.nwb`: one small recording; the others are made again by"
    " the commands above.\n"
)


def _in_short(content: _Content) -> str:
    results, lines = content.results, []
    n_plan = len(plan())
    n_missing = sum(len(part.cells) for part in missing_parts(results.table))
    others = "the other is" if n_missing == 1 else "the others are"
    missing = f"; {others} listed as missing" * bool(n_missing)
    lines.append(
        f"{n_plan - n_missing} of the plan's {n_plan} networks are here{missing}."
    )
    lines.append(law_in_short(results))
    rates = rates_in_short(results)
    lines += [rates] if rates else []
    lines += _of_pairs(results)
    if content.areas is not None:
        useful, over_all = (
            telling(content.areas),
            content.areas[content.areas["held_out"] == ""],
        )
        few = (
            "; there are too few networks for intervals"
            if over_all["low"].isna().all()
            else ""
        )
        lines.append(
            f"{len(useful)} of {len(over_all)} statistics tell memorizing from"
            f" generalizing networks (AUC, intervals that hold for all at once){few}."
            f" {beside_the_rate(content.areas)} But {accuracy_confound(results)}."
        )
    lines += [
        matched_in_short(table, content.areas) for table in content.matched.values()
    ]
    lines.append(_verdicts(content.findings))
    return "".join(f"- {line}\n" for line in lines)


def _of_pairs(results: Results) -> list[str]:
    """How many generalizing networks fire more than every memorizing partner of theirs,
    on all samples.
    """
    pairs = paired_differences(results)
    if pairs.empty:
        return []
    place = [name for name in NETWORK_KEY if name != "condition"]
    n_below = int(
        pairs.groupby(place)["difference"].agg(lambda found: (found < 0).all()).sum()
    )
    n = pairs.groupby(place).ngroups
    worst = max(
        paired_effect(part.groupby(place)["difference"].mean().to_numpy()).pvalue
        for _, part in pairs.groupby("split")
    )
    line = (
        f"{n_below} of {n} generalizing networks fire more than each of their"
        " memorizing partners, on training and on test samples (signed ranks: p ="
        f" {worst:.2g})."
    )
    return [line]


def _verdicts(findings: list[Finding]) -> str:
    """Hypotheses by how our verdict stands to the paper's; a hypothesis's first part
    stands for it.
    """
    first = {found.number: found for found in reversed(findings)}
    names = (
        "as in the paper",
        "against the paper",
        "not decided",
        "with too few networks to decide",
        "differently for kinds of memorizing",
    )
    groups: dict[str, list[str]] = {name: [] for name in names}
    for number, found in sorted(first.items()):
        confirmed = "confirmed" in found.paper
        if found.verdict in {SUPPORTED, AGAINST}:
            agree = (found.verdict == SUPPORTED) == confirmed
            groups["as in the paper" if agree else "against the paper"].append(
                f"H{number}"
            )
        elif found.verdict == DIFFERS:
            groups[names[4]].append(f"H{number}")
        else:
            groups[names[2] if np.isfinite(found.smallest_effect) else names[3]].append(
                f"H{number}"
            )
    listed = [f"{words} {', '.join(found)}" for words, found in groups.items() if found]
    return (
        f"The eight hypotheses, over the study's cells, come out {'; '.join(listed)}."
    )
