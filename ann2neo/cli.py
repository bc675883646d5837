"""The command line: ``ann2neo --help``.

Heavy libraries are imported inside the commands that need them, so that help and small commands are quick.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ann2neo.errors import Ann2NeoError, FileFormatError, InputValueError

__all__ = ["app"]


class _Commands(TyperGroup):
    """Commands whose expected errors are one line and exit status 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Ann2NeoError as error:
            typer.echo(f"ann2neo: {error}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Commands,
    name="ann2neo",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Record artificial neural networks like brains: Keras activations as Neo spike trains and NWB files.",
)
datasets_app = typer.Typer(no_args_is_help=True, help="Data sets to train and record networks on.")
app.add_typer(datasets_app, name="datasets")
study_app = typer.Typer(no_args_is_help=True, help="Rerun the paper: does a network generalize or memorize?")
app.add_typer(study_app, name="study")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ann2neo {version('ann2neo')}")
        raise typer.Exit


@app.callback()
def _prepare(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what was asked for, and errors.")] = False,
) -> None:
    del show_version
    # TensorFlow greets every user with its build options; it reads this before it is loaded.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("ann2neo").setLevel(logging.WARNING if quiet else logging.INFO)


def _load_keras() -> None:
    """Load the modules that need Keras, without the greeting that TensorFlow writes whatever its settings say."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            importlib.import_module("ann2neo.probe.recorder")
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@app.command()
def demo(
    *,
    dataset: Annotated[str, typer.Option(help="Data set: digits (embedded), mnist, ... or a .npz file.")] = "digits",
    out: Annotated[Path, typer.Option(help="Folder for the NWB files.")] = Path("ann2neo-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seeds weights, labels and orders.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files of an earlier run.")] = False,
) -> None:
    """Train three small networks, record them, and show what their spikes say."""
    _load_keras()
    from ann2neo.study.demo import demo_text, run_demo

    typer.echo(demo_text(run_demo(dataset, out, seed=seed, overwrite=overwrite), out))


@app.command("record")
def record_model(
    model: Annotated[Path, typer.Argument(help="A Keras model, MODEL.keras.", show_default=False)],
    *,
    data: Annotated[Path, typer.Option(help="A .npz file: x, the stimuli, and y, their labels, if known.")],
    out: Annotated[Path, typer.Option(help="The NWB file to write.")],
    layer: Annotated[
        list[str] | None, typer.Option(help="Layer to record, a name, path or glob; may be repeated. [last hidden]")
    ] = None,
    threshold: Annotated[str, typer.Option(help="A number, or quantile:q.")] = "0",
    phase: Annotated[str, typer.Option(help="Name of this stretch of the recording.")] = "recording",
    seed: Annotated[int | None, typer.Option(min=0, help="Seeds the order of the stimuli. [drawn]")] = None,
    shuffle: Annotated[bool, typer.Option(help="Show the stimuli in a random order.")] = True,
    metadata: Annotated[Path | None, typer.Option(help="YAML with facts for the NWB file.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    unsafe: Annotated[bool, typer.Option("--unsafe", help="Allow a model that carries Python code.")] = False,
) -> None:
    """Record which units of a network spike, into an NWB file."""
    from ann2neo.io.output import refuse_existing

    refuse_existing(out, overwrite=overwrite)
    from ann2neo.io.metadata import checked_metadata

    facts = checked_metadata(metadata)
    x, y = _stimuli(data)
    from ann2neo.io.nwb_writer import write_nwb

    _load_keras()
    from ann2neo.probe.model_files import load_model
    from ann2neo.probe.recorder import record

    recording = record(
        load_model(model, unsafe=unsafe),
        x,
        layers=layer or None,
        threshold=_threshold(threshold),
        labels=y,
        seed=seed,
        shuffle=shuffle,
        phase=phase,
        provenance={"model_file": model.name, "data_file": data.name},
    )
    write_nwb(recording, out, metadata=facts, overwrite=overwrite)
    typer.echo(f"{out}: {recording!r}, seed {recording.provenance['seed']}")


def _stimuli(path: Path) -> tuple[Any, Any]:
    import zipfile

    import numpy as np

    if not path.is_file():
        raise InputValueError(f"there is no file {path}; save the stimuli with numpy.savez('{path}', x=x, y=y)")
    try:
        with np.load(path, allow_pickle=False) as file:
            if "x" not in file:
                raise FileFormatError(f"{path} holds {', '.join(file) or 'nothing'}; it must hold x, and y if known")
            return file["x"], file.get("y")
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        if isinstance(error, FileFormatError):
            raise
        msg = f"{path} is not a NumPy .npz file of plain arrays ({error}); save one with numpy.savez"
        raise FileFormatError(msg) from error


def _threshold(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


@app.command()
def info(path: Annotated[Path, typer.Argument(help="An NWB file.", show_default=False)]) -> None:
    """Say what an NWB file holds."""
    from ann2neo.io.nwb_info import nwb_info

    found = nwb_info(path)
    ours = "not written by ann2neo" if found.profile is None else f"ann2neo layout {found.layout_version}"
    rows = {
        "file": f"{path}, {found.n_bytes / 1e6:.1f} MB, NWB {found.nwb_version}, {ours}",
        "units": f"{found.n_units:,}, with {found.n_spikes:,} spikes",
        **{key.replace("_", " "): value for key, value in found.session.items()},
        "results": ", ".join(found.analysis) or "none",
    }
    recording = found.recording
    if recording is not None:
        phases = [f"{p.phase} ({p.n_time_bins:,} bins, {p.order} order)" for p in recording.iter_phases()]
        rows["phases"] = ", ".join(phases)
        rows["time bin"] = f"{recording.sampling_period.item():g} ms"
        rows["presentations"] = f"{len(recording.presentations):,}: {', '.join(recording.presentations)}"
        rows |= {key.replace("_", " "): value for key, value in recording.provenance.items()}
    for name, value in rows.items():
        typer.echo(f"{name:<24} {value}")


@app.command("analyze")
def analyze_file(
    path: Annotated[Path, typer.Argument(help="An NWB file.", show_default=False)],
    *,
    window: Annotated[int | None, typer.Option(help="Bins in a counting window. [by length]")] = None,
    engine: Annotated[str, typer.Option(help="fast or reference.")] = "fast",
    bin_size: Annotated[float | None, typer.Option(help="Time bin in ms, for files that are not ours.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print every unit's row as CSV.")] = False,
    append: Annotated[bool, typer.Option("--append", help="Write the tables into the file.")] = False,
) -> None:
    """Compute the statistics of every unit, and show those of the network."""
    import quantities as pq

    from ann2neo.analysis.battery import analyze
    from ann2neo.analysis.explanations import column_descriptions
    from ann2neo.analysis.networks import summarize
    from ann2neo.analysis.readout import network_text
    from ann2neo.io.nwb_analysis import append_analysis
    from ann2neo.io.nwb_reader import read_nwb

    recording = read_nwb(path, bin_size=None if bin_size is None else bin_size * pq.ms)
    units = analyze(recording, window=window, engine=engine)
    network = summarize(units)
    if append:
        append_analysis(path, units, column_descriptions(units, network), network)
        typer.echo(f"{path}: the tables of {len(units)} rows and of the network are in /analysis", err=True)
    typer.echo(units.to_csv(index=False) if csv else network_text(network), nl=not csv)


@app.command()
def validate(paths: Annotated[list[Path], typer.Argument(help="NWB files.", show_default=False)]) -> None:
    """Ask every validator about NWB files; exit status 1 if there is more than a suggestion."""
    from ann2neo.io.validation import findings_text, is_clean, validate_nwb

    found = {path: validate_nwb(path) for path in paths}
    typer.echo("\n".join(findings_text(path, findings) for path, findings in found.items()))
    raise typer.Exit(0 if all(map(is_clean, found.values())) else 1)


@app.command("share")
def share_files(
    paths: Annotated[list[Path], typer.Argument(help="NWB files.", show_default=False)],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The dandiset folder.")] = Path("dandiset"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files in it.")] = False,
) -> None:
    """Lay recordings out as a dandiset folder and validate each; exit status as that of validate."""
    from ann2neo.io.sharing import CONTACT_FIRST, share
    from ann2neo.io.validation import findings_text

    shared = share(paths, out, overwrite=overwrite)
    typer.echo("\n".join(findings_text(path, findings) for path, findings in shared.findings.items()))
    typer.echo(CONTACT_FIRST)
    raise typer.Exit(0 if shared.is_clean else 1)


@app.command()
def report(
    paths: Annotated[list[Path], typer.Argument(help="NWB files, each a chapter of the page.", show_default=False)],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The HTML file to write.")] = Path("report.html"),
    bin_size: Annotated[
        float | None, typer.Option(help="Time bin in ms, for files that ann2neo did not write.", show_default=False)
    ] = None,
    title: Annotated[str | None, typer.Option(help="Heading of the page.", show_default=False)] = None,
    study: Annotated[
        Path | None, typer.Option(help="Folder of a study; shows where recordings lie in it.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier page.")] = False,
) -> None:
    """Write one self-contained page about one or more recordings."""
    from ann2neo.report.files import report_files
    from ann2neo.study.results import load_results

    rows = None if study is None else load_results(study).table
    page = report_files(paths, out, bin_size_ms=bin_size, title=title, study=rows, overwrite=overwrite)
    typer.echo(f"wrote {page}")


@datasets_app.command("list")
def list_datasets() -> None:
    """List the data sets, and where each would come from."""
    from ann2neo.study.datasets import status_of_datasets

    for name, status in status_of_datasets():
        typer.echo(f"{name:<14} {status}")


@datasets_app.command("fetch")
def fetch_dataset(name: Annotated[str, typer.Argument(help="Name of the data set, as in 'datasets list'.")]) -> None:
    """Get a data set, check it, and keep it in the cache."""
    from ann2neo.study.datasets import load_dataset

    data = load_dataset(name)
    typer.echo(f"{data.name}: {len(data.x_train)} training and {len(data.x_test)} test samples, from {data.source}")


_Results = Annotated[Path, typer.Argument(help="Folder that 'ann2neo study run --out' wrote.", show_default=False)]
_Csv = Annotated[bool, typer.Option("--csv", help="Print CSV instead of Markdown.")]


@study_app.command("run")
def run_study_command(
    *,
    out: Annotated[Path, typer.Option(help="Folder for results; a run that was cut goes on there.")],
    profile: Annotated[str, typer.Option(help="quick: all of it on digits. paper: the paper's cells.")] = "paper",
    dataset: Annotated[str | None, typer.Option(help="Data sets, separated by commas. [the profile's]")] = None,
    network: Annotated[str | None, typer.Option(help="MLP, CNN, DenseNet121. [the profile's]")] = None,
    width: Annotated[str | None, typer.Option(help="Widths of the observed layer. [the profile's]")] = None,
    condition: Annotated[str | None, typer.Option(help="Conditions. [all]")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds, such as 0,1,2. [the profile's]")] = None,
    max_epochs: Annotated[int | None, typer.Option(help="Most epochs a network. [the profile's]")] = None,
    precision: Annotated[
        str, typer.Option(help="What to train in, float32 or mixed_bfloat16; recorded in float32.")
    ] = "float32",
) -> None:
    """Train, record and analyse networks, cell by cell."""
    from ann2neo.study.cells import PROFILES, planned_cells

    cells = planned_cells(
        profile,
        datasets=_words(dataset),
        networks=_words(network),
        widths=_numbers("width", width),
        conditions=_words(condition),
        seeds=_numbers("seed", seeds),
    )
    _load_keras()
    from ann2neo.study.runs import run_study

    limit = PROFILES[profile].max_epochs if max_epochs is None else max_epochs
    table = run_study(cells, out, max_epochs=limit, precision=precision)
    typer.echo(f"{out}: {len(table)} rows in results.csv")
    typer.echo(f"Next: ann2neo study tables {out}, study hypotheses {out}, study indicators {out}")


@study_app.command("collect")
def study_collect(
    sources: Annotated[list[Path], typer.Argument(help="Folders of 'ann2neo study run'.", show_default=False)],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the tables of all of them.")],
) -> None:
    """Bring finished cells of runs together, rows of older versions made anew from their recordings."""
    from ann2neo.study.collect import collect_results

    table = collect_results(sources, out)
    typer.echo(f"{out}: {len(table)} rows in results.csv")


@study_app.command("page")
def study_page(
    results: Annotated[Path, typer.Argument(help="Folder that 'study collect' wrote.", show_default=False)],
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail if the page is not that of its rows.")
    ] = False,
) -> None:
    """Write README.md and figures of a folder of results: every number beside the paper's."""
    from ann2neo.study.page import check_page, write_page

    if check:
        check_page(results)
        typer.echo(f"{results}: page and figures follow from the rows")
    else:
        typer.echo(f"wrote {', '.join(str(path) for path in write_page(results))}")


@study_app.command("tables")
def study_tables(results: _Results, *, csv: _Csv = False) -> None:
    """Show the paper's tables 1, 2 and 5, ours beside theirs."""
    from ann2neo.study.paper_tables import TABLES, compare_with_paper, table_markdown
    from ann2neo.study.results import load_results

    found = load_results(results)
    if csv:
        typer.echo(compare_with_paper(found).to_csv(index=False), nl=False)
    else:
        typer.echo("\n".join(table_markdown(found, number) for number in TABLES), nl=False)


@study_app.command("hypotheses")
def study_hypotheses(results: _Results, *, csv: _Csv = False) -> None:
    """Test the paper's eight hypotheses on trained networks."""
    from ann2neo.study.hypotheses import findings_table, hypotheses_markdown, judge_hypotheses
    from ann2neo.study.results import load_results, load_switches

    findings = judge_hypotheses(load_results(results), load_switches(results))
    typer.echo(findings_table(findings).to_csv(index=False) if csv else hypotheses_markdown(findings), nl=False)


@study_app.command("indicators")
def study_indicators(
    results: _Results,
    *,
    split: Annotated[str, typer.Option(help="Samples the statistics are of, test or train.")] = "test",
    csv: _Csv = False,
) -> None:
    """Show how well each statistic tells memorizing from generalizing networks."""
    from ann2neo.study.indicators import indicators, indicators_markdown
    from ann2neo.study.results import load_results

    table = indicators(load_results(results), split)
    typer.echo(table.to_csv(index=False) if csv else indicators_markdown(table), nl=False)


@study_app.command("report")
def study_report(
    results: _Results,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The HTML file to write.")] = Path("study.html"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier page.")] = False,
) -> None:
    """Write one self-contained page about the study's networks."""
    from ann2neo.report.study_page import write_study_report
    from ann2neo.study.hypotheses import findings_table, judge_hypotheses
    from ann2neo.study.results import load_results, load_switches

    found = load_results(results)
    tables = {"Hypotheses": findings_table(judge_hypotheses(found, load_switches(results)))}
    typer.echo(f"wrote {write_study_report(found.table, out, tables=tables, overwrite=overwrite)}")


@study_app.command("dynamics")
def study_dynamics(
    *,
    out: Annotated[Path, typer.Option(help="Folder of results, or a new one.")],
    dataset: Annotated[str, typer.Option(help="Data set.")] = "mnist",
    network: Annotated[str, typer.Option(help="MLP, CNN or DenseNet121.")] = "MLP",
    width: Annotated[str, typer.Option(help="Widths of the observed layer.")] = "64",
    seeds: Annotated[str, typer.Option(help="Seeds, such as 0,1,2.")] = "0",
    true_epochs: Annotated[int, typer.Option(help="Epochs on true labels.")] = 10,
    random_epochs: Annotated[int, typer.Option(help="Epochs on random labels.")] = 100,
    retrain: Annotated[str, typer.Option(help="What random labels train, all or last.")] = "all",
) -> None:
    """Follow firing rates batch by batch while labels switch from true to random, and find the switch."""
    _load_keras()
    from ann2neo.study.dynamics import run_dynamics

    table = run_dynamics(
        out,
        dataset=dataset,
        network=network,
        widths=_numbers("width", width) or [],
        seeds=_numbers("seed", seeds) or [],
        true_epochs=true_epochs,
        random_epochs=random_epochs,
        retrain=retrain,
    )
    typer.echo(table.to_string(index=False))


@study_app.command("populations")
def study_populations(
    *,
    out: Annotated[Path, typer.Option(help="CSV file of the comparison; OUT_networks.csv holds each network.")],
    dataset: Annotated[str, typer.Option(help="Data set.")] = "mnist",
    network: Annotated[str, typer.Option(help="MLP, CNN or DenseNet121.")] = "MLP",
    width: Annotated[int, typer.Option(help="Width of the observed layer.")] = 64,
    samples: Annotated[int, typer.Option(help="Training images of each seed.")] = 2000,
    accuracy: Annotated[float, typer.Option(help="Training accuracy at which both kinds stop.")] = 0.99,
    seeds: Annotated[str, typer.Option(help="Seeds, such as 0,1,2.")] = "0,1,2",
    overwrite: Annotated[bool, typer.Option(help="Replace existing files.")] = False,
) -> None:
    """Compare what units do together in generalizing and memorizing networks of the same training accuracy."""
    _load_keras()
    from ann2neo.study.populations import run_populations

    table = run_populations(
        out,
        dataset=dataset,
        network=network,
        width=width,
        n_samples=samples,
        accuracy=accuracy,
        seeds=_numbers("seed", seeds) or [],
        overwrite=overwrite,
    )
    typer.echo(f"{out}: {len(table)} rows")


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def _numbers(name: str, text: str | None) -> list[int] | None:
    try:
        return None if text is None else [int(word) for word in _words(text) or []]
    except ValueError as error:
        raise InputValueError(f"a {name} must be a whole number, several separated by commas, got {text!r}") from error
