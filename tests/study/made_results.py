"""Results made by rules, for tests whose answer is known."""

from itertools import product

import numpy as np
import pandas as pd

from ann2neo.study.results import ROW_KEY, Results

RATES = {
    "random": 0.5,
    "generalizing": 0.6,
    "mem_retrain_last": 0.2,
    "mem_random_last": 0.2,
    "mem_retrain_all": 0.2,
}
FACTS = {
    "accuracy_train": 0.9,
    "accuracy_validation": 0.5,
    "accuracy_test": 0.5,
    "n_epochs": 9,
    "max_epochs": 4000,
    "stopped_by": "accuracy",
    "target_accuracy": 0.9,
    "precision": "float32",
    "pretrained": False,
}
N_UNITS = 40
N_SAMPLES = {"train": 2000, "test": 400}


def made_results(
    rate=lambda row: RATES[row["condition"]],
    cv=lambda _: 50.0,
    rejected=lambda _: 0.0,
    by_split=lambda _: 0.0,
    *,
    noise=0.003,
    seeds=4,
    widths=(64, 128, 256),
    datasets=("mnist",),
):
    """Results whose means follow rules, with a little noise per network."""
    rng = np.random.default_rng(0)
    rows, units = [], []
    for dataset, network, width, seed, condition in product(
        datasets, ("MLP", "CNN"), widths, range(seeds), RATES
    ):
        if network == "MLP" and condition == "mem_retrain_all":
            continue
        row = {
            "dataset": dataset,
            "network": network,
            "width": width,
            "condition": condition,
            "seed": seed,
            **FACTS,
        }
        mean = rate(row) + noise * rng.normal()
        spread = cv(row) + 100 * noise * rng.normal()
        for split in ("train", "test"):
            shown = mean
            if split == "test":
                shown += by_split(row) + noise * rng.normal() / 10
            values = {
                "n_time_bins": N_SAMPLES[split],
                "mean_firing_rate": shown,
                "cv_firing_rate_percent": spread,
                "mean_fano_factor": 1 - shown,
                "fano_rejected_share": rejected(row) + abs(noise * rng.normal()),
            }
            rows.append({**row, "split": split, **values})
            units.append(np.clip(shown + 0.1 * rng.normal(size=N_UNITS), 0, 1))
    table = pd.DataFrame(rows)
    unit_rates = table.loc[table.index.repeat(N_UNITS), ROW_KEY].assign(
        unit=np.tile(np.arange(N_UNITS), len(rows)), firing_rate=np.concatenate(units)
    )
    return Results(table, unit_rates.reset_index(drop=True), {})


def changed(results, **columns):
    """The same results with other columns in their table."""
    return Results(results.table.assign(**columns), results.unit_rates, {})


def kept(results, rows):
    """The same results with some rows of their table only."""
    return Results(results.table[rows], results.unit_rates, {})
