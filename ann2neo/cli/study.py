"""``ann2neo study``: the rerun of the paper, from training to its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ann2neo.cli.application import load_keras, numbers, shares_of, words
from ann2neo.cli.executors import chosen_executor
from ann2neo.cli.options import Csv, Json, Scheduler, Workers
from ann2neo.cli.output import echo, echo_table

__all__ = ["study_app"]

study_app = typer.Typer(
    no_args_is_help=True, help="Rerun the paper: does a network generalize or memorize?"
)

_Results = Annotated[
    Path,
    typer.Argument(
        help="Folder that 'ann2neo study run --out' wrote.", show_default=False
    ),
]


_DataSetName = Annotated[str, typer.Option(help="Data set.")]
_Network = Annotated[str, typer.Option(help="MLP, CNN or DenseNet121.")]
_Width = Annotated[int, typer.Option(help="Width of the observed layer.")]
_Samples = Annotated[int, typer.Option(help="Training images of each seed.")]

_MinGain = Annotated[
    float,
    typer.Option(
        help="A network counts as memorizing where the lower 95 % bound of its accuracy"
        " on the permuted labels it was trained on, less that on held-out ones, is at"
        " least this."
    ),
]


@study_app.command("run")
def run_study_command(
    *,
    out: Annotated[
        Path, typer.Option(help="Folder for results; a run that was cut goes on there.")
    ],
    profile: Annotated[
        str, typer.Option(help="quick: all of it on digits. paper: the paper's cells.")
    ] = "paper",
    dataset: Annotated[
        str | None, typer.Option(help="Data sets, separated by commas. [the profile's]")
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="MLP, CNN, DenseNet121. [the profile's]")
    ] = None,
    width: Annotated[
        str | None, typer.Option(help="Widths of the observed layer. [the profile's]")
    ] = None,
    condition: Annotated[str | None, typer.Option(help="Conditions. [all]")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds, such as 0,1,2. [the profile's]")
    ] = None,
    max_epochs: Annotated[
        int | None,
        typer.Option(help="Maximum number of epochs per network. [the profile's]"),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            help="What to train in, float32 or mixed_bfloat16; recorded in float32."
        ),
    ] = "float32",
    workers: Workers = None,
    scheduler: Scheduler = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Stop after this time; the same command goes on. [no limit]"),
    ] = None,
    seeds_at_once: Annotated[
        int | None,
        typer.Option(
            help="Train up to this many networks that differ in their seed at once, on"
            " JAX. [8 for the MLP on an accelerator, else 1]"
        ),
    ] = None,
) -> None:
    """Train, record and analyse networks, cell by cell."""
    from ann2neo.study.plan import PROFILES, planned_cells

    cells = planned_cells(
        profile,
        datasets=words(dataset),
        networks=words(network),
        widths=numbers("width", width),
        conditions=words(condition),
        seeds=numbers("seed", seeds),
    )
    load_keras()
    from ann2neo.study import load_results, memorization, memorization_note
    from ann2neo.study.runs import run_study, unfinished

    limit = PROFILES[profile].max_epochs if max_epochs is None else max_epochs
    with chosen_executor(workers, scheduler) as executor:
        table = run_study(
            cells,
            out,
            max_epochs=limit,
            precision=precision,
            executor=executor,
            minutes=minutes,
            seeds_at_once=seeds_at_once,
        )
    echo(f"{out}: {len(table)} rows in results.csv")
    left = len(unfinished(cells, out, limit))
    if left:
        echo(
            f"{minutes:g} minutes are over, {left} of {len(cells)} networks are left;"
            " the same command goes on where it stopped"
        )
    if table.empty:
        return
    echo(memorization_note(memorization(load_results(out))))
    echo(
        f"Next: ann2neo study tables {out}, study hypotheses {out}, study indicators"
        f" {out}"
    )


@study_app.command("plan")
def study_plan(
    results: Annotated[
        Path | None,
        typer.Argument(help="Folder of results. [none: every cell is missing]"),
    ] = None,
    *,
    missing: Annotated[
        bool,
        typer.Option(
            "--missing", help="Only cells of the paper that the folder lacks."
        ),
    ] = False,
    max_epochs: Annotated[
        int | None,
        typer.Option(
            help="Maximum number of epochs of missing cells. [the networks' own]"
        ),
    ] = None,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """List the networks to train, the commands that do, and estimated hours."""
    from ann2neo import study

    if results is not None and not missing:
        planned = study.inventory(
            study.load_results(results), study.load_switches(results)
        )
        echo_table(
            planned, lambda: study.inventory_markdown(planned), csv=csv, json=json
        )
        return
    loaded = None if results is None else study.load_results(results)
    table = study.missing_cells(loaded, max_epochs)
    echo_table(table, lambda: study.missing_markdown(table), csv=csv, json=json)


@study_app.command("collect")
def study_collect(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Folders of 'ann2neo study run'.", show_default=False),
    ],
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the tables of all of them.")
    ],
) -> None:
    """Bring the finished cells of runs together in one folder of tables."""
    from ann2neo.study.results import collect_results

    table = collect_results(sources, out)
    echo(f"{out}: {len(table)} rows in results.csv")


@study_app.command("tables")
def study_tables(
    results: _Results,
    *,
    min_gain: _MinGain = 0.10,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """Show the paper's tables 1, 2 and 5, ours beside theirs."""
    from ann2neo import study

    loaded = study.load_results(results)

    def text() -> str:
        return "\n".join(
            study.table_markdown(loaded, number, min_gain) for number in study.TABLES
        )

    table = study.compare_with_paper(loaded, min_gain)
    echo_table(table, text, csv=csv, json=json)


@study_app.command("hypotheses")
def study_hypotheses(
    results: _Results,
    *,
    min_gain: _MinGain = 0.10,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """Test the paper's eight hypotheses on trained networks."""
    from ann2neo import study

    loaded, switches = study.load_results(results), study.load_switches(results)
    table = study.hypotheses(loaded, switches, min_gain=min_gain)
    complete, reached = study.without_short(loaded), None
    if len(complete.table) < len(loaded.table):
        reached = study.hypotheses(complete, switches, min_gain=min_gain)
    note = study.memorization_note(study.memorization(loaded, min_gain), min_gain)
    echo_table(
        table,
        lambda: study.hypotheses_markdown(table, reached, note),
        csv=csv,
        json=json,
    )


@study_app.command("indicators")
def study_indicators(
    results: _Results,
    *,
    split: Annotated[
        str, typer.Option(help="Samples the statistics are of, test or train.")
    ] = "test",
    min_gain: _MinGain = 0.10,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """Show how well each statistic tells memorizing from generalizing networks."""
    from ann2neo import study

    loaded = study.load_results(results)
    table = study.indicators(loaded, split, min_gain=min_gain)
    note = study.memorization_note(study.memorization(loaded, min_gain), min_gain)
    echo_table(
        table, lambda: study.indicators_markdown(table, note), csv=csv, json=json
    )


@study_app.command("dynamics")
def study_dynamics(
    *,
    out: Annotated[Path, typer.Option(help="Folder of results, or a new one.")],
    dataset: _DataSetName = "mnist",
    network: _Network = "MLP",
    width: Annotated[str, typer.Option(help="Widths of the observed layer.")] = "64",
    seeds: Annotated[str, typer.Option(help="Seeds, such as 0,1,2.")] = "0",
    true_epochs: Annotated[int, typer.Option(help="Epochs on true labels.")] = 10,
    random_epochs: Annotated[int, typer.Option(help="Epochs on random labels.")] = 100,
    retrain: Annotated[
        str, typer.Option(help="What random labels train, all or last.")
    ] = "all",
    csv: Csv = False,
    json: Json = False,
) -> None:
    """Follow firing rates batch by batch while labels switch from true to random, and
    find the switch.
    """
    load_keras()
    from ann2neo.study.dynamics import run_dynamics

    table = run_dynamics(
        out,
        dataset=dataset,
        network=network,
        widths=numbers("width", width) or [],
        seeds=numbers("seed", seeds) or [],
        true_epochs=true_epochs,
        random_epochs=random_epochs,
        retrain=retrain,
    )
    echo_table(table, lambda: table.to_string(index=False), csv=csv, json=json)


@study_app.command("populations")
def study_populations(
    *,
    out: Annotated[
        Path,
        typer.Option(
            help="CSV file of the comparison; OUT_networks.csv holds each network."
        ),
    ],
    dataset: _DataSetName = "mnist",
    network: _Network = "MLP",
    width: _Width = 64,
    samples: _Samples = 2000,
    accuracy: Annotated[
        float, typer.Option(help="Training accuracy at which both kinds stop.")
    ] = 0.99,
    seeds: Annotated[str, typer.Option(help="Seeds, such as 0,1,2.")] = "0,1,2",
    overwrite: Annotated[bool, typer.Option(help="Replace existing files.")] = False,
) -> None:
    """Compare what units do together in generalizing and memorizing networks of the
    same training accuracy.
    """
    load_keras()
    from ann2neo.study.populations import run_populations

    table = run_populations(
        out,
        dataset=dataset,
        network=network,
        width=width,
        n_samples=samples,
        accuracy=accuracy,
        seeds=numbers("seed", seeds) or [],
        overwrite=overwrite,
    )
    echo(f"{out}: {len(table)} rows")


@study_app.command("rivals")
def study_rivals(
    *,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for the networks' measures; a run that was cut goes on there."
        ),
    ],
    dataset: _DataSetName = "mnist",
    network: _Network = "MLP",
    width: _Width = 64,
    samples: _Samples = 2000,
    accuracy: Annotated[
        float,
        typer.Option(help="Accuracy on the labels trained on at which training stops."),
    ] = 0.99,
    label_noise: Annotated[
        str, typer.Option(help="Shares of images whose labels are permuted.")
    ] = "0,0.2,0.5,1",
    seeds: Annotated[str, typer.Option(help="Seeds, two or more.")] = "0,1,2,3,4",
    orders: Annotated[
        int, typer.Option(help="Random orders in which units are clamped.")
    ] = 10,
    max_epochs: Annotated[
        int, typer.Option(help="Maximum number of epochs per network.")
    ] = 5000,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """Compare firing rates, OUI, ablation and other measures as signs of memorization,
    in networks that learned labels of different noise to the same accuracy.
    """
    shares = shares_of("label noise", label_noise)
    load_keras()
    from ann2neo import study

    networks = study.run_rivals(
        out,
        dataset=dataset,
        network=network,
        width=width,
        n_samples=samples,
        accuracy=accuracy,
        label_noise=shares,
        seeds=numbers("seed", seeds) or [],
        n_orders=orders,
        max_epochs=max_epochs,
    ).networks
    table = study.rivals(networks)
    echo_table(
        table, lambda: study.rivals_markdown(table, networks), csv=csv, json=json
    )
