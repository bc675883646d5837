"""Commands that record, describe, analyze, validate, share and report recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ann2neo.cli.application import (
    app,
    echo,
    echo_csv,
    is_quiet,
    load_keras,
    one_line,
)
from ann2neo.cli.sessions import (
    BinSize,
    FollowLinks,
    Intervals,
    Label,
    Start,
    Stop,
    Units,
    session_options,
)

if TYPE_CHECKING:
    from ann2neo.io.nwb.info import NwbInfo

__all__: list[str] = []


@app.command()
def demo(
    *,
    dataset: Annotated[
        str,
        typer.Option(help="Data set: digits (embedded), mnist, ... or a .npz file."),
    ] = "digits",
    out: Annotated[Path, typer.Option(help="Folder for the NWB files.")] = Path(
        "ann2neo-demo"
    ),
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of weights, labels and orders.")
    ] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the files of an earlier run.")
    ] = False,
) -> None:
    """Train three small networks, record them, and show what their spikes say."""
    load_keras()
    from ann2neo.study.demo import demo_text, run_demo

    echo(demo_text(run_demo(dataset, out, seed=seed, overwrite=overwrite), out))


@app.command("record")
def record_model(
    model: Annotated[
        Path, typer.Argument(help="A Keras model, MODEL.keras.", show_default=False)
    ],
    *,
    data: Annotated[
        Path,
        typer.Option(
            help=(
                "Stimuli: a .npz or .h5 file with x, and y, their labels, if known (or"
                " x_test and y_test, or an array for each input, by name), or .npy."
            )
        ),
    ],
    out: Annotated[Path, typer.Option(help="The NWB file to write.")],
    layer: Annotated[
        list[str] | None,
        typer.Option(
            help="Layer to record, a name, path or glob; may be repeated. [last hidden]"
        ),
    ] = None,
    threshold: Annotated[str, typer.Option(help="A number, or quantile:q.")] = "0",
    units: Annotated[
        int | None,
        typer.Option(min=1, help="Number of units of each layer, at random. [all]"),
    ] = None,
    training: Annotated[
        bool,
        typer.Option("--training", help="Run as in training: dropout and noise act."),
    ] = False,
    repeats: Annotated[
        int, typer.Option(min=1, help="How often to show all stimuli.")
    ] = 1,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Samples in a forward pass. [by size]")
    ] = None,
    progress: Annotated[
        bool | None,
        typer.Option(
            "--progress/--no-progress", help="Show a progress bar. [in a terminal]"
        ),
    ] = None,
    phase: Annotated[
        str, typer.Option(help="Name of this stretch of the recording.")
    ] = "recording",
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Seed of the order of the stimuli. [drawn]"),
    ] = None,
    shuffle: Annotated[
        bool, typer.Option(help="Show the stimuli in a random order.")
    ] = True,
    metadata: Annotated[
        Path | None, typer.Option(help="YAML with facts for the NWB file.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file.")
    ] = False,
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="Allow a model that contains Python code.")
    ] = False,
) -> None:
    """Record which units of a network spike, into an NWB file."""
    from ann2neo._files import output_path
    from ann2neo.probe.keras.model_files import check_model_file, load_model

    # What can be refused quickly comes before Keras is loaded, which takes seconds.
    output_path(out, ".nwb", overwrite=overwrite)
    check_model_file(model)
    from ann2neo.cli.stimulus_files import read_stimuli
    from ann2neo.io.nwb.metadata import checked_metadata
    from ann2neo.probe.thresholds import checked_threshold

    rule = _threshold(threshold)
    checked_threshold(rule, layer or ["last hidden layer"])
    facts = checked_metadata(metadata)
    x, y = read_stimuli(data)
    from ann2neo.io.nwb.writer import write_nwb

    load_keras()
    from ann2neo.probe.record import record

    recording = record(
        load_model(model, unsafe=unsafe),
        x,
        layers=layer or None,
        threshold=rule,
        units=units,
        labels=y,
        seed=seed,
        shuffle=shuffle,
        phase=phase,
        batch_size=batch_size,
        training=training,
        n_repeats=repeats,
        progress=False if progress is None and is_quiet() else progress,
        provenance={"model_file": model.name, "data_file": data.name},
    )
    write_nwb(recording, out, metadata=facts, overwrite=overwrite)
    echo(f"{out}: {recording!r}, seed {recording.provenance['seed']}")


def _threshold(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


@app.command()
def info(
    path: Annotated[Path, typer.Argument(help="An NWB file.", show_default=False)],
    *,
    follow_links: FollowLinks = False,
) -> None:
    """Describe the contents of an NWB file."""
    from ann2neo.io.nwb.info import nwb_info

    contents = nwb_info(path, follow_links=follow_links)
    layout = "not written by ann2neo"
    if contents.profile is not None:
        layout = f"ann2neo layout {contents.layout_version}"
    size = f"{contents.n_bytes / 1e6:.1f} MB"
    rows = {
        "file": f"{path}, {size}, NWB {contents.nwb_version}, {layout}",
        "units": f"{contents.n_units:,}, with {contents.n_spikes:,} spikes",
        **{key.replace("_", " "): value for key, value in contents.session.items()},
        "results": ", ".join(contents.analysis) or "none",
    }
    if contents.profile is not None:
        rows["phases"] = ", ".join(
            f"{name} ({n_time_bins:,} bins, {order} order)"
            for name, n_time_bins, order in contents.phases
        )
        rows["time bin"] = f"{1000 * contents.sampling_period:.15g} ms"
        rows |= {
            key.replace("_", " "): value for key, value in contents.provenance.items()
        }
    rows |= _times_text(contents)
    for name, value in rows.items():
        echo(one_line(f"{name:<24} {value}"))


def _times_text(contents: NwbInfo) -> dict[str, str]:
    """Describe spike times, observed time and tables of intervals, row by row."""
    rows = {}
    if contents.n_spikes:
        rows["spike times"] = (
            f"{contents.first_spike:.6g} .. {contents.last_spike:.6g} s"
        )
    if contents.unit_columns:
        rows["unit columns"] = ", ".join(contents.unit_columns)
    if contents.n_units:
        rows["observed"] = "not said: read it with --t-stop"
    if contents.observed:
        stretches = contents.observed
        rows["observed"] = f"{stretches[0][0]:.6g} .. {stretches[-1][1]:.6g} s"
        if len(stretches) > 1:
            rows["observed"] += f" in {len(stretches)} stretches"
        if not contents.is_observed_alike:
            rows["observed"] += ", the first unit; others differ"
    if contents.invalid:
        stretches = contents.invalid
        seconds = sum(stop - start for start, stop in stretches)
        rows["invalid times"] = f"{seconds:.6g} s in {len(stretches)} stretches"
    for table in contents.intervals:
        text = f"{table.n_rows:,} rows, {table.start:.6g} .. {table.stop:.6g} s"
        if table.n_without_end:
            text += f", {table.n_without_end:,} without an end"
        text += f"; columns: {', '.join(table.columns) or 'none'}"
        if table.labels and contents.recording is None:
            text += f"; for --label: {', '.join(table.labels)}"
        rows[f"intervals {table.name}"] = text
    return rows


@app.command("analyze")
def analyze_file(
    path: Annotated[Path, typer.Argument(help="An NWB file.", show_default=False)],
    *,
    window: Annotated[
        int | None, typer.Option(help="Bins in a counting window. [by length]")
    ] = None,
    engine: Annotated[str, typer.Option(help="fast or reference.")] = "fast",
    bin_size: BinSize = None,
    t_start: Start = None,
    t_stop: Stop = None,
    units: Units = None,
    intervals: Intervals = None,
    label: Label = None,
    follow_links: FollowLinks = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="Print one row per unit as CSV.")
    ] = False,
    append: Annotated[
        bool, typer.Option("--append", help="Write the tables into the file.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write the recording and the tables to an NWB file of ann2neo.",
            show_default=False,
        ),
    ] = None,
    metadata: Annotated[
        Path | None, typer.Option(help="YAML with facts for the file of --out.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file of --out.")
    ] = False,
) -> None:
    """Compute the statistics of every unit, and show those of the network."""
    from ann2neo._files import output_path
    from ann2neo.analysis.explain import column_descriptions
    from ann2neo.analysis.networks.summarize import summarize
    from ann2neo.analysis.networks.summary_text import network_text
    from ann2neo.analysis.units.analyze import analyze
    from ann2neo.io.nwb.analysis_tables import append_analysis
    from ann2neo.io.nwb.reader import read_nwb
    from ann2neo.io.nwb.writer import write_nwb

    if out is not None:
        output_path(out, ".nwb", overwrite=overwrite)
    options = session_options(
        bin_size, t_start, t_stop, units, intervals, label, follow_links
    )
    recording = read_nwb(path, **options)
    table = analyze(recording, window=window, engine=engine)
    network = summarize(table)
    targets = [path] if append else []
    if out is not None:
        write_nwb(recording, out, metadata=metadata, overwrite=overwrite)
        targets.append(out)
    for target in targets:
        append_analysis(target, table, column_descriptions(table, network), network)
        echo(
            f"{target}: the tables of {len(table)} units and of the network are in"
            " /analysis",
            err=True,
        )
    if csv:
        echo_csv(table)
    else:
        echo(network_text(network))


@app.command()
def validate(
    paths: Annotated[list[Path], typer.Argument(help="NWB files.", show_default=False)],
) -> None:
    """Run all validators on NWB files; exit status 1 on more than a suggestion."""
    from ann2neo.io.nwb.validation import findings_text, is_clean, validate_nwb

    findings = {path: validate_nwb(path) for path in paths}
    echo("\n".join(findings_text(*item) for item in findings.items()))
    raise typer.Exit(0 if all(map(is_clean, findings.values())) else 1)


@app.command("share")
def share_files(
    paths: Annotated[list[Path], typer.Argument(help="NWB files.", show_default=False)],
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The dandiset folder.")
    ] = Path("dandiset"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files in it.")
    ] = False,
) -> None:
    """Arrange recordings in a dandiset folder, and validate each as validate does."""
    from ann2neo.io.nwb.sharing import CONTACT_FIRST, share
    from ann2neo.io.nwb.validation import findings_text

    shared = share(paths, out, overwrite=overwrite)
    echo("\n".join(findings_text(*item) for item in shared.findings.items()))
    echo(CONTACT_FIRST)
    raise typer.Exit(0 if shared.is_clean else 1)


@app.command()
def report(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="NWB files, each a chapter of the page.", show_default=False
        ),
    ],
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The HTML file to write.")
    ] = Path("report.html"),
    bin_size: BinSize = None,
    t_start: Start = None,
    t_stop: Stop = None,
    units: Units = None,
    intervals: Intervals = None,
    label: Label = None,
    follow_links: FollowLinks = False,
    title: Annotated[
        str | None, typer.Option(help="Heading of the page.", show_default=False)
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a study to compare the recordings with.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier page.")
    ] = False,
) -> None:
    """Write one self-contained page about one or more recordings."""
    from ann2neo.report.from_files import report_files
    from ann2neo.study.results import load_results

    rows = None if study is None else load_results(study).table
    options = session_options(
        bin_size, t_start, t_stop, units, intervals, label, follow_links
    )
    page = report_files(
        paths, out, session=options, title=title, study=rows, overwrite=overwrite
    )
    echo(f"wrote {page}")
