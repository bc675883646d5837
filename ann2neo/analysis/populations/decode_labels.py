"""Decoding of labels from two recordings of the same stimuli."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ann2neo._checks import names_of, seed_or_new, whole_number
from ann2neo._parallel import checked_executor, map_shared
from ann2neo.analysis._entry import (
    Column,
    FloatArray,
    IntArray,
    Statistic,
    count_column,
    text_column,
)
from ann2neo.analysis._pairs import why_unpaired
from ann2neo.analysis.populations.responses import (
    Responses,
    matched,
    option_of_each,
    responses_of,
)
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.recording import Recording

__all__ = ["COLUMNS", "decode_labels"]

DECODING = Statistic(
    name="decoding",
    columns=(
        Column(
            "accuracy",
            "Share of the presentations whose label a decoder names that was trained on"
            " other stimuli.",
        ),
        Column(
            "chance",
            "Mean accuracy after permutations of the labels among the stimuli.",
        ),
        Column("chance_std", "Standard deviation of the accuracy after permutations."),
        Column(
            "pvalue",
            "p-value of so high an accuracy if labels are permuted among stimuli.",
        ),
    ),
    null="labels can be permuted among the stimuli",
    pvalue="pvalue",
    validity="two labels or more with two stimuli each",
    source="Ojala and Garriga (2010), J. Mach. Learn. Res. 11:1833",
)

COLUMNS: tuple[Column, ...] = (
    text_column("trained_on", "Recording whose responses the decoder learned from."),
    text_column("tested_on", "Recording whose responses it then named."),
    *DECODING.columns,
    count_column("n_permutations", "Permutations of the labels."),
    count_column("n_labels", "Different labels."),
    count_column("n_stimuli", "Stimuli, each in one fold only."),
    count_column("n_presentations", "Presentations that were named."),
    count_column("n_folds", "Folds of the crossvalidation."),
    count_column(
        "n_left_out",
        "Presentations of the recording tested on that are left out: of stimuli that"
        " the other lacks, without a stimulus_id or label, or of a label with one"
        " stimulus.",
    ),
    count_column("seed", "Seed of folds and permutations."),
    text_column("reason", "Why the row has no result; empty where it has one."),
)
"""Columns of the table of `decode_labels`."""


_TASK_ORDERS = 4
"""Permutations that one task of an executor takes."""


class _Side(NamedTuple):
    """Responses of one recording to the stimuli."""

    counts: FloatArray
    stimulus: IntArray


def decode_labels(
    *recordings: Recording,
    names: Sequence[str] = ("first", "second"),
    decoder: Any = None,
    n_folds: int = 5,
    phase: str | tuple[str, str] | None = None,
    kind: str | tuple[str, str] | None = None,
    n_permutations: int = 99,
    seed: int | None = 0,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Decode the labels of stimuli from the responses of one or two recordings.

    A decoder is trained on the responses to some stimuli and names the labels of
    others: no stimulus is in both parts, however often it was shown. Two recordings are
    decoded from the stimuli that they share, in the same folds.

    Parameters
    ----------
    *recordings : Recording
        One, or two whose presentations are matched by ``stimulus_id``; with labels.
    names : sequence of str, default ("first", "second")
        Names of the recordings in the table.
    decoder : scikit-learn classifier, optional
        It is cloned for every fold; if not given, a linear one: ridge classification of
        standardized spike counts.
    n_folds : int, default 5
        Folds of the crossvalidation, stratified by label; fewer where a label has fewer
        stimuli.
    phase, kind : str or tuple of two str, optional
        Phase, and kind of presentations, of both recordings or of each.
    n_permutations : int, default 99
        Permutations of the labels among stimuli, for chance and p-value.
    seed : int or None, default 0
        Of folds and permutations; None draws one.
    executor : concurrent.futures.Executor, optional
        Where decoders are trained; threads of this process if not given. The table is
        the same to the last bit.

    Returns
    -------
    pandas.DataFrame
        One row per recording trained on and recording tested on. A decoder fits other
        recordings of the same units only: elsewhere these rows have a reason.

    Raises
    ------
    InputTypeError, InputValueError
        If an argument is no recording, there are more than two, there are no labels,
        no shared stimuli, or fewer than two labels with two stimuli each; if one
        stimulus has two labels, `decoder` is no classifier, or `executor` no executor.

    Notes
    -----
    Permutations exchange the responses to whole stimuli, with all their repeats, in
    both recordings alike. Labels and folds stay as they are, so that chance is right
    for unequal labels, too.

    References
    ----------
    Ojala, M. and Garriga, G. C. (2010). Permutation tests for studying classifier
    performance. J. Mach. Learn. Res. 11.

    Examples
    --------
    >>> import numpy as np
    >>> from ann2neo import Recording
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(60) % 3
    >>> recording = Recording.from_activations(
    ...     rng.normal(size=(60, 20)) + 2 * np.eye(3, 20)[labels],
    ...     labels=labels,
    ...     stimulus_id=np.arange(60),
    ... )
    >>> table = decode_labels(recording, names=["network"])
    >>> table[["trained_on", "n_stimuli", "accuracy", "chance"]].round(2)
      trained_on  n_stimuli  accuracy  chance
    0    network         60      0.57    0.35
    """
    if not 1 <= len(recordings) <= 2:
        raise InputValueError(
            f"decode_labels takes one recording or two, got {len(recordings)}"
        )
    names = names_of(names, "names")
    # The default has two, also for one recording.
    if not len(recordings) <= len(set(names)) == len(names) <= 2:
        raise InputValueError(
            f"names must be {len(recordings)} different names, one per recording, got"
            f" {names}"
        )
    template = _default_decoder() if decoder is None else decoder
    if not all(hasattr(template, name) for name in ("get_params", "fit", "predict")):
        raise InputTypeError(
            "decoder must be a classifier of scikit-learn, such as"
            f" KNeighborsClassifier(5), got {decoder!r} ({type(decoder).__name__})"
        )
    n_draws = whole_number(n_permutations, "n_permutations", noun="permutations")
    most_folds = whole_number(n_folds, "n_folds", at_least=2, noun="folds")
    drawn_seed = seed_or_new(seed)
    executor = checked_executor(executor)
    phases, kinds = option_of_each(phase, "phase"), option_of_each(kind, "kind")
    sides, totals = [], []
    for side, recording in enumerate(recordings):
        responses, n_unnamed = responses_of(
            recording, "stimulus_id", phases[side], kinds[side], "decode_labels"
        )
        if responses.labels is None:
            raise InputValueError(
                "decode_labels needs labels, and a recording has none; record it with"
                " labels=..., or add a column 'label' to its presentations"
            )
        sides.append(responses)
        totals.append(len(responses.item) + n_unnamed)
    if len(sides) == 2:
        sides = list(matched(sides[0], sides[1], "decode_labels", at_least=4))
    keep, code, label_names = _labelled(sides)
    sides = [responses.keep(keep) for responses in sides]
    smallest = int(np.bincount(code).min())
    folds = _folds(code, min(most_folds, smallest), drawn_seed)
    data = [_Side(one.counts().astype(np.float64), one.item) for one in sides]
    places = [(i, j) for i in range(len(sides)) for j in range(len(sides))]
    reasons = {place: _why_not(*(recordings[i] for i in place)) for place in places}
    possible = [place for place in places if not reasons[place]]

    rng = np.random.default_rng(drawn_seed)
    orders = (rng.permutation(len(code)) for _ in range(n_draws))
    true, *drawn = map_shared(
        _accuracies,
        (data, possible, code, folds, template),
        chain([np.arange(len(code))], orders),
        executor,
        name="permutations of labels",
        per_task=_TASK_ORDERS,
    )
    rows = []
    for i, j in places:
        row = {column.name: column.missing for column in COLUMNS} | {
            "trained_on": names[i],
            "tested_on": names[j],
            "n_labels": len(label_names),
            "n_stimuli": len(code),
            "n_presentations": len(sides[j].item),
            "n_folds": int(folds.max()) + 1,
            "n_left_out": totals[j] - len(sides[j].item),
            "seed": drawn_seed,
            "reason": reasons[i, j],
        }
        if not reasons[i, j]:
            values = np.array([one[i, j] for one in drawn])
            n_beyond = int((values >= true[i, j]).sum())
            row |= {
                "accuracy": true[i, j],
                "chance": float(values.mean()),
                "chance_std": float(values.std()),
                "pvalue": (1 + n_beyond) / (1 + n_draws),
                "n_permutations": n_draws,
            }
        rows.append(row)
    table = pd.DataFrame(rows, columns=[column.name for column in COLUMNS])
    return table.astype({column.name: column.dtype for column in COLUMNS})


def _why_not(trained: Recording, tested: Recording) -> str:
    """Return why a decoder of one recording cannot name the labels of another."""
    if not trained.n_units:
        return "no unit"
    if trained is tested:
        return ""
    return why_unpaired(trained.units, tested.units)


def _labelled(
    sides: Sequence[Responses],
) -> tuple[IntArray, IntArray, Sequence[Any]]:
    """Return the stimuli of labels that have two or more, and their labels by number.

    A stimulus that one recording has no label for takes that of the other.
    """
    labels = pd.Series(sides[0].labels, dtype=object)
    for other in sides[1:]:
        labels = labels.where(labels.notna(), pd.Series(other.labels, dtype=object))
    labels = labels.where(labels != "")
    n_stimuli = labels.map(labels.value_counts())
    keep = np.flatnonzero((n_stimuli >= 2).to_numpy())
    code, names = pd.factorize(labels.iloc[keep])
    if len(names) < 2:
        raise InputValueError(
            "decode_labels needs two labels or more with two stimuli each, got"
            f" {len(names)} among {len(labels)} stimuli; select more presentations"
        )
    return keep, code.astype(np.int64), list(names)


def _folds(code: IntArray, n_folds: int, seed: int) -> IntArray:
    """Return the fold of each stimulus, with all labels in each fold."""
    from sklearn.model_selection import StratifiedKFold

    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed % 2**32)
    folds = np.empty(len(code), np.int64)
    for fold, (_, tested) in enumerate(splitter.split(code, code)):
        folds[tested] = fold
    return folds


def _default_decoder() -> Any:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), RidgeClassifier())


def _accuracies(
    data: Sequence[_Side],
    places: Sequence[tuple[int, int]],
    code: IntArray,
    folds: IntArray,
    template: Any,
    order: IntArray,
) -> dict[tuple[int, int], float]:
    """Return the share of presentations named rightly, trained on one side each.

    The responses to stimulus s stand in the place of stimulus ``order[s]``.
    """
    from sklearn.base import clone

    code, folds = code[order], folds[order]
    n_right = dict.fromkeys(places, 0)
    for fold in range(int(folds.max()) + 1):
        is_tested = folds == fold
        for i in sorted({trained for trained, _ in places}):
            side = data[i]
            rows = ~is_tested[side.stimulus]
            decoder = clone(template).fit(side.counts[rows], code[side.stimulus[rows]])
            for j, other in enumerate(data):
                if (i, j) in n_right:
                    rows = is_tested[other.stimulus]
                    right = decoder.predict(other.counts[rows])
                    n_right[i, j] += int((right == code[other.stimulus[rows]]).sum())
    return {(i, j): count / len(data[j].stimulus) for (i, j), count in n_right.items()}
