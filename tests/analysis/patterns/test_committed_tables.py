"""The tables in data/patterns hold what their README says, and no impossible number."""

from pathlib import Path

import pandas as pd
import pytest

FOLDER = Path(__file__).parents[3] / "data" / "patterns"
KEYS = {
    "codes": ["width", "seed", "epochs", "split"],
    "unfamiliar": ["familiar", "seed", "unfamiliar"],
    "indicator": ["n_images", "width", "condition", "seed", "split"],
    "published": ["statistic", "split", "width"],
}


def table(name):
    return pd.read_csv(FOLDER / f"{name}.csv")


def test_every_table_is_in_the_readme():
    """Each file is listed, and each has its keys once."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert {path.stem for path in FOLDER.glob("*.csv")} == set(KEYS)
    for name, key in KEYS.items():
        assert f"| `{name}.csv` |" in text
        assert not table(name).duplicated(key).any()


@pytest.mark.parametrize("name", ["codes", "indicator"])
def test_no_number_exceeds_what_rates_allow(name):
    """Also after rounding to six digits, indicators, entropies and redundancies stay
    within their limits.
    """
    rows = table(name)
    assert (rows["pattern_entropy"] <= rows["pattern_entropy_ceiling"] + 1e-4).all()
    assert (rows["pattern_entropy"] <= rows["pattern_entropy_of_rates"] + 1e-4).all()
    share = rows["unique_patterns"] / rows["n_time_bins"]
    assert (rows["redundancy"] - (1 - share)).abs().max() < 1e-5
    if name == "indicator":
        oui = rows["overfitting_underfitting_indicator"]
        ceiling = rows["overfitting_underfitting_indicator_ceiling"]
        assert (oui <= ceiling + 1e-5).all()


def test_what_is_published_has_a_number_of_ours():
    """Every published number stands beside two trained networks of that width."""
    codes = table("codes")
    for row in table("published").itertuples():
        ours = codes[
            (codes["width"] == row.width)
            & (codes["split"] == row.split)
            & (codes["epochs"] == 6)
        ]
        assert ours[row.statistic].notna().sum() == 2


def test_areas_are_of_every_pair_of_data_sets():
    """Three familiar data sets, two networks each, beside the two others and noise."""
    rows = table("unfamiliar")
    assert (rows.groupby(["familiar", "seed"]).size() == 3).all()
    assert len(rows) == 18
    for column in ("auroc", "auroc_of_rates", "auroc_of_softmax"):
        assert rows[column].between(0, 1).all()
