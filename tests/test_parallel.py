"""Work on blocks in threads."""

import itertools
import os
import threading
import time

import pytest

from ann2neo._parallel import map_blocks, n_workers


def test_results_come_in_the_order_of_the_blocks():
    """A slow first block holds its successors back, and none is lost."""

    def slow_first(block):
        time.sleep(0.05 if block == 0 else 0)
        return 10 * block

    assert list(map_blocks(slow_first, range(50))) == [10 * i for i in range(50)]


def test_few_blocks_are_drawn_ahead():
    """Of endless blocks, no more are drawn than a few per worker beyond what was
    taken.
    """
    drawn = itertools.count()
    results = map_blocks(lambda block: block, drawn)
    assert list(itertools.islice(results, 5)) == [0, 1, 2, 3, 4]
    assert next(drawn) <= 5 + 3 * n_workers()
    results.close()


def test_an_error_is_raised_where_its_result_would_be():
    """Results before a failing block come; then its error does, and no thread stays."""

    def fails_at_three(block):
        if block == 3:
            raise ZeroDivisionError
        return block

    results = map_blocks(fails_at_three, range(1000))
    assert list(itertools.islice(results, 3)) == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not [t for t in threading.enumerate() if t.name.startswith("ann2neo_")]


@pytest.mark.parametrize("blocks", [[], [7]])
def test_no_block_and_one_block_need_no_thread(blocks):
    """The caller's own thread works on a single block."""
    threads = list(map_blocks(lambda _: threading.current_thread(), blocks))
    assert threads == [threading.current_thread()] * len(blocks)


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="only Linux limits a process to cores"
)
def test_a_process_limited_to_one_core_has_one_worker():
    """Cores that a scheduler does not give this process do not count."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert n_workers() == 1
    finally:
        os.sched_setaffinity(0, allowed)
