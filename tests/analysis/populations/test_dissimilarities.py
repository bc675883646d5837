"""Dissimilarities of all pairs of stimuli agree with SciPy and rsatoolbox."""

import numpy as np
import pandas as pd
import pytest
import quantities as pq
from scipy.spatial.distance import pdist, squareform

from ann2neo import Recording, dissimilarities, to_rsatoolbox
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.raster.joint import distances_to
from ann2neo.testing import make_recording

SCIPY = {
    "hamming": lambda x: pdist(x, "hamming"),
    "euclidean": lambda x: pdist(x, "sqeuclidean") / x.shape[1],
    "correlation": lambda x: pdist(x, "correlation"),
}


def bits_of(n_items, n_units, seed=0):
    """Random bits, shape (n_items, n_units)."""
    rng = np.random.default_rng(seed)
    return rng.random((n_items, n_units)) < rng.uniform(0.1, 0.6, n_units)


def recorded(bits, **columns):
    """A recording of bits, shape (n_presentations, n_units)."""
    return Recording.from_activations(bits - 0.5, **columns)


@pytest.mark.parametrize("measure", SCIPY)
@pytest.mark.parametrize("n_items", [2, 65, 2100])
def test_from_bits_as_scipy(measure, n_items):
    """From the bits, dissimilarities of any number of items are SciPy's, whatever the
    order of the stimuli.
    """
    bits = bits_of(n_items, 70)
    order = np.random.default_rng(1).permutation(n_items)
    result = dissimilarities(recorded(bits[order], stimulus_id=order), measure)
    np.testing.assert_allclose(result.condensed, SCIPY[measure](bits), atol=1e-14)
    assert result.names.tolist() == list(range(n_items))


@pytest.mark.parametrize("measure", ["euclidean", "correlation"])
def test_means_over_repeats_as_rsatoolbox(measure):
    """With repeats, counts are averaged, as rsatoolbox does."""
    from rsatoolbox.rdm import calc_rdm

    ids = np.repeat(np.arange(12), 5)
    recording = recorded(bits_of(60, 40), stimulus_id=ids)
    expected = calc_rdm(
        to_rsatoolbox(recording), method=measure, descriptor="stimulus_id"
    ).dissimilarities[0]
    result = dissimilarities(recording, measure)
    np.testing.assert_allclose(result.condensed, expected, atol=1e-14)
    assert (result.n_presentations == 5).all()


def test_crossvalidated_as_rsatoolbox():
    """Crossvalidated distances are those of rsatoolbox with one fold per repeat."""
    from rsatoolbox.rdm import calc_rdm

    ids, repeat = np.repeat(np.arange(12), 4), np.tile(np.arange(4), 12)
    recording = recorded(bits_of(48, 30), stimulus_id=ids)
    data = to_rsatoolbox(recording)
    data.obs_descriptors["repeat"] = repeat
    expected = calc_rdm(
        data, method="crossnobis", descriptor="stimulus_id", cv_descriptor="repeat"
    ).dissimilarities[0]
    result = dissimilarities(recording, "crossvalidated")
    np.testing.assert_allclose(result.condensed, expected, atol=1e-14)


def test_crossvalidated_of_unequal_repeats_is_unbiased():
    """Items of equal mean responses have a crossvalidated distance of 0 on average,
    also with unequal numbers of repeats, where the Euclidean one is above 0.
    """
    rng = np.random.default_rng(2)
    ids = np.repeat(np.arange(6), [2, 3, 4, 5, 6, 7])
    rates = rng.uniform(0.1, 0.9, 4000)
    bits = rng.random((len(ids), 4000)) < rates
    recording = recorded(bits, stimulus_id=ids)
    unbiased = dissimilarities(recording, "crossvalidated").condensed
    assert abs(unbiased.mean()) < 0.005
    assert dissimilarities(recording, "euclidean").condensed.min() > 0.04


def test_hamming_of_repeats_is_the_mean_over_pairs():
    """With repeats, the Hamming distance is the mean over pairs of presentations."""
    ids = np.repeat(np.arange(4), 3)
    bits = bits_of(12, 25)
    result = dissimilarities(recorded(bits, stimulus_id=ids), "hamming")
    pairs = squareform(pdist(bits, "hamming")).reshape(4, 3, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(result.condensed, pairs[np.triu_indices(4, 1)])


def trials_of(spikes, ids, lengths=None):
    """Trials of several bins, from bits of shape (n_trials, n_steps, n_units)."""
    lengths = np.full(len(spikes), spikes.shape[1]) if lengths is None else lengths
    rows = np.concatenate([trial[:n] for trial, n in zip(spikes, lengths, strict=True)])
    edges = np.concatenate([[0], np.cumsum(lengths)])
    table = pd.DataFrame(
        {"start_bin": edges[:-1], "stop_bin": edges[1:], "stimulus_id": ids}
    )
    return Recording.from_raster(SpikeRaster.from_dense(rows.T), presentations=table)


def test_trials_of_several_bins():
    """Counts of trials give Euclidean and correlation distances; Hamming distances
    compare bin by bin, with and without repeats.
    """
    spikes = bits_of(8, 11 * 20).reshape(8, 11, 20)
    recording = trials_of(spikes, np.arange(8))
    counts = spikes.sum(axis=1)
    for measure in ("euclidean", "correlation"):
        result = dissimilarities(recording, measure).condensed
        np.testing.assert_allclose(result, SCIPY[measure](counts), atol=1e-14)
    result = dissimilarities(recording, "hamming").condensed
    np.testing.assert_allclose(result, pdist(spikes.reshape(8, -1), "hamming"))
    repeated = dissimilarities(trials_of(spikes, [0, 1] * 4), "hamming").condensed
    pairs = squareform(result)[::2, 1::2]
    np.testing.assert_allclose(repeated, pairs.mean())


def test_labels_as_items():
    """By label, presentations of a label are averaged."""
    bits = bits_of(30, 20)
    labels = np.repeat([4, 7, 9], 10)
    result = dissimilarities(recorded(bits, labels=labels), "euclidean", by="label")
    means = bits.reshape(3, 10, 20).mean(axis=1)
    np.testing.assert_allclose(result.condensed, SCIPY["euclidean"](means), atol=1e-14)
    assert result.names.tolist() == result.labels.tolist() == [4, 7, 9]
    assert result.matrix().shape == (3, 3)


def test_silent_responses_have_no_correlation():
    """An item to which no unit responds has no correlation: its pairs are NaN and
    counted; silent units leave Hamming distances of the others as they were.
    """
    bits = bits_of(10, 30)
    bits[3] = False
    bits[:, :5] = False
    result = dissimilarities(recorded(bits, stimulus_id=np.arange(10)))
    assert result.n_undefined == 9
    assert np.isnan(result.matrix()[3, 4])
    means = recorded(np.repeat(bits, 2, axis=0), stimulus_id=np.repeat(range(10), 2))
    assert dissimilarities(means).n_undefined == 9


def test_presentations_without_a_name_are_counted():
    """Presentations with -1 or "" as an id are left out and counted."""
    bits = bits_of(5, 9)
    result = dissimilarities(recorded(bits, stimulus_id=[3, -1, 2, 1, -1]))
    assert (result.n_items, result.n_left_out) == (3, 2)
    result = dissimilarities(recorded(bits, stimulus_id=["a", "", "c", "b", "d"]))
    assert (result.n_items, result.n_left_out) == (4, 1)


def test_distances_with_and_without_numkong():
    """The bits that differ are counted alike with NumKong and with NumPy."""
    rng = np.random.default_rng(0)
    rows, block = (rng.integers(0, 2**63, (n, 3)).astype(np.uint64) for n in (7, 5))
    expected = [[int(np.bitwise_count(a ^ b).sum()) for b in block] for a in rows]
    for use_numkong in (True, False):
        assert distances_to(block, use_numkong=use_numkong)(rows).tolist() == expected


MISTAKES = [
    ({"by": "stimulus_id"}, {}, "no column 'stimulus_id'"),
    ({"stimulus_id": [1, 1, 1, 1]}, {}, "at least two different stimulus_id, got 1"),
    ({"stimulus_id": [-1] * 4}, {}, "has 4 of the kind 'trials', all without one"),
    ({"stimulus_id": range(4)}, {"measure": "cosine"}, "measure must be one of"),
    ({"stimulus_id": range(4)}, {"by": "row"}, "by must be one of stimulus_id, label"),
    ({"stimulus_id": range(4)}, {"phase": "test"}, "unknown phase 'test'"),
    ({"stimulus_id": range(4)}, {"kind": "cues"}, "kind 'cues'"),
    (
        {"stimulus_id": range(4)},
        {"measure": "crossvalidated"},
        "4 of 4 items were shown once",
    ),
    (
        {"stimulus_id": [0, 0, 1, 1], "labels": [5, 6, 7, 7]},
        {},
        "stimulus 0 of phase 'recording' has the labels 5 and 6",
    ),
]


@pytest.mark.parametrize(("columns", "options", "message"), MISTAKES)
def test_mistakes(columns, options, message):
    """A wrong column, option or recording is an error that says what to do."""
    columns = {key: value for key, value in columns.items() if key != "by"}
    columns = {key: list(value) for key, value in columns.items()}
    with pytest.raises(InputValueError, match=message):
        dissimilarities(recorded(bits_of(4, 6), **columns), **options)


def test_no_recording_trials_of_unlike_lengths_and_arrays_too_large():
    """What is no recording is refused, and so are Hamming distances of trials of unlike
    lengths, and more pairs than fit into memory.
    """
    with pytest.raises(InputTypeError, match="needs a Recording, got list"):
        dissimilarities([[0, 1]])
    spikes = bits_of(3, 4 * 5).reshape(3, 4, 5)
    ragged = trials_of(spikes, range(3), lengths=[4, 2, 3])
    with pytest.raises(InputValueError, match="these last 2 to 4 bins; cut windows"):
        dissimilarities(ragged, "hamming")
    assert np.isfinite(dissimilarities(ragged, "euclidean").condensed).all()
    n = 500_000
    many = make_recording(n_units=1, n_time_bins=n, layers=["a"])
    with pytest.raises(InputValueError, match=r"500000 items take 1,000.0 GB, more"):
        dissimilarities(many, "hamming")


def test_repeats_of_a_session_in_seconds():
    """Presentations of a session that is given in seconds are counted in their bins."""
    recording = Recording.from_spike_times(
        [[0.011, 0.052], [0.031]], 10 * pq.ms, t_stop=0.06
    ).with_presentations(
        pd.DataFrame(
            {
                "start_time": [0.0, 0.02, 0.04],
                "stop_time": [0.02, 0.04, 0.06],
                "stimulus_id": ["a", "b", "c"],
            }
        )
    )
    result = dissimilarities(recording, "euclidean")
    assert result.condensed.tolist() == [1.0, 0.0, 1.0]
