"""Which networks trained on permuted labels memorize them."""

import numpy as np
import pandas as pd
import pytest
from made_results import changed, kept, made_results

from ann2neo import InputValueError
from ann2neo.study.comparison import compare_with_paper, table_markdown
from ann2neo.study.indicators import indicators, paired_differences
from ann2neo.study.memorization import (
    gain_bound,
    memorization,
    memorization_note,
    only_memorizing,
)


def _gained(train, held_out, seeds=1):
    results = made_results(seeds=seeds, widths=(64,))
    return changed(results, accuracy_train=train, accuracy_validation=held_out)


def test_the_bound_covers_the_true_gain():
    """Of samples drawn with known accuracies, the lower bound exceeds the true gain
    about one time in forty.
    """
    rng = np.random.default_rng(0)
    above = []
    for trained, held_out in ((0.19, 0.10), (0.9, 0.1), (0.5, 0.5)):
        right = rng.binomial(1300, trained, 4000) / 1300
        other = rng.binomial(143, held_out, 4000) / 143
        bound = gain_bound(right, 1300, other, 143)
        above.append((bound > trained - held_out).mean())
    assert all(0.01 < share < 0.045 for share in above)


@pytest.mark.parametrize(
    ("train", "held_out", "memorizes"),
    [(0.16, 0.10, False), (0.22, 0.10, False), (0.26, 0.10, True), (0.5, 0.45, False)],
)
def test_a_network_memorizes_where_the_bound_of_its_gain_says_so(
    train, held_out, memorizes
):
    """1 800 samples trained on and 200 held out: a gain of 12 points is not shown to be
    10, one of 16 is.
    """
    judged = memorization(_gained(train, held_out))
    assert len(judged) == 2 + 3
    assert set(judged["memorizes"]) == {memorizes}
    assert judged["gain"].to_numpy() == pytest.approx(train - held_out)
    low = gain_bound(train, 1800, held_out, 200)
    assert judged["low"].to_numpy() == pytest.approx(float(low))


def test_the_limit_is_a_setting():
    """A gain of 12 points memorizes by a limit of 5, and not by one of 10; a limit that
    is no share is an error.
    """
    results = _gained(0.22, 0.10)
    assert memorization(results, 0.05)["memorizes"].all()
    assert not memorization(results)["memorizes"].any()
    with pytest.raises(InputValueError, match=r"min_gain must lie in .* got 10;"):
        memorization(results, 10)


def test_without_training_rows_nothing_is_guessed():
    """The number of samples stands in the row of the training split, so a table without
    it is an error.
    """
    results = made_results(seeds=1)
    with pytest.raises(InputValueError, match="keep both splits"):
        memorization(kept(results, results.table["split"] == "test"))


def test_only_networks_trained_on_permuted_labels_are_left_out():
    """Untrained and generalizing networks stay, whatever their gain."""
    left = only_memorizing(_gained(0.1, 0.1)).table
    assert set(left["condition"]) == {"random", "generalizing"}
    assert "0 of 5 networks" in memorization_note(memorization(_gained(0.1, 0.1)))
    assert paired_differences(_gained(0.1, 0.1)).empty


def test_indicators_need_networks_that_memorize():
    """Where none memorizes, no statistic is judged and the error counts them; where
    some do, only these count.
    """
    with pytest.raises(InputValueError, match="0 of 20 networks trained on permuted"):
        indicators(_gained(0.16, 0.10, seeds=4))
    results = made_results()
    failed = results.table["condition"] == "mem_retrain_all"
    some = changed(results, accuracy_train=np.where(failed, 0.5, 0.9))
    assert set(indicators(some)["n_memorizing"]) == {48, 24}


def test_tables_mark_networks_that_do_not_memorize():
    """Cells of networks that do not memorize carry a mark, and a note counts them."""
    some = made_results(seeds=1, widths=(64,))
    failed = some.table["condition"] == "mem_random_last"
    some = changed(some, accuracy_train=np.where(failed, 0.5, 0.9))
    table = compare_with_paper(some)
    marked = table.loc[table["not_memorizing"], "condition"]
    assert set(marked) == {"mem_random_last"}
    assert len(marked) == (table["condition"] == "mem_random_last").sum()
    text = table_markdown(some, 2)
    assert "- 3 of 5 networks trained on permuted labels memorize them" in text
    assert "CNN mnist mem_random_last: 1; MLP mnist mem_random_last: 1" in text
    assert "◇ ours was trained on permuted labels" in text
    whole = pd.Series(table_markdown(made_results(seeds=1), 2).splitlines())
    assert not whole.str.contains("◇").any()
