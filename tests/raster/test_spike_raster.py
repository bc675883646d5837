"""SpikeRaster against plain NumPy on unpacked matrices."""

import hashlib
import pickle

import numpy as np
import pytest
import quantities as pq

from ann2neo._checks import seconds
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.raster import BinPermuter, RasterBuilder, SpikeRaster
from ann2neo.raster.joint import joint_counts, numkong

LENGTHS = [0, 1, 2, 7, 8, 9, 63, 64, 65, 127, 128, 129, 1000]
RATES = [0.0, 0.03, 0.5, 1.0]


def dense_matrix(n_units, n_time_bins, rate=0.4, seed=0):
    return np.random.default_rng(seed).random((n_units, n_time_bins)) < rate


@pytest.fixture(params=LENGTHS)
def n_time_bins(request):
    return request.param


@pytest.mark.parametrize("n_units", [0, 1, 5])
@pytest.mark.parametrize("rate", RATES)
def test_packing_and_unpacking_return_the_matrix(n_units, n_time_bins, rate):
    """Any shape and any rate, from no spike to all spikes, comes back bit for bit."""
    dense = dense_matrix(n_units, n_time_bins, rate)
    raster = SpikeRaster.from_dense(dense)
    assert raster.shape == dense.shape
    assert raster.to_dense().dtype == np.bool_
    np.testing.assert_array_equal(raster.to_dense(), dense)
    np.testing.assert_array_equal(raster.spike_counts(), dense.sum(axis=1))
    for unit in range(n_units):
        np.testing.assert_array_equal(
            raster.spike_bins(unit), np.flatnonzero(dense[unit])
        )


def test_all_ways_in_give_the_same_raster(n_time_bins):
    """from_packed, from_spike_bins and a builder agree with from_dense."""
    dense = dense_matrix(3, n_time_bins)
    raster = SpikeRaster.from_dense(dense)
    packed = np.packbits(dense, axis=1, bitorder="little")
    assert SpikeRaster.from_packed(packed, n_time_bins).equals(raster)
    assert SpikeRaster.from_spike_bins(
        [np.flatnonzero(row) for row in dense], n_time_bins
    ).equals(raster)
    builder = RasterBuilder(3, n_time_bins)
    builder.write(0, np.ascontiguousarray(dense.T))
    assert builder.build().equals(raster)


def test_bits_beyond_the_last_bin_are_dropped():
    """Set padding bits in packed input do not count."""
    raster = SpikeRaster.from_packed(np.full((1, 2), 255, np.uint8), 9)
    assert raster.spike_counts() == [9]


@pytest.mark.parametrize("n_units", [1, 8, 13, 600])
def test_a_builder_takes_batches_of_any_size_anywhere(n_units):
    """Batches that start anywhere, in blocks of units, fill the same raster."""
    rng = np.random.default_rng(1)
    dense = dense_matrix(n_units, 317)
    builder = RasterBuilder(n_units, 317)
    split, first_bin = n_units // 3, 0
    while first_bin < 317:
        n_bins = min(int(rng.integers(1, 40)), 317 - first_bin)
        active = np.ascontiguousarray(dense[:, first_bin : first_bin + n_bins].T)
        builder.write(first_bin, np.ascontiguousarray(active[:, :split]))
        builder.write(
            first_bin, np.ascontiguousarray(active[:, split:]), first_unit=split
        )
        first_bin += n_bins
    np.testing.assert_array_equal(builder.build().to_dense(), dense)


@pytest.mark.parametrize("window", [1, 2, 3, 63, 64, 65, 100])
def test_window_counts_leave_out_the_incomplete_window(n_time_bins, window):
    """Counts per complete window equal sums over reshaped rows."""
    dense = dense_matrix(4, n_time_bins)
    n_windows = n_time_bins // window
    expected = dense[:, : n_windows * window].reshape(4, n_windows, window).sum(axis=2)
    np.testing.assert_array_equal(
        SpikeRaster.from_dense(dense).window_counts(window), expected
    )


def test_cumulative_counts_count_what_lies_before(n_time_bins):
    """Spikes before every edge, 0 and the end included."""
    dense = dense_matrix(4, n_time_bins)
    expected = np.concatenate([np.zeros((4, 1), int), np.cumsum(dense, axis=1)], axis=1)
    counts = SpikeRaster.from_dense(dense).cumulative_counts(np.arange(n_time_bins + 1))
    np.testing.assert_array_equal(counts, expected)


def test_lag_counts_count_pairs_of_spikes(n_time_bins):
    """Pairs at every lag, beyond one and two words and beyond the end."""
    dense = dense_matrix(3, n_time_bins)
    counts = SpikeRaster.from_dense(dense).lag_counts(140)
    for lag in range(141):
        pairs = (dense[:, : max(0, n_time_bins - lag)] & dense[:, lag:]).sum(axis=1)
        np.testing.assert_array_equal(counts[:, lag], pairs)


needs_numkong = pytest.mark.skipif(numkong is None, reason="NumKong is not installed")
both_ways = pytest.mark.parametrize(
    "use_numkong", [pytest.param(True, marks=needs_numkong), False]
)


@both_ways
def test_joint_counts_are_the_matrix_product(n_time_bins, use_numkong):
    """Joint counts equal the integer matrix product, within a raster and between two,
    with the extra "fast" and without.
    """
    rng = np.random.default_rng(n_time_bins)
    left = rng.random((130, n_time_bins)) < 0.4
    right = rng.random((3, n_time_bins)) < 0.7
    ours, theirs = (SpikeRaster.from_dense(d).bits.view("<u8") for d in (left, right))
    for pair, product in (
        ((ours, None), left.astype(int) @ left.T),
        ((ours, theirs), left.astype(int) @ right.T),
        ((theirs, ours), right.astype(int) @ left.T),
    ):
        counts = joint_counts(*pair, use_numkong=use_numkong)
        np.testing.assert_array_equal(counts, product)


def test_rasters_count_jointly_what_their_bits_do():
    """Without another raster, units are paired with each other; the diagonal holds the
    spike counts.
    """
    ours, theirs = dense_matrix(5, 130), dense_matrix(3, 130, seed=1)
    raster, other = SpikeRaster.from_dense(ours), SpikeRaster.from_dense(theirs)
    np.testing.assert_array_equal(raster.joint_counts(), ours.astype(int) @ ours.T)
    np.testing.assert_array_equal(
        raster.joint_counts(other), ours.astype(int) @ theirs.T
    )
    np.testing.assert_array_equal(np.diag(raster.joint_counts()), raster.spike_counts())


@pytest.mark.parametrize("n_units", [0, 1, 300, 700])
def test_bin_counts_are_the_column_sums(n_units):
    """Counts per time bin do not overflow, whatever the number of units."""
    dense = np.ones((n_units, 70), bool)
    dense[: n_units // 2, ::3] = False
    np.testing.assert_array_equal(
        SpikeRaster.from_dense(dense).bin_counts(), dense.sum(axis=0)
    )


def test_head_and_tail_are_the_ends(n_time_bins):
    """First and last bins, all of them when fewer are there."""
    dense = dense_matrix(3, n_time_bins)
    raster = SpikeRaster.from_dense(dense)
    for k in (0, 1, 8, 70, 2000):
        np.testing.assert_array_equal(raster.head(k), dense[:, :k])
        np.testing.assert_array_equal(
            raster.tail(k), dense[:, max(0, n_time_bins - k) :]
        )


def test_slices_keep_spikes_and_time(n_time_bins):
    """Every slice holds its bins and starts where its first bin starts."""
    dense = dense_matrix(3, n_time_bins)
    raster = SpikeRaster.from_dense(dense, sampling_period=2 * pq.ms, t_start=5 * pq.ms)
    edges = np.unique(np.linspace(0, n_time_bins, 12).astype(int))
    for start in edges:
        for stop in edges[edges >= start]:
            part = raster.slice(int(start), int(stop))
            expected = SpikeRaster.from_dense(
                dense[:, start:stop],
                sampling_period=2 * pq.ms,
                t_start=(5 + 2 * int(start)) * pq.ms,
            )
            assert part.equals(expected)


def test_take_picks_in_the_order_given():
    """Integers may repeat and count from the end; masks keep the order."""
    dense = dense_matrix(5, 130)
    raster = SpikeRaster.from_dense(dense)
    bins = np.array([129, 0, 0, -1, 64])
    np.testing.assert_array_equal(raster.take(bins=bins).to_dense(), dense[:, bins])
    np.testing.assert_array_equal(raster.take(units=[4, 1]).to_dense(), dense[[4, 1]])
    mask = dense[0]
    np.testing.assert_array_equal(
        raster.take(units=[2], bins=mask).to_dense(), dense[2:3, mask]
    )
    assert raster.take(units=[], bins=[]).shape == (0, 0)


def test_concatenation_joins_in_time():
    """Parts of awkward lengths join without a gap."""
    parts = [dense_matrix(3, n, seed=n) for n in (5, 64, 0, 63, 1, 130)]
    joined = SpikeRaster.concatenate([SpikeRaster.from_dense(part) for part in parts])
    np.testing.assert_array_equal(joined.to_dense(), np.concatenate(parts, axis=1))


def test_stacking_puts_units_below_one_another():
    """The rows of all rasters follow in turn; blocks of units stack to the whole."""
    dense = np.random.default_rng(0).random((7, 70)) < 0.5
    raster = SpikeRaster.from_dense(dense, t_start=3 * pq.ms)
    assert SpikeRaster.stack([block for _, block in raster.unit_blocks(40)]).equals(
        raster
    )
    np.testing.assert_array_equal(
        SpikeRaster.stack([raster, raster]).to_dense(), np.vstack([dense, dense])
    )


def test_unit_blocks_cover_every_unit_once():
    """Blocks are consecutive, no larger than asked, and complete."""
    dense = dense_matrix(11, 200)
    blocks = list(SpikeRaster.from_dense(dense).unit_blocks(3 * 32))
    assert [units for units, _ in blocks] == [
        slice(0, 3),
        slice(3, 6),
        slice(6, 9),
        slice(9, 11),
    ]
    np.testing.assert_array_equal(
        np.concatenate([block.to_dense() for _, block in blocks]), dense
    )


def test_the_checksum_follows_its_definition():
    """Shape as little-endian int64, then packed rows: recomputed by hand."""
    dense = dense_matrix(3, 77)
    expected = hashlib.sha256(np.array([3, 77], "<i8").tobytes())
    expected.update(np.packbits(dense, axis=1, bitorder="little").tobytes())
    assert SpikeRaster.from_dense(dense).sha256() == expected.hexdigest()


def test_a_raster_cannot_be_changed():
    """Bits are read-only, and freezing them leaves the builder's own array alone."""
    raster = SpikeRaster.from_dense(dense_matrix(2, 10))
    with pytest.raises(ValueError, match="read-only"):
        raster.bits[0, 0] = 1


def test_bits_may_be_a_memory_map_or_come_later(tmp_path):
    """A memory map and a function that loads give the same raster as an array; the
    function runs once.
    """
    raster = SpikeRaster.from_dense(dense_matrix(3, 100))
    np.save(tmp_path / "bits.npy", raster.bits)
    mapped = SpikeRaster(np.load(tmp_path / "bits.npy", mmap_mode="r"), 3, 100)
    assert mapped.equals(raster)
    calls = []

    def load():
        calls.append(1)
        return raster.bits.copy()

    lazy = SpikeRaster(load, 3, 100)
    assert lazy.n_time_bins == 100
    assert not calls
    assert lazy.equals(raster)
    assert lazy.equals(raster)
    assert len(calls) == 1


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("period", [0.1, 1.0, 2.0, 3.0, 10.0, 1 / 3, 0.7])
def test_a_period_survives_every_unit(period, unit):
    """Milliseconds to any unit and back is the same number, to 15 digits."""
    raster = SpikeRaster.from_dense(dense_matrix(1, 3), sampling_period=period * pq.ms)
    again = SpikeRaster.from_dense(
        dense_matrix(1, 3), sampling_period=raster.sampling_period.rescale(unit)
    )
    assert again.equals(raster)
    assert float(raster.sampling_period) == float(f"{period:.15g}")


def test_spikes_lie_a_quarter_into_their_bin():
    """Bin 2 of 2 ms bins from 10 ms has its spike at 14.5 ms."""
    raster = SpikeRaster.from_dense(
        dense_matrix(1, 3), sampling_period=2 * pq.ms, t_start=10 * pq.ms
    )
    assert raster.spike_time_seconds(2) == pytest.approx(0.0145, abs=1e-15)
    assert float(raster.t_stop) == 16.0


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: SpikeRaster.from_dense([1, 0]),
            InputValueError,
            r"axes \(unit, time_bin\).*newaxis",
        ),
        (
            lambda: SpikeRaster.from_dense([[0.5]]),
            InputValueError,
            "only 0 and 1.*threshold",
        ),
        (
            lambda: SpikeRaster.from_dense([[1]], sampling_period=1),
            InputTypeError,
            "1 \\* pq.ms, got 1 .int, no unit",
        ),
        (
            lambda: SpikeRaster.from_dense([[1]], sampling_period=1 * pq.mV),
            InputTypeError,
            "mV is not a unit of time",
        ),
        (
            lambda: SpikeRaster.from_dense([[1]], sampling_period=0 * pq.ms),
            InputValueError,
            "positive time, got 0",
        ),
        (
            lambda: SpikeRaster.from_dense([[1]], t_start=np.nan * pq.ms),
            InputValueError,
            "finite time, got nan",
        ),
        (
            lambda: seconds([1, 2] * pq.s, "t_start"),
            InputValueError,
            "one time, got an array of 2",
        ),
        (
            lambda: SpikeRaster.from_packed(np.zeros((2, 1), np.uint8), 9),
            InputValueError,
            r"shape \(n_units, 2\)",
        ),
        (
            lambda: SpikeRaster(np.zeros((2, 1), np.uint8), 2, 8),
            InputValueError,
            r"uint8 of shape \(2, 8\)",
        ),
        (
            lambda: SpikeRaster.from_spike_bins([[3]], 3),
            InputValueError,
            r"unit 0 run from 3 to 3, outside 0 .. 2",
        ),
        (
            lambda: SpikeRaster.from_dense([[1]]).slice(0, 2),
            InputValueError,
            "start <= stop <= 1, got start=0, stop=2",
        ),
        (
            lambda: SpikeRaster.from_dense([[1]]).take(units=[1]),
            InputValueError,
            "units run from 1 to 1",
        ),
        (
            lambda: SpikeRaster.from_dense([[1]]).take(bins=[0.5]),
            InputTypeError,
            "bins must be a list of integers",
        ),
        (
            lambda: SpikeRaster.from_dense([[1]]).take(bins=[True, False]),
            InputValueError,
            r"mask of bins needs shape \(1,",
        ),
        (
            lambda: SpikeRaster.from_dense([[1]]).window_counts(0),
            InputValueError,
            "at least 1 bin, got 0",
        ),
        (
            lambda: SpikeRaster.from_dense([[1]]).lag_counts(-1),
            InputValueError,
            "0 or more bins, got -1",
        ),
        (
            lambda: SpikeRaster.stack([]),
            InputValueError,
            "stack needs at least one raster",
        ),
        (
            lambda: SpikeRaster.stack(
                [SpikeRaster.from_dense([[1]]), SpikeRaster.from_dense([[1, 0]])]
            ),
            InputValueError,
            "same time bins and sampling period",
        ),
        (
            lambda: SpikeRaster.from_dense([[1]]).joint_counts(
                SpikeRaster.from_dense([[1, 0]])
            ),
            InputValueError,
            "same time bins, got 1 and 2",
        ),
        (
            lambda: SpikeRaster.from_dense([[1]]).cumulative_counts([2]),
            InputValueError,
            r"0 .. 1, got 2",
        ),
        (lambda: SpikeRaster.concatenate([]), InputValueError, "at least one raster"),
        (
            lambda: SpikeRaster.concatenate(
                [SpikeRaster.from_dense([[1]]), SpikeRaster.from_dense([[1], [1]])]
            ),
            InputValueError,
            "same units and sampling period",
        ),
        (
            lambda: RasterBuilder(2, 8).write(1, np.zeros((8, 2), bool)),
            InputValueError,
            "does not fit a raster of 2 x 8",
        ),
        (
            lambda: RasterBuilder(2, 8, np.zeros((2, 1), np.uint8)),
            InputValueError,
            r"uint8 of shape \(2, 8\)",
        ),
    ],
)
def test_bad_input_says_value_rule_and_remedy(call, error, words):
    """Each mistake is refused with words that name it."""
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("n_units", [0, 1, 8, 13])
def test_permuting_bins_of_all_units_alike_equals_indexing(n_units, n_time_bins):
    """A permuter equals indexing of the unpacked matrix, also for shapes that do not
    fill bytes or words.
    """
    dense = dense_matrix(n_units, n_time_bins)
    permuter = BinPermuter(SpikeRaster.from_dense(dense))
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(n_time_bins)
        assert permuter.permuted(order).equals(SpikeRaster.from_dense(dense[:, order]))


def test_a_permuter_refuses_an_order_of_another_length():
    """An order that leaves bins out is an error that says how many there are."""
    with pytest.raises(InputValueError, match="each of the 3 bins once, got 2 bins"):
        BinPermuter(SpikeRaster.from_dense([[1, 0, 1]])).permuted([0, 1])


@both_ways
def test_joint_counts_of_long_saturated_trains_do_not_overflow(use_numkong):
    """Counts beyond 65 535 are exact."""
    words = SpikeRaster.from_dense(np.ones((2, 200_001), bool)).bits.view("<u8")
    counts = joint_counts(words, None, use_numkong=use_numkong)
    np.testing.assert_array_equal(counts, np.full((2, 2), 200_001))


@pytest.mark.parametrize("n_spikes", [0, 3, 60, 3000])
def test_few_spikes_are_the_raster_that_many_are(n_spikes):
    """Whether spikes are few or many, a raster of their bins has the bits, counts and
    bins of the dense matrix, in any order, with repeats, and after a copy.
    """
    rng = np.random.default_rng(n_spikes)
    bins = rng.integers(5000, size=(2, n_spikes))
    dense = np.zeros((2, 5000), bool)
    for row, of_unit in zip(dense, bins, strict=True):
        row[of_unit] = True
    expected = SpikeRaster.from_dense(dense)
    given = bins.copy()
    raster = SpikeRaster.from_spike_bins(given, 5000)
    given[:] = 0
    raster.spike_bins(0)[:] = 0
    for one in (raster, pickle.loads(pickle.dumps(raster)), raster.slice(0, 5000)):
        np.testing.assert_array_equal(one.spike_counts(), dense.sum(axis=1))
        np.testing.assert_array_equal(
            one.window_counts(70), dense[:, :4970].reshape(2, 71, 70).sum(axis=2)
        )
        for unit in range(2):
            np.testing.assert_array_equal(
                one.spike_bins(unit), np.flatnonzero(dense[unit])
            )
            np.testing.assert_array_equal(
                expected.spike_bins(unit), np.flatnonzero(dense[unit])
            )
        assert one.equals(expected)
