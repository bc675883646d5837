"""Skips in continuous integration: they fail, unless a test is marked for them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CASES = """
import pytest

def test_stops():
    pytest.skip("no browser")

@pytest.mark.skipif(True, reason="no disk")
def test_by_mark():
    pass

@pytest.mark.may_skip("needs root")
def test_allowed():
    pytest.skip("no root")

@pytest.mark.xfail
def test_expected_to_fail():
    assert False
"""
MODULE = 'import pytest\npytest.importorskip("no_such_module", reason="no library")\n'


@pytest.mark.parametrize(
    ("ci", "failed", "skipped"),
    [("true", {"no browser", "no disk", "no library"}, 1), ("", set(), 4)],
)
def test_a_skip_fails_in_ci_alone(tmp_path, ci, failed, skipped):
    """With CI=true each skipped test or module fails with its reason, but for a test
    marked may_skip; elsewhere none does.
    """
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    may_skip: may\n")
    (tmp_path / "test_cases.py").write_text(CASES)
    (tmp_path / "test_module.py").write_text(MODULE)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
            "--continue-on-collection-errors",
        ],
        cwd=tmp_path,
        env={**os.environ, "CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert bool(done.returncode) == bool(failed)
    assert f"{skipped} skipped, 1 xfailed" in done.stdout
    for reason in ("no browser", "no disk", "no library"):
        assert (f"{reason}. Install what it needs" in done.stdout) == (reason in failed)
