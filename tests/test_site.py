"""The site: what its pages take from the code is complete, and what they say about
files is so.
"""

import ast
import builtins
import doctest
import importlib.util
import inspect
import json
import operator
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import typer

import ann2neo
import ann2neo.report
from ann2neo.analysis.columns import TABLES
from ann2neo.analysis.table_of_statistics import CONDITIONS, NETWORK_COLUMNS, STATISTICS
from ann2neo.analysis.trials.analyze_trials import TRIAL_STATISTICS
from ann2neo.cli import app
from ann2neo.io.nwb.layout import described_columns

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NWB_PAGE = (DOCS / "nwb.md").read_text(encoding="utf-8")


def load_pages():
    spec = importlib.util.spec_from_file_location("site_pages", DOCS / "pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages = load_pages()

EXAMPLES = [name for name in ann2neo.__all__ if name != "report"]
EXAMPLES += [f"report.{name}" for name in ann2neo.report.__all__]


def test_the_reference_lists_every_public_name_once():
    """The names in the reference are those of ann2neo and of ann2neo.report,
    each once.
    """
    listed = re.findall(r"^   (\w+)$", pages.reference_page(), re.MULTILINE)
    assert sorted(listed) == sorted(
        [*(set(ann2neo.__all__) - {"report"}), *ann2neo.report.__all__]
    )


def test_a_name_of_an_unknown_module_is_refused(monkeypatch):
    """A public name whose module has no part in the reference stops the build, with its
    name.
    """
    monkeypatch.setattr(
        pages,
        "public_names",
        lambda: {"listen": "ears.left", "analyze": "analysis.units.analyze"},
    )
    with pytest.raises(ValueError, match=r"listen.*SECTIONS"):
        pages.reference_page()


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_public_name_has_an_example_that_runs(name):
    """Its own docstring has an Examples section with a prompt, and stands in a module
    whose doctests are collected.
    """
    value = operator.attrgetter(name)(ann2neo)
    text = value.__doc__ or ""
    assert re.search(r"\n\s*Examples\n\s*-+\n\s*>>> ", text)
    assert "doctest: +SKIP" not in text
    assert (ROOT / "ann2neo") in Path(inspect.getfile(value)).parents


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_needs_only_what_the_reference_says(name):
    """Names that an example uses without making them are built in, or come with the
    imports that the page shows.
    """
    given = set(dir(builtins)) | {
        "np",
        "pd",
        "pq",
        *ann2neo.__all__,
        *ann2neo.report.__all__,
    }
    assert pages.IMPORTS in pages.reference_page()
    value = operator.attrgetter(name)(ann2neo)
    for test in doctest.DocTestFinder().find(value, name, module=False):
        code = ast.parse("".join(example.source for example in test.examples))
        nodes = list(ast.walk(code))
        made = {
            node.id
            for node in nodes
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        made |= {
            alias.asname or alias.name
            for node in nodes
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        made |= {
            node.name
            for node in nodes
            if isinstance(node, ast.FunctionDef | ast.ExceptHandler) and node.name
        }
        made |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        used = {
            node.id
            for node in nodes
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        }
        assert used <= given | made, test.name


def test_every_command_is_on_its_page():
    """The page has a heading for each command and group of the command line, and names
    each of their options.
    """
    text = pages.commands_page()

    def check(command, words):
        assert f"# `{words}`" in text or words == "ann2neo"
        for option in command.params:
            for name in option.opts:
                if name.startswith("--") and "completion" not in name:
                    assert name in text
        for name, sub in getattr(command, "commands", {}).items():
            assert f"* `{name}`: {sub.help}\n" in text
            check(sub, f"{words} {name}")

    check(typer.main.get_command(app), "ann2neo")
    assert "`ann2neo study hypotheses`" in text
    assert "install-completion" not in text


def test_every_statistic_has_its_source_and_columns_on_its_page():
    """Each entry of the table has a heading, a source, its null and validity, and every
    column with its words.
    """
    text = f"{pages.unit_statistics()}\n{pages.trial_statistics()}"
    entries = (*STATISTICS, *TRIAL_STATISTICS)
    for entry, part in zip(entries, text.split("\n### ")[0:], strict=True):
        assert part.removeprefix("### ").startswith(f"`{entry.name}`\n")
        assert entry.source
        assert f"**Source**: {entry.source}" in part
        assert entry.validity in part
        assert entry.null in part
        assert ("by construction" in part or "by design" in part) == entry.tests_order
        for column in entry.columns:
            assert f"| `{column.name}` | {column.description} |" in part
    for column in CONDITIONS:
        assert (
            f"| `{column.name}` | {column.description} |" in pages.condition_columns()
        )
    for column in NETWORK_COLUMNS:
        assert f"| `{column.name}` | {column.description} |" in pages.network_columns()


def test_every_further_table_is_on_the_page_of_statistics():
    """Each function that returns a table has a heading there, and every column its
    words and its unit.
    """
    text = pages.further_tables()
    parts = dict(part.split("\n", 1) for part in text.split("### ")[1:])
    assert list(parts) == [
        f"{{py:obj}}`ann2neo.{name}`"
        for name in TABLES
        if name not in {"analyze", "summarize"}
    ]
    for name, part in parts.items():
        for column in TABLES[name.split(".")[1].rstrip("`")]:
            assert f"| `{column.name}` | {column.description} |" in part
    assert "| bit |" in text


def test_functions_of_statistics_bring_their_references():
    """Sources come from the docstrings' own References sections, whole, without the
    section after them.
    """
    text = pages.function_statistics()
    (line,) = (line for line in text.splitlines() if "`ann2neo.complexity`" in line)
    assert "Grün, S., Abeles, M. and Diesmann, M. (2008)" in line
    assert "Examples" not in line
    for name in ("selectivity", "fit_processes", "surrogate_test", "correlations"):
        assert f"`ann2neo.{name}`" in text
    defined = [line for line in text.splitlines() if line.endswith("| by definition |")]
    names = [re.search(r"`ann2neo\.(\w+)`", line)[1] for line in defined]
    assert sorted(names) == [
        "compare_patterns",
        "correlation_matrix",
        "counting_processes",
        "psth",
        "single_stimulus_overlap",
        "spike_counts",
    ]


def test_costs_are_those_of_the_benchmarks():
    """The table on scale is calculated from what was measured: a bit for each unit and
    bin, time in proportion to both, and to pairs.
    """
    constants = pages.scale_constants()
    lines = pages.scale_table().splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    seconds = {"days": 86_400, "h": 3_600, "min": 60, "s": 1, "ms": 1e-3}

    def time(text):
        number, unit = text.split()
        return float(number) * seconds[unit]

    for units, bins, bits, *times in rows:
        n_units, n_bins = (int(cell.replace(",", "")) for cell in (units, bins))
        number, unit = bits.split()
        n_bytes = float(number) * {"MB": 1e6, "GB": 1e9, "TB": 1e12}[unit]
        assert n_bytes == pytest.approx(n_units * n_bins / 8, rel=0.005)
        battery = constants["battery"] * n_units * n_bins
        pairs = constants["pairs"] * n_units * (n_units - 1) / 2 * n_bins
        expected = [battery, pairs, battery / 500, pairs / 500]
        assert [time(text) for text in times] == pytest.approx(expected, rel=0.05)
    text = (DOCS / "scale.md").read_text(encoding="utf-8")
    assert f"{1e9 * constants['battery']:.1f} ns per unit and bin" in text
    assert f"{1e12 * constants['pairs']:.2f} ps per pair and bin" in text


def test_pages_of_names_that_are_no_more_go(tmp_path):
    """What an earlier build made for a name or a notebook that is gone is removed; the
    rest stays.
    """
    pages.write_pages(tmp_path)
    kept, gone = (
        tmp_path / "api" / "ann2neo.analyze.rst",
        tmp_path / "api" / "ann2neo.listen.rst",
    )
    figure, notebook = (
        tmp_path / "api" / "ann2neo.report.plot_raster.rst",
        tmp_path / "notebooks" / "08_more.ipynb",
    )
    kept.parent.mkdir()
    for path in (kept, gone, figure, notebook):
        path.write_text("as it was", encoding="utf-8")
    pages.write_pages(tmp_path)
    assert [path.exists() for path in (kept, gone, figure, notebook)] == [
        True,
        False,
        True,
        False,
    ]
    assert sorted(path.name for path in (tmp_path / "notebooks").glob("*.ipynb")) == [
        path.name for path in pages.stored_notebooks()
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with network.nwb, written from a recorded network with all columns, and
    neo.nwb of the other profile.
    """
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(6, activation="relu", name="hidden"),
            keras.layers.Dense(2),
        ]
    )
    x = np.random.default_rng(0).normal(size=(40, 4))
    parts = [
        ann2neo.record(
            model,
            x,
            layers="hidden",
            labels=np.arange(40) % 2,
            stimulus_id=[f"sample_{i:02}" for i in range(40)],
            seed=seed,
            phase=phase,
        )
        for seed, phase in enumerate(("train", "test"))
    ]
    recording = ann2neo.Recording.concatenate(parts)
    made = tmp_path_factory.mktemp("site")
    active = np.concatenate([part.raster.to_dense().T for part in parts]).astype(
        np.float32
    )
    ann2neo.write_nwb(
        recording,
        made / "network.nwb",
        stimuli={"train": x, "test": x},
        activations={"hidden": [active]},
    )
    ann2neo.write_nwb(recording, made / "neo.nwb", profile="neo")
    units = ann2neo.analyze(recording)
    network = ann2neo.summarize(units)
    ann2neo.append_analysis(
        made / "network.nwb",
        units,
        ann2neo.column_descriptions(units, network),
        network,
    )
    return made


def test_what_the_nwb_page_places_is_there(folder):
    """Every place in the tables of the NWB page is in a file, as are the tables and
    series it names.
    """
    places = re.findall(r"^\| `(/[^`]+)`", NWB_PAGE, re.MULTILINE)
    assert len(places) >= 10
    with h5py.File(folder / "network.nwb") as file:
        assert [place for place in places if place not in file] == []
        assert {"unit_statistics", "network_statistics"} <= set(file["analysis"])
        assert "activations_hidden" in file["acquisition"]
        assert set(file["stimulus/presentation"]) == {"stimuli_test", "stimuli_train"}
        assert file["units/spike_times"].attrs["resolution"] == 0.001
        assert "general/keywords" in file
        assert "electrodes" not in file["general"]
    with h5py.File(folder / "neo.nwb") as file:
        assert "intervals/epochs" in file
        assert "intervals/trials" not in file
        assert "general/keywords" not in file


def test_the_columns_of_the_nwb_page_are_the_ones_in_the_file(folder):
    """A recorded network's file has the columns that the page's table lists, with those
    descriptions, and no others; only recurrent layers have a state.
    """
    described = {}
    with h5py.File(folder / "network.nwb") as file:
        for table in ("units", "intervals/trials", "intervals/segments"):
            for name in file[table].attrs["colnames"]:
                described[name] = file[table][name].attrs["description"]
    for name in ("spike_times", "obs_intervals", "start_time", "stop_time"):
        del described[name]
    expected = described_columns()
    assert described == {k: text for k, text in expected.items() if k != "state"}
    for name, about in expected.items():
        assert f"| `{name}` | {about} |" in pages.nwb_columns()


@pytest.mark.parametrize("tool", ["pynwb", "pynapple", "spikeinterface"])
def test_the_code_of_the_nwb_page_runs(folder, tool, tmp_path, monkeypatch):
    """The page's lines for a tool run as they stand, and give the spikes that were
    written.
    """
    (code,) = (
        code
        for code in re.findall(r"```python\n(.*?)```", NWB_PAGE, re.DOTALL)
        if tool in code
    )
    shutil.copy(folder / "network.nwb", tmp_path)
    monkeypatch.chdir(tmp_path)
    recording = ann2neo.read_nwb("network.nwb")
    bins = recording.raster.spike_bins(0)
    found = {}
    exec(code, found)  # noqa: S102
    if tool == "pynwb":
        assert np.array_equal(found["times"], recording.raster.spike_time_seconds(bins))
        assert len(found["trials"]) == 80
        assert found["segments"]["phase"].to_list() == ["train", "test"]
    elif tool == "pynapple":
        rates = found["units"]["rate"].to_numpy()
        assert rates == pytest.approx(recording.raster.spike_counts() / 0.080, rel=1e-3)
    else:
        assert np.array_equal(found["frames"], bins)


def test_the_lines_for_matlab_name_what_is_there(folder):
    """The datasets that the MATLAB lines read exist, and the index ends each unit's
    spikes.
    """
    names = re.findall(r"h5read\('network.nwb', '([^']+)'\)", NWB_PAGE)
    assert len(names) == 2
    with h5py.File(folder / "network.nwb") as file:
        times, ends = (file[name][:] for name in names)
    recording = ann2neo.read_nwb(folder / "network.nwb")
    assert np.array_equal(
        times[: ends[0]],
        recording.raster.spike_time_seconds(recording.raster.spike_bins(0)),
    )


def test_executed_notebooks_are_shown_only_with_the_cells_of_today(
    tmp_path, monkeypatch
):
    """An executed copy stands for its notebook where all cells agree; one with an older
    cell does not.
    """
    monkeypatch.setattr(pages, "EXECUTED", tmp_path)
    first, second = pages.stored_notebooks()[:2]
    notebook = json.loads(first.read_text(encoding="utf-8"))
    code = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    code["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["spikes"]}]
    (tmp_path / first.name).write_text(json.dumps(notebook), encoding="utf-8")
    older = json.loads(second.read_text(encoding="utf-8"))
    older["cells"][0]["source"] = ["# An older heading"]
    (tmp_path / second.name).write_text(json.dumps(older), encoding="utf-8")
    assert pages.executed_notebooks() == [tmp_path / first.name]
