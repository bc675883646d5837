"""What a folder of results holds, how it was made, and what of the plan is missing,
with the commands for both.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ann2neo.study.cells import Cell
from ann2neo.study.conditions import epoch_limit
from ann2neo.study.markdown import markdown_table
from ann2neo.study.plan import (
    Part,
    curve_command,
    folder_of,
    missing_curves,
    missing_parts,
    parts_of,
    plan,
    unplanned_cells,
)
from ann2neo.study.results import NETWORK_KEY, Results, stopped_short

__all__ = ["holdings_markdown", "missing_markdown"]

_HEADS = (
    "network",
    "data",
    "width",
    "condition",
    "seeds",
    "epochs",
    "stopped by",
    "training %",
    "validation %",
    "test %",
)
_LONGER = 5
_LITTLE = 0.05
_VERSIONS = ("ann2neo", "python", "numpy", "keras", "tensorflow")


def holdings_markdown(
    results: Results,
    switches: pd.DataFrame | None = None,
    matched: Mapping[str, pd.DataFrame] | None = None,
) -> str:
    """What was run: networks, seeds, commands, versions; of training curves and
    comparisons their commands.
    """
    networks = results.table.drop_duplicates(NETWORK_KEY)
    rows = []
    key = ["network", "dataset", "width", "precision"]
    for (network, dataset, width, precision), group in networks.groupby(key, sort=True):
        for condition, part in group.groupby("condition", sort=False):
            seeds = ", ".join(map(str, sorted(part["seed"])))
            epochs = _range(part["n_epochs"], "d")
            stops = ", ".join(
                f"{name} {count}"
                for name, count in (
                    part["stopped_by"].value_counts().sort_index().items()
                )
            )
            accuracies = [
                _range(100 * part[f"accuracy_{split}"], ".2f")
                for split in ("train", "validation", "test")
            ]
            marks = ["no ImageNet weights"] * (
                network == "DenseNet121" and not part["pretrained"].all()
            )
            marks += [precision] * (precision != "float32")
            name = f"{network} ({', '.join(marks)})" if marks else network
            rows.append(
                [name, dataset, width, condition, seeds, epochs, stops, *accuracies]
            )
    commands = []
    settings = list(zip(_limits(networks), networks["precision"], strict=True))
    for limit, precision in sorted(set(settings)):
        made = networks[[found == (limit, precision) for found in settings]].to_dict(
            "records"
        )
        parts = parts_of([Cell(*(row[name] for name in NETWORK_KEY)) for row in made])
        commands += [part.command(limit or None, precision) for part in _ordered(parts)]
    commands += [*_curve_commands(switches), *_matched_commands(matched or {})]
    order, window = (
        " or ".join(sorted(set(results.table["order"]))),
        _range(results.table["window"], "d"),
    )
    block = "\n".join(commands)
    return (
        f"{markdown_table(_HEADS, rows)}\nAccuracies of training and validation samples"
        " are by the labels trained on, of test samples by the true ones. Training"
        " stops at the training accuracy of the paper's cell, or at the limit of"
        " epochs. All training and all test samples were recorded, once each, in"
        f" {order} order; counts are in windows of {window}"
        f" samples.{_precisions(networks)}\n\nMade by these commands, which give the"
        " same rows again (float32 bit for bit on the same machine and"
        f" versions):\n\n```bash\n{block}\n```\n\n{_versions(results.table)}\n"
    )


def _curve_commands(switches: pd.DataFrame | None) -> list[str]:
    if switches is None:
        return []
    of_networks = switches.groupby(["network", "dataset", "width", "retrain"])["seed"]
    return [
        curve_command(network, dataset, width, sorted(set(seeds)), retrain)
        for (network, dataset, width, retrain), seeds in of_networks
    ]


def _matched_commands(matched: Mapping[str, pd.DataFrame]) -> list[str]:
    return [
        f"ann2neo study populations --out {name.replace('_networks.csv', '.csv')}"
        f" --network {first['network']} --dataset {first['dataset']} --width"
        f" {first['width']} --samples {first['n_samples']} --seeds"
        f" {','.join(map(str, sorted(set(table['seed']))))}"
        for name, table in matched.items()
        for first in table.head(1).to_dict("records")
    ]


def _limits(networks: pd.DataFrame) -> list[int]:
    """Limit of epochs that made a difference, network by network; 0 where the usual one
    would have done.
    """
    found = []
    for row in networks.to_dict("records"):
        usual, limit = (
            epoch_limit(row["network"], row["condition"]),
            row.get("max_epochs", float("nan")),
        )
        mattered = row["n_epochs"] > usual or row["stopped_by"] == "epoch limit"
        found.append(
            0 if pd.isna(limit) or limit == usual or not mattered else int(limit)
        )
    return found


def _precisions(networks: pd.DataFrame) -> str:
    mixed = sorted(networks.loc[networks["precision"] != "float32", "network"].unique())
    if not mixed:
        return ""
    return (
        f" {' and '.join(mixed)} marked mixed_bfloat16 trained in mixed precision:"
        " products of bfloat16 numbers, sums, weights and their updates in float32."
        " Accuracies and recordings of all networks are of float32."
    )


def _ordered(parts: list[Part]) -> list[Part]:
    return sorted(parts, key=lambda part: (part.network, part.dataset, part.width))


def _range(values: pd.Series, form: str) -> str:
    low, high = (format(values.agg(end), form) for end in ("min", "max"))
    return low if low == high else f"{low} to {high}"


def _versions(table: pd.DataFrame) -> str:
    known = [
        f"{name}"
        f" {', '.join(sorted(map(str, table[f'{name}_version'].dropna().unique())))}"
        for name in _VERSIONS
        if f"{name}_version" in table
    ]
    return (
        f"Versions: {'; '.join(known)}."
        if known
        else "The rows do not tell their versions."
    )


def _short_markdown(table: pd.DataFrame) -> str:
    """Networks that stopped at their limit of epochs, short of the paper's accuracy,
    with commands that go further.
    """
    networks = table.drop_duplicates(NETWORK_KEY)
    short = networks[stopped_short(networks)]
    if short.empty:
        return ""
    rows = [
        [
            *(
                row[name]
                for name in (
                    "network",
                    "dataset",
                    "width",
                    "condition",
                    "seed",
                    "n_epochs",
                )
            ),
            f"{100 * row['accuracy_train']:.2f} ({100 * row['target_accuracy']:.2f})",
            f"{100 * row['accuracy_validation']:.2f}",
        ]
        for row in short.to_dict("records")
    ]
    heads = [
        "network",
        "data",
        "width",
        "condition",
        "seed",
        "epochs",
        "training % (asked)",
        "validation %",
    ]
    ahead = short["accuracy_train"] - short["accuracy_validation"]
    little = short[(ahead < _LITTLE) & (short["condition"] != "generalizing")]
    names = ", ".join(
        f"{row.network} {row.dataset} {row.condition}" for row in little.itertuples()
    )
    block = "\n".join(_longer(short))
    return (
        "\nHere, but short of the paper's training accuracy when their limit of epochs"
        " came (marked ‡ in the tables; they count in every comparison below except"
        " those of agreement with the paper, and the hypotheses are also judged"
        f" without them):\n\n{markdown_table(heads, rows)}\n"
        + f"Not {100 * _LITTLE:.0f} percentage points better on the labels trained on"
        f" than on those held out, and so hardly memorizing: {names}.\n\n"
        * bool(names)
        + "These commands let them train for longer, in folders that are collected"
        f" after the others:\n\n```bash\n{block}\n```\n"
    )


def _longer(short: pd.DataFrame) -> list[str]:
    commands = []
    for (precision, longest), part in short.groupby(["precision", "n_epochs"]):
        made = parts_of(
            [
                Cell(*(row[name] for name in NETWORK_KEY))
                for row in part.to_dict("records")
            ]
        )
        commands += [
            each.command(_LONGER * int(longest), precision) for each in _ordered(made)
        ]
    return commands


def _precision_of(part: Part, table: pd.DataFrame) -> str:
    """What the networks of an architecture that are there were trained in, so that
    others can start from them.
    """
    known = table.loc[table["network"] == part.network, "precision"].unique()
    return str(known[0]) if len(known) == 1 else "float32"


def missing_markdown(results: Results, switches: pd.DataFrame | None) -> str:
    """Every network and training curve of the plan that is not there, with the command
    that runs it.
    """
    parts, curves = missing_parts(results.table), missing_curves(switches)
    n_missing = sum(len(part.cells) for part in parts)
    n_plan, verb = len(plan()), "is" if n_missing == 1 else "are"
    text = (
        f"{n_plan - n_missing} of the plan's {n_plan} networks are here, {n_missing}"
        f" {verb} missing.\n"
    )
    folders = sorted(
        {
            folder_of(),
            *(folder_of(None, _precision_of(part, results.table)) for part in parts),
        }
    )
    if parts or curves:
        rows = [
            [
                part.network,
                part.dataset,
                part.width,
                ", ".join(part.conditions),
                ", ".join(map(str, part.seeds)),
                len(part.cells),
                f"`{part.command(precision=_precision_of(part, results.table))}`",
            ]
            for part in parts
        ]
        rows += [
            ["training curve", "", "", "", "", "", f"`{command}`"] for command in curves
        ]
        heads = [
            "network",
            "data",
            "width",
            "missing conditions",
            "seeds",
            "networks",
            "command",
        ]
        text += f"\n{markdown_table(heads, rows)}"
        text += (
            "\nThen take the rows in, also of runs that are still at work, and write"
            f" this page anew:\n\n```bash\nann2neo study collect {' '.join(folders)}"
            " --out data/study\nann2neo study page data/study\n```\n"
        )
    else:
        text += "\nNothing is missing, and neither is a training curve.\n"
    text += _short_markdown(results.table)
    others = unplanned_cells()
    groups = others.groupby(["network", "dataset"], sort=False)["width"].agg(
        lambda widths: sorted(set(widths))
    )
    listed = "; ".join(
        f"{net} {data} {', '.join(map(str, widths))}"
        for (net, data), widths in groups.items()
    )
    return (
        text
        + f"\nNot planned, for want of computing time: {len(others)} further cells of"
        f" the paper's tables ({listed}). `ann2neo study run --out results` trains"
        " those as well.\n"
    )
