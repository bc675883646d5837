"""Surrogates of recordings of several segments: no spike crosses a border."""

import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import quantities as pq
from cut_sessions import session, side_by_side
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from ann2neo import InputValueError, Recording, SpikeRaster
from ann2neo.analysis._phases import one_phase
from ann2neo.analysis.populations.labels import labels_of
from ann2neo.analysis.surrogates.elephant import ELEPHANT_METHODS
from ann2neo.analysis.surrogates.surrogate_test import (
    SurrogateWarning,
    surrogate_test,
    window_draws,
)
from ann2neo.analysis.surrogates.surrogates import METHODS, surrogates
from ann2neo.analysis.surrogates.within_label import exchangeable
from ann2neo.analysis.table_of_statistics import column_values
from ann2neo.analysis.units.counts import Counts
from ann2neo.raster import SegmentedRaster
from ann2neo.testing import make_recording

ON_GRID = ("bin_permutation", "circular_shift", "isi_shuffle", "trial_shifting")


def quiet(*arguments, **keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SurrogateWarning)
        return surrogate_test(*arguments, **keywords)


def first(recording, method="bin_permutation", seed=0, **options):
    return next(surrogates(recording, method, n_surrogates=1, seed=seed, **options))


def rows_of(recording, start, stop):
    return recording.raster.to_dense()[:, start:stop]


@pytest.mark.parametrize("method", METHODS)
def test_segments_keep_their_spikes(method):
    """No spike leaves its segment, bins in no segment stay, and so do the tables; what
    Elephant's methods lose on the grid is counted.
    """
    rng = np.random.default_rng(1)
    bits = rng.random((4, 900)) < 0.2
    starts, stops = np.array([50, 300, 640]), np.array([290, 545, 880])
    labels = [0, 0, 0] if method == "within_label" else None
    recording = session(bits, starts, stops, labels=labels)
    drawn = first(recording, method)
    pd.testing.assert_frame_equal(drawn.segments, recording.segments)
    pd.testing.assert_frame_equal(drawn.presentations, recording.presentations)
    after = drawn.raster.to_dense()
    assert (after != bits).any()
    outside = np.ones(900, bool)
    kept = 0
    for start, stop in zip(starts, stops, strict=True):
        outside[start:stop] = False
        before, now = bits[:, start:stop].sum(axis=1), after[:, start:stop].sum(axis=1)
        kept += now.sum()
        if method in ON_GRID:
            np.testing.assert_array_equal(before, now)
        elif method != "within_label":
            assert (now <= before).all()
    np.testing.assert_array_equal(after[:, outside], bits[:, outside])
    lost = float(drawn.provenance["surrogate_share_lost"])
    assert kept / bits[:, ~outside].sum() == pytest.approx(1 - lost, abs=1e-5)


def test_segments_of_phases_that_alternate_come_back_in_their_places():
    """Where segments of two phases alternate, each keeps its own spikes."""
    rng = np.random.default_rng(3)
    bits = rng.random((3, 240)) < np.repeat([0.1, 0.9] * 3, 40)
    edges = np.arange(0, 240, 40)
    recording = session(bits, edges, edges + 35, phases=["rest", "task"] * 3)
    drawn = first(recording, "isi_shuffle")
    before, after = (r.raster.to_dense().reshape(3, 6, 40) for r in (recording, drawn))
    np.testing.assert_array_equal(before.sum(axis=2), after.sum(axis=2))
    np.testing.assert_array_equal(before[:, :, 35:], after[:, :, 35:])
    alone = first(recording.select(phase="rest"), "isi_shuffle")
    np.testing.assert_array_equal(
        alone.raster.to_dense(), after[:, ::2, :35].reshape(3, -1)
    )


@pytest.mark.parametrize("method", ["bin_permutation", "circular_shift"])
def test_joint_surrogates_move_all_units_of_a_segment_alike(method):
    """Jointly, the columns of each segment are the same ones in another order."""
    bits = np.random.default_rng(2).random((5, 300)) < 0.4
    recording = side_by_side(bits, [100, 80, 120])
    drawn = first(recording, method, joint=True)
    assert not drawn.raster.equals(recording.raster)
    for start, stop in ((0, 100), (100, 180), (180, 300)):
        before, after = (rows_of(r, start, stop).T for r in (recording, drawn))
        assert sorted(map(tuple, before)) == sorted(map(tuple, after))


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 40), min_size=2, max_size=6),
    rate=st.floats(0.0, 1.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_each_segment_is_shifted_and_shuffled_by_itself(lengths, rate, seed):
    """Whatever the segments, shifted ones are rotations, and shuffled ones have their
    own intervals, the first counted from their start.
    """
    bits = np.random.default_rng(seed).random((3, sum(lengths))) < rate
    recording = side_by_side(bits, lengths)
    shifted, shuffled = (
        first(recording, method, seed) for method in ("circular_shift", "isi_shuffle")
    )
    edges = np.cumsum([0, *lengths])
    for start, stop in pairwise(edges):
        before = bits[:, start:stop]
        for unit, row in enumerate(rows_of(shifted, start, stop)):
            rotations = [np.roll(before[unit], k) for k in range(stop - start)]
            assert any(np.array_equal(row, rotation) for rotation in rotations)
        for unit, row in enumerate(rows_of(shuffled, start, stop)):
            old, new = (
                np.sort(np.diff(np.flatnonzero(x), prepend=-1))
                for x in (before[unit], row)
            )
            np.testing.assert_array_equal(old, new)


def test_trials_are_shifted_by_at_most_the_dither():
    """Each trial of a unit has an offset of its own of up to `dither`, around its ends;
    without one, trial shifting is a circular shift.
    """
    bits = np.zeros((3, 4000), bool)
    bits[:, 10::20] = True
    recording = side_by_side(bits, [20] * 200)
    drawn = first(recording, "trial_shifting", dither=4 * pq.ms)
    offsets = drawn.raster.to_dense().reshape(3, 200, 20).argmax(axis=2) - 10
    assert set(offsets.ravel()) == set(range(-4, 5))
    assert np.abs(np.corrcoef(offsets)[np.triu_indices(3, 1)]).max() < 0.3
    assert first(recording, "trial_shifting").raster.equals(
        first(recording, "circular_shift").raster
    )
    around = first(recording, "trial_shifting", dither=1 * pq.s)
    assert (around.raster.to_dense().reshape(3, 200, 20).sum(axis=2) == 1).all()


@pytest.mark.parametrize(
    ("method", "dither"),
    [
        ("dither_spikes", 0.9),
        ("dither_spike_train", 0.4),
        ("isi_dithering", 0.5),
        ("trial_shifting", 0.5),
        ("jitter_spikes", 1.0),
        ("bin_shuffling", 1.4),
    ],
)
def test_a_dither_that_moves_nothing_is_refused(method, dither):
    """A dither that leaves spikes in their time bins is an error with the least one."""
    recording = make_recording()
    with pytest.raises(InputValueError, match=r"dither must be at least 0.00\d s"):
        surrogates(recording, method, dither=dither * pq.ms)
    slow = make_recording(sampling_period=20 * pq.ms)
    if method != "trial_shifting":
        with pytest.raises(InputValueError, match=r"0.015 s, which leaves spikes in"):
            surrogates(slow, method)


@pytest.mark.parametrize("method", ELEPHANT_METHODS)
def test_elephants_methods_bear_short_and_empty_segments(method):
    """Segments without a spike, with one, and shorter than the dither are no error, and
    spikes stay in them.
    """
    bits = np.zeros((3, 60), bool)
    bits[0, 3], bits[1, [5, 30, 31, 59]], bits[2] = True, True, True
    recording = side_by_side(bits, [4, 16, 12, 28])
    drawn = first(recording, method)
    edges = [0, 4, 20, 32]
    before, after = (
        np.add.reduceat(r.raster.to_dense().astype(int), edges, axis=1)
        for r in (recording, drawn)
    )
    assert (after <= before).all()


def test_segments_of_one_bin_are_refused():
    """Inside segments of one bin nothing moves, and the message names a way out."""
    recording = side_by_side(np.ones((2, 6), bool), [1] * 6, labels=[0] * 6)
    with pytest.raises(InputValueError, match=r"one bin long.*use within_label"):
        surrogates(recording, "circular_shift")
    assert first(recording, "within_label").n_units == 2


# -- presentations of one label
# --------------------------------------------------------------------------------------


def trials_of_length(lengths, labels, seed=0, rate=0.03):
    """Six units whose gain varies from trial to trial, alike for all of them."""
    rng = np.random.default_rng(seed)
    gain = np.exp(0.5 * rng.normal(size=len(lengths)) - 0.125)
    bits = rng.random((6, sum(lengths))) < np.repeat(rate * gain, lengths)
    return side_by_side(bits, lengths, labels=labels)


def residual_correlation(counts, labels):
    """Mean correlation of counts, (n_units, n_trials), beyond their labels' means."""
    names = np.unique(labels)
    means = np.stack([counts[:, labels == name].mean(axis=1) for name in names], 1)
    residuals = counts - means[:, np.searchsorted(names, labels)]
    return np.corrcoef(residuals)[np.triu_indices(len(counts), 1)].mean()


@pytest.mark.parametrize("jitter", [0, 5, 20])
def test_trials_that_differ_in_length_are_exchanged_all_the_same(jitter):
    """Trials of 500 bins and a few more or less lose what units share from trial to
    trial, and the share of bins exchanged is in the provenance.
    """
    rng = np.random.default_rng(0)
    lengths = 500 + rng.integers(-jitter, jitter + 1, 80)
    labels = np.arange(80) % 4
    recording = trials_of_length(lengths, labels)

    def noise(parts):
        counts = np.array([part.spike_counts() for part in parts], float).T
        return residual_correlation(counts, labels)

    table = surrogate_test(
        recording, noise, method="within_label", n_surrogates=39, seed=0
    )
    assert table["observed"][0] > 0.6
    assert abs(table["surrogate_mean"][0]) < 0.06
    assert table["pvalue"][0] == pytest.approx(2 / 40)
    share = float(
        first(recording, "within_label").provenance["surrogate_share_exchanged"]
    )
    assert 0.9 <= share <= 1.0
    assert (share == 1) == (jitter == 0)


def most_that_can_be_exchanged(lengths, codes):
    """Bins in pairs and triples of neighbours, sorted by length, of one label."""
    total = 0
    for code in np.unique(codes):
        of_label = np.sort(lengths[codes == code])
        most = [0, 0]
        for stop in range(2, len(of_label) + 1):
            pair = most[stop - 2] + 2 * of_label[stop - 2]
            triple = 0
            if stop > 2:
                triple = most[stop - 3] + 3 * of_label[stop - 3]
            most.append(max(most[-1], pair, triple))
        total += most[-1]
    return total


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=2, max_size=40),
    n_labels=st.integers(1, 3),
)
def test_groups_hold_one_label_and_enough_of_its_bins(lengths, n_labels):
    """Groups are disjoint, of one label, as long as their shortest presentation, and
    hold 90 % of the bins, or else an error says how much can be had.
    """
    codes = np.arange(len(lengths)) % n_labels
    recording = side_by_side(np.zeros((1, sum(lengths)), bool), lengths, labels=codes)
    labels = labels_of(recording, one_phase(recording, None, "test"))
    if most_that_can_be_exchanged(np.array(lengths), codes) < 0.9 * sum(lengths):
        with pytest.raises(InputValueError, match=r"presented twice|needs 90%"):
            exchangeable(labels, "session")
        return
    groups, n_bins = exchangeable(labels, "session")
    starts = np.cumsum([0, *lengths])[:-1]
    bins = np.concatenate([group.ravel() for group in groups])
    assert len(np.unique(bins)) == len(bins) >= 0.9 * n_bins
    assert n_bins == sum(lengths)
    for group in groups:
        members = np.searchsorted(starts, group[:, 0])
        np.testing.assert_array_equal(starts[members], group[:, 0])
        assert len(set(codes[members])) == 1
        assert group.shape[1] == min(np.array(lengths)[members])


def test_too_unlike_trials_are_refused():
    """Where trials of a label differ too much to exchange 90 % of the bins, the message
    says how much can be exchanged and what to do.
    """
    recording = trials_of_length([10, 20, 40, 80, 160, 320], [0] * 6)
    with pytest.raises(InputValueError, match=r"exchange 67% .*\.cut_trials\("):
        surrogates(recording, "within_label")


def test_the_kind_of_presentations_exchanged_can_be_chosen():
    """Cues that overlap trials are exchanged when asked for, and a kind that does not
    exist is refused.
    """
    bits = np.random.default_rng(0).random((2, 200)) < 0.5
    table = pd.DataFrame(
        {
            "start_bin": [0, 0, 50, 50, 100, 100, 150, 150],
            "stop_bin": [50, 10, 100, 60, 150, 110, 200, 160],
            "label": ["a", "on", "b", "on", "a", "on", "b", "on"],
            "kind": ["trials", "cues"] * 4,
        }
    )
    recording = Recording.from_raster(SpikeRaster.from_dense(bits), presentations=table)
    drawn = first(recording, "within_label", kind="cues").raster.to_dense()
    late = np.arange(200) % 50 >= 10
    np.testing.assert_array_equal(drawn[:, late], bits[:, late])
    assert (drawn != bits).any()
    with pytest.raises(InputValueError, match="no presentations of the kind 'rewards'"):
        surrogates(recording, "within_label", kind="rewards")
    with pytest.raises(InputValueError, match="kind applies to within_label"):
        surrogates(recording, "isi_shuffle", kind="cues")


# -- steps of trials
# --------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=2, max_size=20),
    n_labels=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_steps_are_permuted_among_the_trials_of_a_label(lengths, n_labels, seed):
    """Every unit keeps its spikes at each step of each label, among the trials that
    reach it, and so its PSTH.
    """
    rng = np.random.default_rng(seed)
    bits = rng.random((3, sum(lengths))) < 0.5
    labels = np.arange(len(lengths)) % n_labels
    recording = side_by_side(bits, lengths, labels=labels)
    if np.bincount(labels).max() < 2:
        with pytest.raises(InputValueError, match=r"a label twice.*use trial_shifting"):
            surrogates(recording, "step_permutation")
        return
    after = first(recording, "step_permutation").raster.to_dense()
    step = np.concatenate([np.arange(length) for length in lengths])
    label = np.repeat(labels, lengths)
    for s in range(max(lengths)):
        for name in range(n_labels):
            here = (step == s) & (label == name)
            np.testing.assert_array_equal(
                bits[:, here].sum(axis=1), after[:, here].sum(axis=1)
            )


def test_step_permutation_breaks_what_a_trial_remembers():
    """Trials whose rate differs, and units that share it, lose both; the PSTH stays."""
    rng = np.random.default_rng(0)
    rates = np.clip(rng.normal(0.4, 0.2, 200), 0, 1)[:, None] * np.linspace(0.5, 1, 30)
    bits = rng.random((4, 200, 30)) < rates
    recording = side_by_side(bits.reshape(4, -1), [30] * 200, labels=[0] * 200)
    after = first(recording, "step_permutation").raster.to_dense().reshape(4, 200, 30)
    np.testing.assert_array_equal(bits.sum(axis=1), after.sum(axis=1))
    before, now = (np.corrcoef(x.sum(axis=2))[0, 1] for x in (bits, after))
    assert before > 0.5
    assert abs(now) < 0.25
    assert after.sum(axis=2).var() < 0.5 * bits.sum(axis=2).var()


def test_step_permutation_needs_trials():
    """Segments that do not hold one presentation each are refused with the way to cut
    them.
    """
    long = side_by_side(np.ones((2, 40), bool), [20, 20])
    for recording in (long, make_recording(labels=2)):
        with pytest.raises(InputValueError, match=r"one presentation.*cut_trials\("):
            surrogates(recording, "step_permutation")


# -- few spikes
# --------------------------------------------------------------------------------------


def sparse_session(n_segments, seed=0):
    """Four units of few spikes in more bins than are treated bin by bin."""
    lengths = np.full(n_segments, 70_000 // n_segments)
    rates = np.array([[0.0], [0.001], [0.004], [0.02]])
    bits = np.random.default_rng(seed).random((4, lengths.sum())) < rates
    return side_by_side(bits, lengths), lengths


@pytest.mark.parametrize("n_segments", [1, 2, 70])
def test_few_spikes_are_placed_uniformly(n_segments):
    """Of rare spikes, every bin of a segment is as likely as any other, pairs of
    spikes included, and each segment keeps its number.
    """
    recording, lengths = sparse_session(n_segments)
    before = recording.raster.to_dense().reshape(4, n_segments, -1).sum(axis=2)
    places, gaps = [], []
    for drawn in surrogates(recording, n_surrogates=40, seed=1):
        dense = drawn.raster.to_dense()
        after = dense.reshape(4, n_segments, -1)
        np.testing.assert_array_equal(after.sum(axis=2), before)
        bins = np.flatnonzero(dense[3])
        places.append(bins % lengths[0])
        gaps.append(np.diff(bins))
    rng = np.random.default_rng(2)
    expected, expected_gaps = [], []
    for _ in range(40):
        bins = np.concatenate(
            [
                np.sort(rng.permutation(length)[:count]) + start
                for count, length, start in zip(
                    before[3], lengths, np.cumsum(lengths) - lengths, strict=True
                )
            ]
        )
        expected.append(bins % lengths[0])
        expected_gaps.append(np.diff(bins))
    for ours, theirs in ((places, expected), (gaps, expected_gaps)):
        assert ks_2samp(np.concatenate(ours), np.concatenate(theirs)).pvalue > 1e-3


def test_trials_of_few_spikes_are_exchanged_whole():
    """Of rare spikes, too, every trial goes to a random one of its label, unit by unit,
    over the common length, and all else stays.
    """
    rng = np.random.default_rng(5)
    lengths = 700 + rng.integers(-20, 21, 100)
    labels = np.arange(100) % 3
    bits = rng.random((2, lengths.sum())) < 0.004
    recording = side_by_side(bits, lengths, labels=labels)
    starts = np.cumsum(lengths) - lengths
    common = {name: lengths[labels == name].min() for name in range(3)}
    sources = []
    for drawn in surrogates(recording, "within_label", n_surrogates=30, seed=0):
        after = drawn.raster.to_dense()
        for name in range(3):
            bins = starts[labels == name][:, None] + np.arange(common[name])
            for unit in range(2):
                old, new = bits[unit, bins], after[unit, bins]
                match = (old[None] == new[:, None]).all(axis=2)
                spiking = new.any(axis=1)
                assert match.any(axis=1).all()
                sources.append(match[spiking].argmax(axis=1) / len(bins))
                assert sorted(map(bytes, old)) == sorted(map(bytes, new))
        for start, length, name in zip(starts, lengths, labels, strict=True):
            rest = slice(start + common[name], start + length)
            np.testing.assert_array_equal(after[:, rest], bits[:, rest])
    assert np.concatenate(sources).mean() == pytest.approx(0.49, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("n_segments", [1, 70])
@pytest.mark.parametrize(
    "column", ["fano_factor", pytest.param("dispersion", marks=pytest.mark.slow)]
)
def test_window_counts_of_few_spikes_have_the_distribution_of_placed_ones(
    n_segments, column
):
    """Values drawn without trains, spike by spike, are distributed as those of trains
    whose bins are permuted inside segments.
    """
    recording, lengths = sparse_session(n_segments)
    segments = SegmentedRaster(recording.raster, np.cumsum([0, *lengths]))
    seeds = [np.random.SeedSequence([3, k]) for k in range(300)]
    fast = np.array(
        [values for values, _ in window_draws(segments, 90, column, iter(seeds))]
    )
    slow = np.array(
        [
            column_values(Counts(segments.with_raster(drawn.raster), 90, 1), column)
            for drawn in surrogates(recording, n_surrogates=300, seed=4)
        ]
    )
    assert np.isnan(fast[:, 0]).all()
    for unit in range(1, 4):
        assert ks_2samp(fast[:, unit].round(9), slow[:, unit].round(9)).pvalue > 1e-3


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 50), min_size=2, max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
def test_window_draws_are_window_counts_of_a_train(lengths, seed):
    """For the very order of bins that was drawn, each value is that of the train whose
    spikes come first in that order, in every segment.
    """
    rng = np.random.default_rng(seed)
    edges = np.cumsum([0, *lengths])
    bits = rng.random((3, edges[-1])) < 0.4
    segments = SegmentedRaster(SpikeRaster.from_dense(bits), edges)
    one = np.random.SeedSequence(seed)
    drawn = next(window_draws(segments, 4, "fano_factor", iter([one])))[0]
    order = np.random.default_rng(one).permutation(edges[-1])
    placed = np.zeros_like(bits)
    for start, stop in pairwise(edges):
        inside = order[(order >= start) & (order < stop)]
        for unit, count in enumerate(bits[:, start:stop].sum(axis=1)):
            placed[unit, inside[:count]] = True
    train = segments.with_raster(SpikeRaster.from_dense(placed))
    np.testing.assert_allclose(
        drawn, column_values(Counts(train, 4, 1), "fano_factor"), rtol=1e-12
    )


# -- tests
# --------------------------------------------------------------------------------------


def mean_correlation(raster):
    return float(
        np.corrcoef(raster.to_dense())[np.triu_indices(raster.n_units, 1)].mean()
    )


def test_the_default_method_fits_the_statistic():
    """Statistics of units permute bins; those between units do so only where a random
    order of single bins makes them exchangeable, and else shift circularly.
    """
    rng = np.random.default_rng(0)
    activations = rng.normal(size=(200, 3))
    shuffled, stored = (
        Recording.from_activations(activations, order=order, phase=order)
        for order in ("random", "stored")
    )
    both = Recording.concatenate([shuffled, stored])
    table = quiet(both, mean_correlation, n_surrogates=9, seed=0)
    assert table["method"].to_list() == ["bin_permutation", "circular_shift"]
    for statistic in ("cv2", "fano", lambda raster: raster.spike_counts()):
        table = quiet(stored, statistic, n_surrogates=9, seed=0)
        assert set(table["method"]) == {"bin_permutation"}
    blocks = stored.presentations.iloc[:20].assign(kind="blocks")
    blocks["start_bin"] = np.arange(20) * 10
    blocks["stop_bin"] = blocks["start_bin"] + 10
    kinds = Recording(
        shuffled.raster,
        shuffled.units,
        pd.concat([shuffled.presentations, blocks.assign(phase="random")]).sort_values(
            "start_bin"
        ),
        segments=shuffled.segments,
    )
    for kind, method in ((None, "bin_permutation"), ("blocks", "circular_shift")):
        table = quiet(kinds, mean_correlation, kind=kind, n_surrogates=9, seed=0)
        assert table["method"].to_list() == [method]
    trials = side_by_side(
        rng.random((3, 200)) < 0.3, [10] * 20, labels=[0] * 20, order="random"
    )
    table = quiet(trials, lambda parts: float(len(parts)), n_surrogates=9, seed=0)
    assert table["method"].to_list() == ["circular_shift"]
    assert table["observed"].to_list() == [20]


@pytest.mark.parametrize(
    ("statistic", "method"),
    [
        ("cv_isi", "circular_shift"),
        ("cv2", "circular_shift"),
        ("lv", "trial_shifting"),
        ("cv_isi", "isi_shuffle"),
        ("firing_rate", "bin_permutation"),
    ],
)
def test_surrogates_that_cannot_change_a_statistic_give_no_p_value(statistic, method):
    """There is no p-value, and the reason names what the surrogates keep."""
    table = quiet(make_recording(), statistic, method=method, n_surrogates=9, seed=0)
    assert table["pvalue"].isna().all()
    assert table["observed"].notna().all()
    assert table["reason"].str.contains(f"{method} keeps the").all()


@pytest.mark.parametrize("method", ON_GRID)
def test_segments_of_one_window_cannot_disperse(method):
    """Spikes that stay in a segment of one window leave its count: no p-value for the
    Fano factor, but one for windows that are shorter.
    """
    bits = np.random.default_rng(0).random((2, 400)) < 0.3
    recording = side_by_side(bits, [20] * 20)
    table = quiet(recording, "fano", method=method, window=20, n_surrogates=9, seed=0)
    assert table["reason"].str.contains("no segment has two windows of 20 bins").all()
    assert table["pvalue"].isna().all()
    table = quiet(recording, "fano", method=method, window=5, n_surrogates=9, seed=0)
    assert table["pvalue"].notna().all()


def test_rates_may_differ_between_segments():
    """Rates that change from segment to segment are no dispersion inside segments: the
    permuted bins keep them, in the fast way and in trains.
    """
    rng = np.random.default_rng(1)
    rates = np.repeat(rng.uniform(0.05, 0.6, 40), 50)
    recording = side_by_side(rng.random((40, 2000)) < rates, [50] * 40)
    table = quiet(recording, "dispersion", window=10, n_surrogates=199, seed=0)
    assert (table["observed"] > 1.5).all()
    assert 0.2 < (table["pvalue"] < 0.5).mean() < 0.8
    assert table["pvalue"].min() > 0.001


@pytest.mark.slow
@pytest.mark.parametrize("method", ["bin_permutation", "circular_shift"])
def test_memory_needs_the_null_of_its_statistic(method):
    """Independent bursty units seem correlated after their bins are permuted, not after
    circular shifts; a unit's memory is found by permuted bins alone.
    """
    rng = np.random.default_rng(2)
    n_networks, n_units, n = 60, 6, 2000
    between = 0
    for _ in range(n_networks):
        change = rng.random((n_units, n)) < 0.02
        bits = (np.cumsum(change, axis=1) % 2 == 1) & (rng.random((n_units, n)) < 0.8)

        def strength(raster):
            pairs = np.corrcoef(raster.to_dense())[np.triu_indices(n_units, 1)]
            return np.abs(pairs).mean()

        table = quiet(
            make_recording(bits), strength, method=method, n_surrogates=39, seed=0
        )
        between += int(table["pvalue"][0] <= 0.05)
    of_units = quiet(
        make_recording(bits), "ljung_box", method=method, n_surrogates=39, seed=0
    )
    if method == "bin_permutation":
        assert between > 0.7 * n_networks
        assert (of_units["pvalue"] <= 0.05).all()
    else:
        assert between < 0.15 * n_networks
        assert (of_units["pvalue"] > 0.05).sum() >= 5


def test_a_users_function_gets_the_segments():
    """It is called with the list of rasters of segments, in the recording and in each
    surrogate, and an error in it names unit and surrogate.
    """
    bits = np.random.default_rng(0).random((2, 60)) < 0.5
    recording = session(bits, [0, 30], [20, 60])
    seen = []

    def spikes(parts):
        seen.append([part.n_time_bins for part in parts])
        return np.sum([part.spike_counts() for part in parts], axis=0)

    table = quiet(recording, spikes, n_surrogates=3, seed=0)
    assert seen == [[20, 30]] * 4
    np.testing.assert_array_equal(table["observed"], table["surrogate_mean"])

    def fails(parts):
        return parts.spike_counts()

    with pytest.raises(InputValueError, match=r"fails raised AttributeError.*unit 0"):
        surrogate_test(recording, fails)
