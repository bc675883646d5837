"""The checks of ann2neo, each in an environment of its own: ``nox -l`` lists them."""

from __future__ import annotations

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = ["3.11", "3.12", "3.13"]
# The core, which runs in a minute or two; what stands above it needs newer libraries.
CORE = ["tests/raster", "tests/recording", "tests/io", "tests/analysis/networks"]


def _install_group(session: nox.Session, name: str) -> None:
    session.install(*nox.project.dependency_groups(PROJECT, name))


@nox.session
def lint(session: nox.Session) -> None:
    """Lint, format, and the contracts about which module may import which."""
    _install_group(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-logo")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    session.install("-e", ".[test]")
    _install_group(session, "types")
    session.run("mypy", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the default tests and the examples in docstrings."""
    session.install("-e", ".[test]")
    session.run("pytest", "-q", "-n", "2", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the default tests, and fail where they cover less than the floor."""
    session.install("-e", ".[test]")
    _install_group(session, "coverage")
    report = ["--cov=ann2neo", "--cov-report=term:skip-covered"]
    session.run("pytest", "-q", "-n", "2", *report, *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """Run the slow tests: training, whole studies, kills, calibration at size."""
    session.install("-e", ".[test]")
    options = ["-m", "slow", "--dist", "loadscope", "-n", "2"]
    session.run("pytest", "-q", *options, *session.posargs)


@nox.session(python="3.11")
def oldest(session: nox.Session) -> None:
    """Run the tests of the core with the oldest versions that are allowed."""
    session.install("-c", "tests/oldest.txt", "-e", ".[test]")
    session.run("pytest", "-q", *CORE, "tests/test_shop_window.py", *session.posargs)


@nox.session
def jax(session: nox.Session) -> None:
    """Run the tests of the probe on Keras with JAX, and of training there."""
    session.install("-e", ".[test]")
    env = {"KERAS_BACKEND": "jax"}
    folders = ("tests/probe", "tests/study/jax")
    session.run("pytest", "-q", *folders, *session.posargs, env=env)
    session.run("pytest", "-q", folders[1], "-m", "slow", env=env)


@nox.session
def torch(session: nox.Session) -> None:
    """Run the tests of the probe on PyTorch, and on Keras with PyTorch."""
    session.install("-e", ".[test,torch]")
    _install_group(session, "torch")
    env = {"KERAS_BACKEND": "torch"}
    folder = "tests/probe/torch"
    session.run("pytest", "-q", folder, *session.posargs, env=env)
    session.run("pytest", "-q", folder, "-m", "slow", env=env)
    # In a process of its own: some of these tests load TensorFlow.
    session.run("pytest", "-q", "tests/probe", f"--ignore={folder}", env=env)


@nox.session
def notebooks(session: nox.Session) -> None:
    """Run the notebooks; the results stand in ``executed/``."""
    session.install("-e", ".[notebooks,torch]")
    _install_group(session, "torch")
    session.run("python", "notebooks/run.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into ``docs/_build/html``; a warning is an error."""
    session.install("-e", ".[docs]")
    options = ["-W", "--keep-going", "-n"]
    session.run("python", "-m", "sphinx", *options, "docs", "docs/_build/html")


@nox.session
def build(session: nox.Session) -> None:
    """Build the source archive and the wheel into ``dist/``, and check their pages."""
    session.install("build", "twine")
    session.run("python", "-m", "build", "--outdir", "dist", ".")
    session.run("twine", "check", "--strict", "dist/*")
