"""out_of_distribution: how far a sample's pattern is from those of its class."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo._parallel import checked_executor
from ann2neo.analysis._entry import (
    Column,
    FloatArray,
    Statistic,
    count_column,
    text_column,
)
from ann2neo.analysis._phases import one_phase
from ann2neo.analysis.patterns._labels import BinLabels, labels_of_bins
from ann2neo.analysis.patterns.nearest_patterns import (
    phase_patterns,
    training_phase_of,
)
from ann2neo.analysis.populations.labels import labels_of
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.raster.hamming import hamming_nearest
from ann2neo.raster.patterns import patterns_of
from ann2neo.recording import Recording, checked_recording
from ann2neo.recording.segments import SegmentedPhase

__all__ = [
    "AUROC_COLUMNS",
    "SCORE_COLUMNS",
    "out_of_distribution_auroc",
    "out_of_distribution_scores",
]

SCORE = Statistic(
    name="out_of_distribution_score",
    columns=(
        count_column(
            "distance",
            "Out-of-distribution score: the smallest Hamming distance, in units that"
            " differ, to the training patterns of the predicted class; -1 where there"
            " are none.",
        ),
        Column("distance_share", "The same, divided by the number of units."),
        Column(
            "mean_distance_share",
            "Mean distance to all of those patterns, divided by the number of units:"
            " the rates of the units for that class alone give it.",
        ),
    ),
    validity="a training pattern of the predicted class",
    source="Olber et al. (2023), CVPR",
)

SCORE_COLUMNS: tuple[Column, ...] = (
    count_column("sample", "Time bin of the phase."),
    Column("prediction", "Class that the network predicted.", "", ""),
    *SCORE.columns,
)
"""Columns of the table of `out_of_distribution_scores`."""

AUROC = Statistic(
    name="out_of_distribution_auroc",
    columns=(
        Column(
            "auroc",
            "Area under the ROC curve by which the smallest distance tells unfamiliar"
            " from familiar samples: 0.5 by chance, 1 if every unfamiliar sample is"
            " further away.",
        ),
        Column(
            "auroc_of_rates",
            "The same by the mean distance, which the rates for each class alone give.",
        ),
        Column(
            "auroc_pvalue",
            "p-value of the Mann-Whitney test of the smallest distances, two-sided.",
        ),
    ),
    null="familiar and unfamiliar samples have the same distribution of distances",
    validity="at least one familiar and one unfamiliar sample with a score",
    source="sklearn.metrics.roc_auc_score; scipy.stats.mannwhitneyu",
    pvalue="auroc_pvalue",
)

AUROC_COLUMNS: tuple[Column, ...] = (
    Column("prediction", "Predicted class; missing in the row of all classes.", "", ""),
    count_column("n_familiar", "Familiar samples with a score."),
    count_column("n_unfamiliar", "Unfamiliar samples with a score."),
    count_column(
        "n_without_score", "Samples whose predicted class has no training pattern."
    ),
    *AUROC.columns,
    text_column("reason", "Why numbers are missing; empty where there are all."),
)
"""Columns of the table of `out_of_distribution_auroc`."""


def out_of_distribution_scores(
    recording: Recording,
    training: Recording,
    *,
    predictions: npt.ArrayLike | None = None,
    phase: str | None = None,
    training_phase: str | None = None,
    kind: str | None = None,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Score how unlike each sample's pattern is to the training patterns of its class.

    Parameters
    ----------
    recording : Recording
        Samples to score.
    training : Recording
        Recording of the same units with labels, usually of the training set.
    predictions : array_like, shape (n_time_bins,), optional
        Class that the network predicts for each time bin of the phase; if not given,
        the column ``prediction`` of the presentations.
    phase, training_phase : str, optional
        Phase of each recording; the only one if not given.
    kind : str, optional
        Kind of the presentations; the only one, or "trials", if not given.
    executor : concurrent.futures.Executor, optional
        As in `nearest_patterns`.

    Returns
    -------
    pandas.DataFrame
        One row per time bin of the phase that has a prediction: ``sample``,
        ``prediction``; ``distance``, the smallest Hamming distance to the training
        patterns with that label, and ``distance_share``, divided by the number of
        units; ``mean_distance_share``, the mean over those patterns, which their rates
        alone give. Where no training pattern has the label, ``distance`` is -1 and the
        shares are NaN.

    Raises
    ------
    InputTypeError, InputValueError
        If an argument is not a Recording, units differ, there are no predictions or no
        labels, a phase is unknown, or `executor` is no executor.

    References
    ----------
    Olber, B. et al. (2023). Detection of out-of-distribution samples using binary
    neuron activation patterns. CVPR.

    Examples
    --------
    >>> from ann2neo.testing import make_recording
    >>> training = make_recording([[1, 1, 0], [1, 0, 0], [0, 0, 1]], labels=[0, 0, 1])
    >>> out_of_distribution_scores(
    ...     make_recording([[1, 0], [0, 1], [0, 1]]), training, predictions=[0, 1]
    ... )[["prediction", "distance", "mean_distance_share"]].round(2)
       prediction  distance  mean_distance_share
    0           0         0                 0.17
    1           1         1                 0.33
    """
    caller = "out_of_distribution_scores"
    for each in (recording, training):
        checked_recording(each, caller)
    ours = one_phase(recording, phase, caller)
    theirs = training_phase_of(recording, training, ours, training_phase, caller)
    classes = _predicted(recording, ours, predictions, kind)
    executor = checked_executor(executor)
    # Raises where there are no labels, with a remedy.
    labels = labels_of(training, theirs, kind)
    codes = labels.code_of_bins()
    _check_kinds(classes.names, labels.names)
    raster = ours.raster(recording.raster).raster
    rows, patterns = patterns_of(raster), phase_patterns(training, theirs)
    spikes = theirs.raster(training.raster).raster.joint_counts(labels.raster())
    predicted = classes.values(classes.codes)
    distance = np.full(len(predicted), -1)
    mean = np.full(len(predicted), np.nan)
    for code, name in enumerate(labels.names):
        samples = np.flatnonzero(predicted == name)
        if not len(samples):
            continue
        of_class = patterns[codes == code]
        nearest = hamming_nearest(rows[samples], of_class, 1, executor=executor)
        distance[samples] = nearest[1][:, 0]
        # A unit of the rate r in the class differs from the share r of its patterns if
        # it is silent, and from 1 - r if it spikes: 1 - 2 r more.
        rates = spikes[:, code] / len(of_class)
        active = raster.take(bins=samples).to_dense()
        mean[samples] = rates.sum() + (1 - 2 * rates) @ active
    table = pd.DataFrame(
        {
            "sample": np.arange(len(predicted)),
            "prediction": predicted,
            "distance": distance,
            "distance_share": np.where(distance < 0, np.nan, distance)
            / recording.n_units,
            "mean_distance_share": mean / recording.n_units,
        }
    )
    return table[classes.codes >= 0].reset_index(drop=True)


def _predicted(
    recording: Recording,
    phase: SegmentedPhase,
    predictions: npt.ArrayLike | None,
    kind: str | None,
) -> BinLabels:
    """Return the predicted class of every bin of a phase."""
    if predictions is not None:
        given = np.asarray(predictions)
        if given.shape != (phase.n_time_bins,):
            raise InputValueError(
                f"predictions must have one class for each of the {phase.n_time_bins}"
                f" time bins of phase {phase.phase!r}, got shape {given.shape}; pass"
                " model.predict(x).argmax(axis=1) in the order of the bins"
            )
        codes, names = pd.factorize(given, sort=True)
        if not len(names):
            raise InputValueError(
                f"predictions name no class, got {given[0]} for every bin of phase"
                f" {phase.phase!r}; pass model.predict(x).argmax(axis=1)"
            )
        return BinLabels(np.asarray(names), codes.astype(np.int64))
    if "prediction" not in recording.presentations:
        raise InputValueError(
            "this recording has no predictions; record the whole network with labels,"
            " or pass predictions="
        )
    classes = labels_of_bins(recording, phase, kind, "prediction")
    if classes is None:
        raise InputValueError(
            f"phase {phase.phase!r} has no presentation with a prediction; pass"
            " predictions="
        )
    return classes


def _check_kinds(classes: npt.NDArray[Any], labels: npt.NDArray[Any]) -> None:
    are_words = [values.dtype.kind in "OUT" for values in (classes, labels)]
    if are_words[0] != are_words[1]:
        raise InputTypeError(
            f"predictions are {classes.dtype} and labels {labels.dtype}; give the"
            " predictions as the labels are"
        )


def out_of_distribution_auroc(
    familiar: pd.DataFrame, unfamiliar: pd.DataFrame
) -> pd.DataFrame:
    """Measure how well the scores tell unfamiliar from familiar samples.

    Parameters
    ----------
    familiar, unfamiliar : pandas.DataFrame
        Tables returned by `out_of_distribution_scores`, of samples like those that the
        network was trained on, and of others.

    Returns
    -------
    pandas.DataFrame
        One row for all samples, then one per predicted class: ``prediction``
        (missing, -1 or "", in the first), ``n_familiar, n_unfamiliar``,
        ``n_without_score``; ``auroc`` of the smallest distance, ``auroc_of_rates`` of
        the mean distance, ``auroc_pvalue`` of the Mann-Whitney test; ``reason``, why
        they are NaN.

    Raises
    ------
    InputTypeError, InputValueError
        If an argument is not such a table.

    References
    ----------
    Olber, B. et al. (2023). Detection of out-of-distribution samples using binary
    neuron activation patterns. CVPR.

    Examples
    --------
    >>> scores = {"prediction": [0, 0], "mean_distance_share": [0.1, 0.2]}
    >>> out_of_distribution_auroc(
    ...     pd.DataFrame({**scores, "distance_share": [0.0, 0.1]}),
    ...     pd.DataFrame({**scores, "distance_share": [0.1, 0.3]}),
    ... )["auroc"].to_list()
    [0.875, 0.875]
    """
    needed = ["prediction", "distance_share", "mean_distance_share"]
    for name, table in (("familiar", familiar), ("unfamiliar", unfamiliar)):
        if not isinstance(table, pd.DataFrame):
            raise InputTypeError(
                f"{name} must be the table that out_of_distribution_scores returns, got"
                f" {type(table).__name__}"
            )
        missing = [column for column in needed if column not in table]
        if missing:
            raise InputValueError(
                f"{name} lacks the column {missing[0]!r}; pass the table that"
                " out_of_distribution_scores returns"
            )
    table = pd.concat(
        [familiar[needed].assign(is_new=False), unfamiliar[needed].assign(is_new=True)],
        ignore_index=True,
    )
    classes = sorted(table["prediction"].unique())
    nothing = "" if table["prediction"].dtype == "str" else -1
    rows = [{"prediction": nothing, **_auroc(table)}]
    rows += [
        {"prediction": name, **_auroc(table[table["prediction"] == name])}
        for name in classes
    ]
    return pd.DataFrame(rows)


def _auroc(table: pd.DataFrame) -> dict[str, Any]:
    from scipy.stats import mannwhitneyu
    from sklearn.metrics import roc_auc_score

    has_score = table["distance_share"].notna()
    scored = table[has_score]
    is_new = scored["is_new"].to_numpy(np.bool_)
    row: dict[str, Any] = {
        "n_familiar": int((~is_new).sum()),
        "n_unfamiliar": int(is_new.sum()),
        "n_without_score": int((~has_score).sum()),
        "auroc": np.nan,
        "auroc_of_rates": np.nan,
        "auroc_pvalue": np.nan,
        "reason": "",
    }
    if not row["n_familiar"] or not row["n_unfamiliar"]:
        absent = "familiar" if not row["n_familiar"] else "unfamiliar"
        return {**row, "reason": f"no {absent} sample with a score"}
    distances: FloatArray = scored["distance_share"].to_numpy(np.float64)
    means = scored["mean_distance_share"].to_numpy(np.float64)
    test = mannwhitneyu(distances[is_new], distances[~is_new])
    return {
        **row,
        "auroc": float(roc_auc_score(is_new, distances)),
        "auroc_of_rates": float(roc_auc_score(is_new, means)),
        "auroc_pvalue": float(test.pvalue),
    }
