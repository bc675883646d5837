"""nearest_patterns: the samples whose patterns differ in the fewest units."""

from __future__ import annotations

import dataclasses
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo._checks import seed_or_new, whole_number
from ann2neo._parallel import checked_executor
from ann2neo.analysis._entry import (
    Column,
    IntArray,
    Statistic,
    columns_of,
    count_column,
)
from ann2neo.analysis._pairs import why_unpaired
from ann2neo.analysis._phases import one_phase
from ann2neo.analysis.patterns._labels import BinLabels, labels_of_bins
from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.raster.hamming import hamming_nearest
from ann2neo.raster.patterns import patterns_of
from ann2neo.recording import Recording, checked_recording
from ann2neo.recording.segments import SegmentedPhase

__all__ = [
    "CLASSIFICATION",
    "CLASSIFIED_COLUMNS",
    "NearestPatterns",
    "nearest_patterns",
    "training_phase_of",
]

CLASSIFICATION = Statistic(
    name="nearest_pattern_classification",
    columns=(
        count_column("n_classified", "Samples that have a label and a prediction."),
        Column("accuracy", "Share of those whose prediction is the label."),
        Column(
            "accuracy_expected",
            "Accuracy expected if the predictions were permuted jointly among the"
            " samples: what the frequencies of labels and predictions alone give.",
        ),
        Column(
            "accuracy_pvalue",
            "p-value of so high an accuracy under such permutations.",
        ),
    ),
    null="predictions and labels are independent",
    validity="labels in both phases",
    source="Cover and Hart (1967), IEEE Trans Inf Theory 13:21",
    pvalue="accuracy_pvalue",
)

CLASSIFIED_COLUMNS: tuple[Column, ...] = (
    count_column("sample", "Time bin of the phase that was classified."),
    Column("label", "Label of the sample.", "", ""),
    Column("prediction", "Label of most of its nearest patterns.", "", ""),
    count_column("n_votes", "Nearest patterns with the label that was predicted."),
    count_column("distance", "Units that differ from the nearest pattern."),
    *columns_of([CLASSIFICATION]),
)
"""Columns of `NearestPatterns.classify` and numbers of `NearestPatterns.score`."""


@dataclasses.dataclass(frozen=True, eq=False)
class NearestPatterns:
    """What `nearest_patterns` returns.

    Parameters
    ----------
    neighbours : ndarray of int64, shape (n_samples, k)
        For each time bin of the phase the bins of the training phase with the nearest
        patterns, nearest first; of equally near ones the first bin first.
    distances : ndarray of int64, shape (n_samples, k)
        Their Hamming distances: units that differ.
    n_units : int
        Units in a pattern.
    labels, training_labels : BinLabels or None
        Labels of the bins of both phases; None where a recording has none.

    Examples
    --------
    >>> from ann2neo.testing import make_recording
    >>> nearest = nearest_patterns(
    ...     make_recording([[1, 1, 0, 0], [1, 1, 1, 0]], labels=[7, 7, 3, 3]), k=1
    ... )
    >>> nearest.neighbours[:, 0]
    array([1, 0, 0, 2])
    >>> nearest.classify()["prediction"].to_list()
    [7, 7, 7, 3]
    """

    neighbours: IntArray
    distances: IntArray
    n_units: int
    labels: BinLabels | None = dataclasses.field(repr=False)
    training_labels: BinLabels | None = dataclasses.field(repr=False)

    def classify(self, k: int | None = None) -> pd.DataFrame:
        """Predict each sample's label by the majority of its nearest patterns.

        Parameters
        ----------
        k : int, optional
            How many of the neighbours vote; all that were found, if not given.

        Returns
        -------
        pandas.DataFrame
            One row per sample: ``sample``, ``label`` (if the phase has labels),
            ``prediction``, ``n_votes`` and ``distance`` to the nearest pattern. Of
            labels with equally many votes, the one of the nearest neighbour is
            predicted. Training bins without a label do not vote; where none votes, the
            prediction is missing (-1, NaN, or "").

        Raises
        ------
        InputTypeError, InputValueError
            If the training recording has no labels, or `k` is out of range.
        """
        k = self._k(k)
        if self.training_labels is None:
            raise InputValueError(
                "the training recording has no labels, and a classification needs them;"
                " record it with labels=..., or give it presentations with a column"
                " 'label'"
            )
        codes = self.training_labels.codes[self.neighbours[:, :k]]
        votes = np.zeros((len(codes), len(self.training_labels.names) + 1), np.int64)
        # A bin without a label has the code -1, the last column, which gets no vote.
        np.add.at(votes, (np.arange(len(codes))[:, np.newaxis], codes), 1)
        votes[:, -1] = 0
        # The votes that each neighbour's label got; argmax is the nearest of equals.
        of_neighbour = np.take_along_axis(votes, codes, axis=1)
        winner = of_neighbour.argmax(axis=1)[:, np.newaxis]
        n_votes = np.take_along_axis(of_neighbour, winner, axis=1)[:, 0]
        best = np.take_along_axis(codes, winner, axis=1)[:, 0]
        best = np.where(n_votes > 0, best, -1)
        columns: dict[str, Any] = {"sample": np.arange(len(codes))}
        if self.labels is not None:
            columns["label"] = self.labels.values(self.labels.codes)
        columns["prediction"] = self.training_labels.values(best)
        columns["n_votes"] = n_votes
        columns["distance"] = self.distances[:, 0]
        return pd.DataFrame(columns)

    def score(
        self,
        k: int | None = None,
        *,
        n_permutations: int = 999,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Compare the predictions of `classify` with the labels.

        Parameters
        ----------
        k : int, optional
            As in `classify`.
        n_permutations : int, default 999
            Joint permutations of the predictions.
        seed : int, optional
            Their seed; one is drawn if not given.

        Returns
        -------
        pandas.DataFrame
            One row: ``n_classified``, the samples with label and prediction;
            ``accuracy`` among them; ``accuracy_expected``, what the frequencies of
            labels and predictions alone give; ``accuracy_pvalue``, (1 + permutations
            at least as accurate) / (1 + n_permutations).

        Raises
        ------
        InputTypeError, InputValueError
            As `classify`; also if the samples have no labels.
        """
        n_permutations = whole_number(n_permutations, "n_permutations")
        rng = np.random.default_rng(seed_or_new(seed))
        if self.labels is None:
            raise InputValueError(
                "the classified recording has no labels to compare with; record it with"
                " labels=..., or use classify, which needs those of the training only"
            )
        table = self.classify(k)
        names = [self.labels.names, self.training_labels.names]  # type: ignore[union-attr]
        kinds = {name.dtype.kind in "OUT" for name in names}
        if len(kinds) > 1:
            raise InputValueError(
                f"labels are of different types, {names[0].dtype} and {names[1].dtype};"
                " give both recordings labels of one type"
            )
        has_both = (self.labels.codes >= 0) & (table["n_votes"] > 0).to_numpy(np.bool_)
        labels = table["label"].to_numpy()[has_both]
        predictions = table["prediction"].to_numpy()[has_both]
        if not len(labels):
            nothing = dict.fromkeys(
                (column.name for column in CLASSIFICATION.columns), float("nan")
            )
            return pd.DataFrame([{**nothing, "n_classified": 0}])
        codes, values = pd.factorize(np.concatenate([labels, predictions]))
        label, prediction = codes[: len(labels)], codes[len(labels) :]
        n_correct = int((label == prediction).sum())
        expected = (
            np.bincount(label, minlength=len(values))
            / len(label)
            @ (np.bincount(prediction, minlength=len(values)) / len(label))
        )
        as_good = sum(
            int((label == rng.permutation(prediction)).sum()) >= n_correct
            for _ in range(n_permutations)
        )
        return pd.DataFrame(
            {
                "n_classified": [len(label)],
                "accuracy": [n_correct / len(label)],
                "accuracy_expected": [float(expected)],
                "accuracy_pvalue": [(1 + as_good) / (1 + n_permutations)],
            }
        )

    def _k(self, k: int | None) -> int:
        found = int(self.neighbours.shape[1])
        if k is None:
            return found
        return whole_number(
            k, "k", at_most=found, remedy="find more with nearest_patterns(k=...)"
        )


def nearest_patterns(
    recording: Recording,
    training: Recording | None = None,
    k: int = 10,
    *,
    phase: str | None = None,
    training_phase: str | None = None,
    kind: str | None = None,
    executor: Executor | None = None,
) -> NearestPatterns:
    """Find the k nearest training patterns of every sample by Hamming distance.

    A pattern is a column of the raster: which units fire for one sample (in one time
    bin, where a sample lasts longer). The search is exact, in blocks of popcounts, on
    all cores.

    Parameters
    ----------
    recording : Recording
        Samples to find neighbours of.
    training : Recording, optional
        Recording of the same units to choose from; `recording` if not given.
    k : int, default 10
        Number of neighbours.
    phase, training_phase : str, optional
        Phase of each recording; the only one if not given. If both are the same one of
        the same recording, no sample is its own neighbour.
    kind : str, optional
        Kind of the presentations whose labels count; the only one, or "trials", if not
        given.
    executor : concurrent.futures.Executor, optional
        Where the search runs, as in `analyze`; in threads of this process if not
        given. The neighbours are the same.

    Returns
    -------
    NearestPatterns
        ``neighbours`` and ``distances``; ``classify()`` predicts labels by majority and
        ``score()`` gives their accuracy.

    Raises
    ------
    InputTypeError, InputValueError
        If an argument is not a Recording, units differ, a phase is unknown or not
        given where there are several, or `k` is not between 1 and the number of
        training samples; if `executor` is no executor.

    References
    ----------
    Cover, T. and Hart, P. (1967). Nearest neighbor pattern classification. IEEE Trans.
    Inf. Theory 13.

    Examples
    --------
    >>> from ann2neo.testing import make_recording
    >>> training = make_recording([[1, 0, 1], [1, 0, 0], [1, 0, 0]], labels=[7, 3, 3])
    >>> nearest = nearest_patterns(
    ...     make_recording([[1, 0], [1, 0], [0, 1]], labels=[7, 3]), training, k=2
    ... )
    >>> nearest.distances
    array([[1, 1],
           [1, 2]])
    >>> nearest.classify(k=1)["prediction"].to_list()
    [7, 3]
    """
    checked_recording(recording, "nearest_patterns")
    own = (
        recording
        if training is None
        else checked_recording(training, "nearest_patterns")
    )
    ours = one_phase(recording, phase, "nearest_patterns")
    theirs = training_phase_of(recording, own, ours, training_phase, "nearest_patterns")
    is_self = own is recording and theirs.phase == ours.phase
    n_training = theirs.n_time_bins - is_self
    k = whole_number(
        k,
        "k",
        at_most=n_training,
        remedy=f"phase {theirs.phase!r} has {n_training} training samples to choose"
        " from",
    )
    neighbours, distances = hamming_nearest(
        phase_patterns(recording, ours),
        phase_patterns(own, theirs),
        k,
        is_self=is_self,
        executor=checked_executor(executor),
    )
    return NearestPatterns(
        neighbours,
        distances,
        recording.n_units,
        labels_of_bins(recording, ours, kind),
        labels_of_bins(own, theirs, kind),
    )


def training_phase_of(
    recording: Recording,
    training: Recording,
    phase: SegmentedPhase,
    training_phase: str | None,
    caller: str,
) -> SegmentedPhase:
    """Return the training phase, after a check that it is of the same units.

    Raises
    ------
    InputValueError
        If the units differ, or there are none.
    """
    unpaired = why_unpaired(recording.units, training.units)
    if unpaired:
        raise InputValueError(
            f"{caller} needs two recordings of the same units, got {unpaired}; select"
            " the units that both have"
        )
    if not recording.n_units:
        raise InputValueError(
            f"{caller} needs at least one unit, got {recording}; record a layer with"
            " units"
        )
    if training_phase is None and training is recording:
        # Where a recording has one phase, its samples are compared with each other.
        training_phase = phase.phase if len(recording.phases) == 1 else None
    return one_phase(training, training_phase, caller)


def phase_patterns(
    recording: Recording, phase: SegmentedPhase
) -> npt.NDArray[np.uint64]:
    """Return the patterns of a phase as rows of bits, (n_time_bins, n_words)."""
    raster: SpikeRaster = phase.raster(recording.raster).raster
    return patterns_of(raster)
