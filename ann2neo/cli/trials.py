"""``ann2neo analyze --trials``: statistics of units over trials."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ann2neo.errors import InputValueError

if TYPE_CHECKING:
    import pandas as pd

    from ann2neo.recording import Recording

__all__ = [
    "By",
    "Cut",
    "Kind",
    "OfTrials",
    "Steps",
    "steps_of",
    "table",
    "text",
    "wanted",
]

OfTrials = Annotated[
    bool,
    typer.Option(
        "--trials", help="Statistics over trials; prints a summary, or a row per unit."
    ),
]
By = Annotated[
    str | None,
    typer.Option(
        help="label or stimulus_id: statistics of trials for each of them.",
        show_default=False,
    ),
]
Kind = Annotated[
    str | None,
    typer.Option(help="Kind of the presentations that are the trials. [trials]"),
]
Steps = Annotated[
    str | None,
    typer.Option(
        help="Steps of a trial in which its spikes are counted, such as 10:60. [all]"
    ),
]
Cut = Annotated[
    bool,
    typer.Option(
        "--cut", help="Cut one segment per trial first, from its start to its end."
    ),
]


def wanted(asked: bool, kind: str | None, steps: str | None, *, cut: bool) -> bool:
    """Return `asked`, or raise if options of trials are given without it."""
    if not asked and (kind is not None or steps is not None or cut):
        raise InputValueError(
            "--kind, --steps and --cut are for statistics of trials; pass --trials, too"
        )
    return asked


def steps_of(text_of_steps: str | None) -> tuple[int, int | None] | None:
    """Return the window of steps that a user names as START:STOP.

    Raises
    ------
    InputValueError
        If it is none.
    """
    if text_of_steps is None:
        return None
    start, colon, stop = text_of_steps.partition(":")
    try:
        if not colon:
            raise ValueError
        return int(start or 0), int(stop) if stop else None
    except ValueError:
        raise InputValueError(
            f"--steps must be START:STOP in whole steps, such as 10:60 or 10:, got"
            f" {text_of_steps!r}"
        ) from None


def table(
    recording: Recording,
    executor: Executor | None,
    progress: bool | None,
    by: str | None,
    options: dict[str, Any],
    is_cut: bool,
) -> pd.DataFrame:
    """Return the statistics of trials of a recording."""
    from ann2neo.analysis.trials.analyze_trials import analyze_trials

    if is_cut:
        recording = recording.cut_trials(options["kind"])
    try:
        return analyze_trials(
            recording, by, progress=progress, executor=executor, **options
        )
    except InputValueError as error:
        if "cut_trials" not in str(error):
            raise
        raise InputValueError(f"{error}; here, pass --cut") from error


def text(rows: pd.DataFrame, alpha: float) -> str:
    """Return a summary: one line per phase, or per phase and label."""
    import pandas as pd

    from ann2neo.analysis.p_values import benjamini_hochberg

    groups = [name for name in ("phase", "label") if name in rows]
    tests = [str(name) for name in rows if str(name).endswith("_pvalue")]
    means = {
        "mean_count": "spikes per trial",
        "fano_over_trials_unbiased": "Fano factor over trials",
        "fano_factor_over_repeats": "Fano factor over repeats",
        "serial_correlation": "serial correlation",
    }
    lines = []
    for key, part in rows.groupby(groups, sort=False):
        line = dict(zip(groups, key, strict=True)) | {"units": len(part)}
        for name, title in (("n_trials", "trials"), ("n_stimuli", "stimuli")):
            if name in part:
                line[title] = part[name].iloc[0]
        for name, title in means.items():
            if name in part:
                line[title] = f"{part[name].mean():.4g}"
        for name in tests:
            adjusted = benjamini_hochberg(part[name])
            tested = int(part[name].notna().sum())
            line[name.removesuffix("_pvalue") + " rejects"] = (
                f"{int((adjusted <= alpha).sum())} of {tested}"
            )
        lines.append(line)
    summary = pd.DataFrame(lines).T
    note = "Means over units."
    if tests:
        note = f"Means over units; rejections after Benjamini-Hochberg at {alpha:g}."
    shown = summary.to_string(header=False) if lines else "no units"
    return f"{shown}\n{note}"
