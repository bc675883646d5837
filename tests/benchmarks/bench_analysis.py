"""The battery beside Elephant, SciPy, statsmodels and arch: 512 units x 60 000 bins,
the paper's convolution, and many units of few bins.

On both sides the fastest repeat counts, which a busy machine disturbs least;
statsmodels, too slow for that, runs once.
"""

from __future__ import annotations

import numpy as np
import quantities as pq
from harness import Report, Timing, measure, peak_above, pinned

N_UNITS, N_BINS, N_CONVOLUTION = 512, 60_000, 21_632
REFERENCE_UNITS, ARCH_UNITS = 3, 8


def recording_of(
    n_units: int, n_time_bins: int, low: float = 0.02, high: float = 0.98, seed: int = 0
):
    """Independent units of rates between two bounds."""
    from ann2neo import Recording
    from ann2neo.raster import RasterBuilder

    rng = np.random.default_rng(seed)
    rates = np.linspace(low, high, n_units, dtype=np.float32)
    builder = RasterBuilder(n_units, n_time_bins)
    step = max(8, (1 << 24) // n_units // 8 * 8)
    for first in range(0, n_time_bins, step):
        builder.write(
            first,
            rng.random((min(step, n_time_bins - first), n_units), dtype=np.float32)
            < rates,
        )
    return Recording.from_raster(builder.build())


def per_unit(function, recording, n_units: int, repeat: int = 1) -> float:
    """Mean over units spread over the rates of the fastest call of `function` on their
    series, in seconds.
    """
    units = np.linspace(0, recording.n_units - 1, n_units).astype(int)
    dense = recording.raster.take(units=units).to_dense().astype(np.float64)
    times = [
        measure(lambda row=row: function(row), repeat=repeat, warmup=0).best
        for row in dense
    ]
    return float(np.mean(times))


def adf_rows(report: Report, recording) -> None:
    """The augmented Dickey-Fuller test of all units beside statsmodels and arch."""
    from arch.unitroot import ADF
    from statsmodels.tsa.stattools import adfuller

    from ann2neo import analyze

    ours = measure(lambda: analyze(recording, statistics=["adf"]), repeat=9)
    what = f"ADF, {N_UNITS} units x {N_BINS:,} bins"
    theirs = N_UNITS * per_unit(
        lambda x: adfuller(x, autolag="AIC", result_object=True),
        recording,
        REFERENCE_UNITS,
    )
    report.row(
        what,
        ours.best,
        theirs=theirs,
        theirs_is="statsmodels adfuller",
        at_least=10_000,
        note=f"theirs scaled from {REFERENCE_UNITS} units",
    )
    fastest = N_UNITS * per_unit(
        lambda x: ADF(x, low_memory=True, method="aic").stat, recording, ARCH_UNITS, 3
    )
    report.row(
        what,
        ours.best,
        theirs=fastest,
        theirs_is="arch ADF(low_memory=True)",
        at_least=40,
        note=f"theirs scaled from {ARCH_UNITS} units",
    )
    report.row(f"{what}, time", ours.best, at_most=0.8, limit_on="ours")


def battery_rows(report: Report, recording) -> None:
    """The whole battery beside the reference engine, and on the units of a
    convolution.
    """
    from ann2neo import analyze

    ours = measure(lambda: analyze(recording), repeat=9)
    few = recording.select(
        units=np.linspace(0, N_UNITS - 1, REFERENCE_UNITS).astype(int)
    )
    reference = measure(lambda: analyze(few, engine="reference"), repeat=1, warmup=0)
    theirs = reference.best / REFERENCE_UNITS * N_UNITS
    report.row(
        f"whole battery, {N_UNITS} units x {N_BINS:,} bins",
        ours.best,
        theirs=theirs,
        at_most=2.0,
        limit_on="ours",
        theirs_is="reference engine (Elephant, SciPy, statsmodels)",
        note=f"theirs scaled from {REFERENCE_UNITS} units",
    )
    large = recording_of(N_CONVOLUTION, N_BINS)
    timing: dict[str, Timing] = {}

    def once() -> None:
        timing["large"] = measure(lambda: analyze(large), repeat=1, warmup=0)

    above, _ = peak_above(once)
    what = f"whole battery, {N_CONVOLUTION:,} units x {N_BINS:,} bins"
    report.row(what, timing["large"].best, at_most=80.0, limit_on="ours")
    report.row(
        f"{what}, memory above the recording",
        above,
        "MB",
        at_most=1000.0,
        limit_on="ours",
    )


def series_rows(report: Report) -> None:
    """Time per unit and bin when units or bins double."""
    from ann2neo import analyze

    for n_units, n_bins in (
        (128, 60_000),
        (256, 60_000),
        (512, 60_000),
        (1024, 60_000),
        (2048, 60_000),
        (512, 15_000),
        (512, 30_000),
        (512, 120_000),
        (512, 240_000),
    ):
        recording = recording_of(n_units, n_bins, 0.1, 0.9)
        seconds = measure(lambda r=recording: analyze(r), repeat=5).best
        report.row(
            f"whole battery per unit and bin, {n_units:,} x {n_bins:,}",
            1e9 * seconds / n_units / n_bins,
            "ns",
        )


def wide_rows(report: Report) -> None:
    """Many units of few bins beside the reference engine."""
    from ann2neo import analyze

    for n_units, n_bins, first_limit, limit in (
        (4_000, 1_000, 2.5, 1.5),
        (40_000, 512, 15.0, 15.0),
        (1_100_000, 200, 60.0, 60.0),
    ):
        recording = recording_of(n_units, n_bins)
        few = recording.select(
            units=np.linspace(0, n_units - 1, REFERENCE_UNITS).astype(int)
        )
        first = measure(lambda r=recording: analyze(r), repeat=1, warmup=0).best
        # The nulls are made, so that the reference engine does not pay for them.
        reference = measure(
            lambda r=few: analyze(r, engine="reference"), repeat=1, warmup=0
        )
        again = measure(lambda r=recording: analyze(r), repeat=1, warmup=0).best
        what = f"whole battery, {n_units:,} units x {n_bins:,} bins"
        report.row(
            f"{what}, nulls included", first, at_most=first_limit, limit_on="ours"
        )
        report.row(
            f"{what}, nulls made",
            again,
            theirs=reference.best / REFERENCE_UNITS * n_units,
            at_most=limit,
            limit_on="ours",
            theirs_is="reference engine (Elephant, SciPy, statsmodels)",
            note=f"theirs scaled from {REFERENCE_UNITS} units",
        )


def null_rows(report: Report) -> None:
    """What the nulls of sparse units cost, once per length of recording."""
    from ann2neo import analyze
    from ann2neo.analysis.units.nulls import LjungBoxNull, WindowNull

    windows = measure(
        lambda: WindowNull(600, 100).squares(200), repeat=1, warmup=0
    ).best
    report.row(
        "Monte Carlo nulls of dispersion, 600 windows of 100 bins, all counts to 200,"
        " once",
        windows,
    )
    serial = measure(
        lambda: LjungBoxNull(N_BINS, 10).statistics(499), repeat=1, warmup=0
    ).best
    report.row(
        f"permutation nulls of Ljung-Box, {N_BINS:,} bins, all counts to 499, once",
        serial,
    )
    sparse = recording_of(N_UNITS, N_BINS, 0.0002, 0.008)
    first = measure(lambda: analyze(sparse), repeat=1, warmup=0).best
    again = measure(lambda: analyze(sparse), repeat=1, warmup=0).best
    report.row(
        f"whole battery, {N_UNITS} units of rates 0.0002 to 0.008 x {N_BINS:,} bins,"
        " nulls included",
        first,
    )
    report.row(
        f"whole battery, {N_UNITS} units of rates 0.0002 to 0.008 x {N_BINS:,} bins,"
        " nulls made",
        again,
    )


def network_rows(report: Report, recording) -> None:
    """Joint permutations of a layer, and change points beside Elephant."""
    import neo
    from elephant.change_point_detection import multiple_filter_test

    from ann2neo import change_points, network_test

    joint = measure(
        lambda: network_test(recording, n_permutations=999, seed=0), repeat=1, warmup=0
    )
    what = f"joint permutation p-values, {N_UNITS} units x {N_BINS:,} bins, 999 draws"
    report.row(what, joint.best, at_most=60.0, limit_on="ours")
    windows, unit = [1500, 3000, 6000], N_UNITS // 2
    settings = {"windows": windows, "step": 75, "n_surrogates": 1000}
    ours = measure(
        lambda: change_points(recording, **settings, seed=1), repeat=1, warmup=0
    )
    times = (recording.raster.spike_bins(unit) + 0.25) * pq.s
    train = neo.SpikeTrain(times, t_stop=N_BINS * pq.s)
    theirs = measure(
        lambda: multiple_filter_test(
            windows * pq.s,
            train,
            N_BINS * pq.s,
            5,
            n_surrogates=1000,
            time_step=75 * pq.s,
        ),
        repeat=1,
        warmup=0,
    )
    report.row(
        f"change points, {N_UNITS} units x {N_BINS:,} bins, three windows",
        ours.best,
        theirs=theirs.best * N_UNITS,
        theirs_is="Elephant multiple_filter_test",
        note="theirs scaled from 1 unit; our threshold is made once a layer",
    )


def main() -> None:
    """Measure everything and save it."""
    report = Report("analysis", "Statistics of every unit")
    recording = recording_of(N_UNITS, N_BINS)
    with pinned():
        adf_rows(report, recording)
        battery_rows(report, recording)
        series_rows(report)
        wide_rows(report)
        null_rows(report)
        network_rows(report, recording)
    report.save()


if __name__ == "__main__":
    main()
