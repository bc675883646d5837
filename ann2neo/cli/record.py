"""``ann2neo record``: a saved network and stimuli become an NWB file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ann2neo.cli.application import load_keras
from ann2neo.cli.options import Metadata, OnlyJson, Overwrite, Progress, shows_progress
from ann2neo.cli.output import echo, echo_json
from ann2neo.errors import InputValueError

__all__ = ["record_model"]


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
    out: Annotated[Path, typer.Option("--out", "-o", help="The NWB file to write.")],
    layer: Annotated[
        list[str] | None,
        typer.Option(
            help="Layer to record, a name, path or glob; may be repeated. [last hidden]"
        ),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            help="A number, or quantile:q; repeated, one for each --layer. [0]"
        ),
    ] = None,
    units: Annotated[
        int | None,
        typer.Option(min=1, help="Number of units of each layer, at random. [all]"),
    ] = None,
    time_axis: Annotated[
        str | None,
        typer.Option(
            help=(
                "Axis of the outputs whose steps are time bins, 1 for (batch, step,"
                " unit), or calls. [steps are units]"
            ),
        ),
    ] = None,
    lengths: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Steps of each stimulus, as a .npy file or one number per line; needs"
                " --time-axis. [what masks say, or all]"
            ),
            show_default=False,
        ),
    ] = None,
    emission: Annotated[
        str,
        typer.Option(
            help="threshold, or spikes drawn from activations: bernoulli, poisson."
        ),
    ] = "threshold",
    presentations: Annotated[
        Path | None,
        typer.Option(
            help=(
                "CSV with columns of your own, one row per stimulus, such as file"
                " names; a column stimulus_id names the stimuli."
            ),
            show_default=False,
        ),
    ] = None,
    predictions: Annotated[
        bool | None,
        typer.Option(
            "--predictions/--no-predictions",
            help="Record the class that is predicted. [if there are labels]",
        ),
    ] = None,
    training: Annotated[
        bool,
        typer.Option("--training", help="Run as in training: dropout and noise act."),
    ] = False,
    eager: Annotated[
        bool,
        typer.Option("--eager", help="Run layer by layer, not compiled; slow."),
    ] = False,
    repeats: Annotated[
        int, typer.Option(min=1, help="How often to show all stimuli.")
    ] = 1,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Samples in a forward pass. [by size]")
    ] = None,
    progress: Progress = None,
    phase: Annotated[
        str, typer.Option(help="Name of this stretch of the recording.")
    ] = "recording",
    sampling_period: Annotated[
        float, typer.Option(help="Length of a time bin in ms.")
    ] = 1.0,
    t_start: Annotated[float, typer.Option(help="Start of the first bin in s.")] = 0.0,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Seed of the order of the stimuli. [drawn]"),
    ] = None,
    shuffle: Annotated[
        bool | None,
        typer.Option(
            "--shuffle/--no-shuffle",
            help=(
                "Show the stimuli in a random order. [unless sequences go on from"
                " batch to batch]"
            ),
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Keep the spikes in this folder, from where the same command goes on"
                " after an interruption; give a seed."
            ),
            show_default=False,
        ),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(
            help=(
                "Record one part of the stimuli, such as 3/16, into --folder; the part"
                " that completes them writes the NWB file. Give a seed."
            ),
            show_default=False,
        ),
    ] = None,
    metadata: Metadata = None,
    profile: Annotated[
        str, typer.Option(help="dandi, or neo for neo.io.NWBIO.")
    ] = "dandi",
    overwrite: Overwrite = False,
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="Allow a model that contains Python code.")
    ] = False,
    json: OnlyJson = False,
) -> None:
    """Record which units of a network spike, into an NWB file."""
    from ann2neo._files import output_path
    from ann2neo.probe.keras.model_files import check_model_file, load_model

    # What can be refused quickly comes before Keras is loaded, which takes seconds.
    output_path(out, ".nwb", overwrite=overwrite)
    check_model_file(model)
    import quantities as pq

    from ann2neo._checks import one_of
    from ann2neo.cli.stimulus_files import (
        read_lengths,
        read_presentations,
        read_stimuli,
    )
    from ann2neo.io.nwb.checks import check_times
    from ann2neo.io.nwb.layout import PROFILES
    from ann2neo.io.nwb.metadata import checked_metadata
    from ann2neo.io.nwb.writer import write_nwb
    from ann2neo.probe.emission import checked_emission
    from ann2neo.probe.steps import checked_time_axis
    from ann2neo.probe.thresholds import checked_rule
    from ann2neo.raster import SpikeRaster

    one_of(profile, PROFILES, "profile")
    shown = _part(part, folder)
    times = {"sampling_period": sampling_period * pq.ms, "t_start": t_start * pq.s}
    check_times(SpikeRaster.from_dense([[False]], **times), profile)
    rules = [checked_rule(_number(text), "the layer") for text in threshold or ["0"]]
    axis: Any = _whole(time_axis)
    checked_time_axis(axis)
    rule = rules[0] if len(rules) == 1 else rules
    drawn = checked_emission(emission, threshold or 0.0)
    n_steps = read_lengths(lengths)
    facts = checked_metadata(metadata)
    x, y = read_stimuli(data)
    names, own = read_presentations(presentations)
    bar = shows_progress(progress)
    load_keras()
    from ann2neo.probe.record import record
    from ann2neo.recording import Recording
    from ann2neo.recording.parts import missing_parts

    recording = record(
        load_model(model, unsafe=unsafe),
        x,
        layers=layer or None,
        threshold=rule if threshold else 0.0,
        units=units,
        time_axis=axis,
        lengths=n_steps,
        emission=drawn,
        labels=y,
        stimulus_id=names,
        presentations=own,
        predictions=predictions,
        seed=seed,
        shuffle=shuffle,
        phase=phase,
        batch_size=batch_size,
        training=training,
        n_repeats=repeats,
        eager=eager,
        **times,
        progress=bar,
        provenance={"model_file": model.name, "data_file": data.name},
        out=folder,
        part=shown,
    )
    if shown is not None and folder is not None:
        missing, n = missing_parts(folder)
        if missing:
            echo(f"{folder}: part {shown[0]} of {n} is there, {len(missing)} are not")
            return
        recording = Recording.open(folder)
    write_nwb(
        recording,
        out,
        metadata=facts,
        profile=profile,
        overwrite=overwrite,
        progress=bar,
    )
    if json:
        echo_json(
            {
                "file": out,
                "n_units": recording.n_units,
                "n_spikes": recording.raster.spike_counts().sum(),
                "n_time_bins": recording.n_time_bins,
                "n_presentations": len(recording.presentations),
                "phases": recording.phases.to_dict("records"),
                "seed": recording.provenance["seed"],
            }
        )
    else:
        echo(f"{out}: {recording!r}, seed {recording.provenance['seed']}")


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _part(text: str | None, folder: Path | None) -> tuple[int, int] | None:
    if text is None:
        return None
    number, _, n = text.partition("/")
    if not (number.isdecimal() and n.isdecimal()):
        raise InputValueError(f"--part is k/n, such as 3/16, got {text!r}")
    if folder is None:
        raise InputValueError(
            "--part needs --folder, the same folder for all parts, where they meet"
        )
    return int(number), int(n)


def _whole(text: str | None) -> int | str | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return text
