"""Writing and reading NWB files, and making Neo blocks, beside the ordinary ways."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import neo
import neo.io
import numpy as np
import pandas as pd
import pynwb
import quantities as pq
from harness import Report, measure_in_turn, peak_above, pinned, run_fresh
from hdmf.backends.hdf5.h5_utils import H5DataIO
from hdmf.common import ElementIdentifiers, VectorData, VectorIndex

import ann2neo
from ann2neo import Recording, SpikeRaster
from ann2neo.recording.tables import presentation_table

N_UNITS, N_BINS = 512, 60_000
N_CONVOLUTION = 21_632
N_MANY = 100_000
N_WIDE, N_WIDE_BINS, N_FEW = 1_100_000, 200, 400
PART = 8


def recording_of(n_units: int, rate_of_four: int) -> Recording:
    """A recording of random spikes at a rate of a quarter or a half, with labelled
    trials.
    """
    rng = np.random.default_rng(0)
    n_bytes = -(-N_BINS // 8)
    packed = rng.integers(0, 256, (n_units, n_bytes), dtype=np.uint8)
    if rate_of_four == 1:
        packed &= rng.integers(0, 256, (n_units, n_bytes), dtype=np.uint8)
    raster = SpikeRaster.from_packed(packed, N_BINS)
    units = pd.DataFrame(
        {"layer": "hidden", "layer_type": "Dense", "unit_in_layer": np.arange(n_units)}
    )
    shown = presentation_table(
        N_BINS,
        "train",
        labels=rng.integers(0, 10, N_BINS),
        predictions=rng.integers(0, 10, N_BINS),
        stimulus_id=rng.permutation(N_BINS),
    )
    return Recording.from_raster(raster, units, shown, phase="train", order="random")


def new_file() -> Any:
    """An empty file of pynwb's."""
    return pynwb.NWBFile("benchmark", "benchmark", datetime(2024, 1, 1, tzinfo=UTC))


def times_of(recording: Recording, n_units: int) -> list[Any]:
    """Spike times of the first units, in s."""
    raster = recording.raster
    return [
        raster.spike_time_seconds(raster.spike_bins(unit)) for unit in range(n_units)
    ]


def write_by_add_unit(times: list[Any], path: Path) -> None:
    """The way of pynwb's tutorials."""
    file = new_file()
    for unit in times:
        file.add_unit(spike_times=unit, obs_intervals=[[0.0, N_BINS * 0.001]])
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)


def write_by_neo(times: list[Any], path: Path) -> None:
    """The way of neo.io.NWBIO."""
    block = neo.Block(
        name="block",
        session_start_time=datetime(2024, 1, 1, tzinfo=UTC),
        identifier="benchmark",
    )
    block.annotate(session_description="benchmark")
    segment = neo.Segment(name="segment")
    block.segments.append(segment)
    for i, unit in enumerate(times):
        segment.spiketrains.append(
            neo.SpikeTrain(unit, units="s", t_stop=N_BINS * 0.001, name=f"unit {i}")
        )
    path.unlink(missing_ok=True)
    io = neo.io.NWBIO(str(path), mode="w")
    io.write_all_blocks([block])
    io.close()


def write_column_first(recording: Recording, path: Path) -> None:
    """The best ordinary way: whole columns, gzip 4, trials too."""
    times = times_of(recording, recording.n_units)
    flat, ends = np.concatenate(times), np.cumsum([len(unit) for unit in times])
    file = new_file()
    spikes = VectorData(
        name="spike_times",
        description="s",
        data=H5DataIO(flat, compression="gzip", compression_opts=4),
    )
    index = VectorIndex(
        name="spike_times_index", target=spikes, data=ends.astype(np.uint64)
    )
    ids = ElementIdentifiers(name="id", data=np.arange(len(times)))
    file.units = pynwb.misc.Units(
        name="units",
        description="u",
        columns=[spikes, index],
        colnames=["spike_times"],
        id=ids,
    )
    shown = recording.presentations
    start, stop = (shown[edge].to_numpy() * 0.001 for edge in ("start_bin", "stop_bin"))
    cells: dict[str, Any] = {"start_time": start, "stop_time": stop}
    cells |= {
        name: shown[name].to_numpy()
        for name in ("stimulus_id", "label", "prediction", "is_correct")
    }
    cells["phase"] = shown["phase"].to_list()
    columns = [
        VectorData(name=name, description="t", data=data)
        for name, data in cells.items()
    ]
    ids = ElementIdentifiers(name="id", data=np.arange(len(shown)))
    file.trials = pynwb.epoch.TimeIntervals(
        name="trials", description="t", columns=columns, colnames=list(cells), id=ids
    )
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)


def read_by_pynwb(path: Path) -> int:
    """Spike times of every unit."""
    with pynwb.NWBHDF5IO(path, "r") as io:
        units = io.read().units
        return sum(len(units["spike_times"][unit]) for unit in range(len(units)))


def neo_by_loop(recording: Recording, bins: list[Any]) -> list[Any]:
    """Spike trains from known spike bins."""
    raster = recording.raster
    t_stop = raster.bin_edge_seconds(raster.n_time_bins)
    return [
        neo.SpikeTrain(
            raster.spike_time_seconds(unit),
            units="s",
            t_stop=t_stop,
            sampling_rate=1000 * pq.Hz,
        )
        for unit in bins
    ]


def scaled(few: float, more: float) -> float:
    """Seconds for all units, from those of half a part and a part: what does not grow
    with the units counts once.
    """
    return few + (more - few) / (PART - PART // 2) * (N_UNITS - PART // 2)


def layer(report: Report, folder: Path) -> None:
    """512 units."""
    recording = recording_of(N_UNITS, 2)
    n_spikes = int(recording.raster.spike_counts().sum())
    what = f"{N_UNITS} units x {N_BINS:,}, {n_spikes / 1e6:.1f} million spikes"
    ours, theirs, plain = (
        folder / "ours.nwb",
        folder / "theirs.nwb",
        folder / "plain.nwb",
    )
    part = times_of(recording, PART)
    half = part[: PART // 2]
    timings = measure_in_turn(
        {
            "ours": lambda: ann2neo.write_nwb(recording, ours, overwrite=True),
            "columns": lambda: write_column_first(recording, theirs),
            "few by add_unit": lambda: write_by_add_unit(half, folder / "a.nwb"),
            "more by add_unit": lambda: write_by_add_unit(part, folder / "a.nwb"),
            "few by neo": lambda: write_by_neo(half, folder / "n.nwb"),
            "more by neo": lambda: write_by_neo(part, folder / "n.nwb"),
        }
    )
    seconds = {name: timing.median for name, timing in timings.items()}
    write = seconds["ours"]
    note = f"from {PART // 2} and {PART} units, scaled; ours with its {N_BINS:,} trials"
    add_unit = scaled(seconds["few by add_unit"], seconds["more by add_unit"])
    nwbio = scaled(seconds["few by neo"], seconds["more by neo"])
    report.row(
        f"`write_nwb`, {what}",
        write,
        theirs=add_unit,
        theirs_is="`add_unit`",
        at_least=75,
        note=note,
    )
    report.row(
        f"`write_nwb`, {what}",
        write,
        theirs=nwbio,
        theirs_is="`neo.io.NWBIO`",
        at_least=75,
        note=note,
    )
    columns, note = seconds["columns"], "both with trials"
    report.row(
        f"`write_nwb`, {what}",
        write,
        theirs=columns,
        theirs_is="column-first, gzip 4",
        at_least=2.5,
        note="with trials",
    )
    report.row(f"`write_nwb`, {what}", write, at_most=1.0, limit_on="ours")
    ann2neo.write_nwb(recording, plain, compression=None, overwrite=True)
    sizes = {path.stem: path.stat().st_size / 1e6 for path in (ours, plain, theirs)}
    share = sizes["ours"] / sizes["plain"]
    report.row(
        "size of that file, share of the uncompressed one",
        share,
        "",
        at_most=0.45,
        limit_on="ours",
    )
    report.row(
        "size of that file",
        sizes["ours"],
        "MB",
        theirs=sizes["theirs"],
        theirs_is="column-first, gzip 4",
    )
    peak, _ = peak_above(lambda: ann2neo.write_nwb(recording, ours, overwrite=True))
    report.row(
        "memory of that write above the recording",
        peak,
        "MB",
        at_most=100,
        limit_on="ours",
    )
    timings = measure_in_turn(
        {"ours": lambda: ann2neo.read_nwb(ours), "pynwb": lambda: read_by_pynwb(ours)},
        repeat=5,
    )
    read = timings["ours"].median
    report.row(
        f"`read_nwb`, {what}",
        read,
        theirs=timings["pynwb"].median,
        theirs_is="pynwb",
        at_least=1.5,
    )
    assert ann2neo.read_nwb(ours).equals(recording)
    bins = [recording.raster.spike_bins(unit) for unit in range(N_UNITS)]
    timings = measure_in_turn(
        {
            "ours": lambda: list(ann2neo.to_neo(recording).segments[0].spiketrains),
            "loop": lambda: neo_by_loop(recording, bins),
        },
        repeat=5,
    )
    made, loop = timings["ours"].median, timings["loop"].median
    note = "the loop has the spike bins already"
    report.row(
        f"`to_neo` and its trains, {what}",
        made,
        theirs=loop,
        theirs_is="a plain loop of SpikeTrains",
        at_least=1 / 1.5,
        note=note,
    )


def many_units(report: Report) -> None:
    """Units of few spikes, whose trains `to_neo` leaves to be built on demand."""
    generator = np.random.default_rng(0)
    bins = generator.integers(N_BINS, size=(N_MANY, 5))
    raster = SpikeRaster.from_spike_bins(list(np.sort(bins)), N_BINS)
    recording = Recording.from_raster(raster)
    started = time.perf_counter()
    block = ann2neo.to_neo(recording)
    made = time.perf_counter() - started
    assert len(block.segments[0].spiketrains) == N_MANY
    report.row(
        f"`to_neo`, {N_MANY:,} units of 5 spikes, until trains are asked for",
        made,
        at_most=5,
        limit_on="ours",
    )


def wide_layer(report: Report, folder: Path) -> None:
    """A convolution of a million units that saw few stimuli."""
    path = folder / "wide.nwb"
    generator = np.random.default_rng(0)
    rates = np.linspace(0.02, 0.98, N_WIDE, dtype=np.float32)[:, np.newaxis]
    # Eight bins at a time, so that the cells are never in memory unpacked.
    packed = np.zeros((N_WIDE, N_WIDE_BINS // 8), np.uint8)
    for byte in range(N_WIDE_BINS // 8):
        spiked = generator.random((N_WIDE, 8), dtype=np.float32) < rates
        packed[:, byte] = np.packbits(spiked, axis=1, bitorder="little")[:, 0]
    recording = Recording.from_raster(SpikeRaster.from_packed(packed, N_WIDE_BINS))
    bins = [recording.raster.spike_bins(unit) for unit in range(N_FEW)]
    times = list(map(recording.raster.spike_time_seconds, bins))
    timings = measure_in_turn(
        {
            "ours": lambda: ann2neo.write_nwb(recording, path, overwrite=True),
            "few": lambda: write_by_add_unit(times[: N_FEW // 2], folder / "a.nwb"),
            "more": lambda: write_by_add_unit(times, folder / "a.nwb"),
        },
        repeat=1,
    )
    few, more = timings["few"].best, timings["more"].best
    what = f"{N_WIDE:,} units x {N_WIDE_BINS}"
    report.row(
        f"`write_nwb`, {what}",
        timings["ours"].best,
        theirs=few + (more - few) / (N_FEW - N_FEW // 2) * (N_WIDE - N_FEW // 2),
        theirs_is="`add_unit`",
        at_most=10,
        limit_on="ours",
        note=f"theirs from {N_FEW // 2} and {N_FEW} units, scaled",
    )
    started = time.perf_counter()
    read = ann2neo.read_nwb(path)
    report.row(
        f"`read_nwb`, {what}",
        time.perf_counter() - started,
        at_most=5,
        limit_on="ours",
    )
    assert read.raster.equals(recording.raster)


READ = """
import json, sys, time
from bench_nwb import ann2neo, peak_above
started = time.perf_counter()
peak, recording = peak_above(lambda: ann2neo.read_nwb({path!r}))
print(json.dumps([peak, time.perf_counter() - started, recording.raster.sha256()]))
"""


def convolution(report: Report, folder: Path) -> None:
    """21 632 units; the reading in a process of its own, whose memory the writing has
    not touched.
    """
    path = folder / "convolution.nwb"
    recording = recording_of(N_CONVOLUTION, 1)
    bits = recording.raster.nbytes / 1e6
    what = (
        f"{N_CONVOLUTION:,} units x {N_BINS:,},"
        f" {recording.raster.spike_counts().sum() / 1e6:.0f} million spikes"
    )
    started = time.perf_counter()
    peak, _ = peak_above(lambda: ann2neo.write_nwb(recording, path, overwrite=True))
    note = f"{path.stat().st_size / 1e6:.0f} MB on disk"
    report.row(f"`write_nwb`, {what}", time.perf_counter() - started, note=note)
    note = "and the bits of the recording"
    report.row(
        "memory of that `write_nwb`",
        peak + bits,
        "MB",
        at_most=1500,
        limit_on="ours",
        note=note,
    )
    peak, seconds, sha256 = run_fresh(READ.format(path=str(path)))
    assert sha256 == recording.raster.sha256()
    report.row(f"`read_nwb`, {what}", seconds, note="sums checked")
    report.row(
        "memory of that `read_nwb`",
        peak,
        "MB",
        at_most=1500,
        limit_on="ours",
        note="the bits among it",
    )


def main() -> None:
    """Measure, print and save."""
    report = Report("nwb", "NWB files and Neo blocks")
    with pinned(), tempfile.TemporaryDirectory() as name:
        layer(report, Path(name))
        convolution(report, Path(name))
        wide_layer(report, Path(name))
    many_units(report)
    report.save()


if __name__ == "__main__":
    main()
