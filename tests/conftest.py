"""A skip that fires in continuous integration (``CI=true``) is a failure there.

CI installs all that the tests need. A test whose reason to skip holds in CI as well is
marked ``may_skip``. Tests in the folder ``torch`` need PyTorch, which is too large for
the default tests, and whose compiler crashes in a process with TensorFlow. They are
collected with ``KERAS_BACKEND=torch`` where it is installed; CI has a step for them.
Those in the folder ``study/jax`` are collected with ``KERAS_BACKEND=jax``.
"""

import importlib.util
import os

import pytest
from hypothesis import settings

# How long an example takes depends on what else the machine does.
settings.register_profile("ann2neo", deadline=None)
settings.load_profile("ann2neo")

_HAS_TORCH = importlib.util.find_spec("torch") is not None
_ON_TORCH = os.environ.get("KERAS_BACKEND") == "torch"
collect_ignore = [] if _HAS_TORCH and _ON_TORCH else ["probe/torch"]
if os.environ.get("KERAS_BACKEND") != "jax":
    collect_ignore.append("study/jax")

_REMEDY = "Install what it needs, or mark the test may_skip if the reason holds in CI."


def _fail_if_skipped(report):
    if report.skipped and os.environ.get("CI") == "true":
        _path, _line, reason = report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped in CI. {reason}. {_REMEDY}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """A module that is skipped as a whole, by importorskip."""
    del collector
    return _fail_if_skipped((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item):
    """A test that is skipped, by a mark or while it runs."""
    report = yield
    if hasattr(report, "wasxfail") or item.get_closest_marker("may_skip"):
        return report
    return _fail_if_skipped(report)
