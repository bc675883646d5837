"""The golden set: what the public interface gives is what it gave when stored.

See README.md beside this file for what to do when a difference is on purpose.
"""

import golden_cases as cases
import pytest
from golden_files import (
    HERE,
    assert_same,
    stored_json,
    stored_text,
    table_differences,
    text_differences,
    tree_differences,
)


def names_in(folder, ending):
    """Names of the stored files of a folder."""
    return sorted(path.stem for path in (HERE / folder).glob(f"*{ending}"))


def test_every_public_name_has_its_signature():
    """No public name, parameter, default, member or base is gone, new or changed."""
    found, stored = cases.interface(), stored_json("interface.json")
    assert_same(tree_differences(found, stored, "interface"))


def test_every_table_is_stored():
    """The stored tables are those that are compared, none more and none less."""
    assert sorted(cases.tables()) == names_in("tables", ".csv")


@pytest.mark.parametrize("name", names_in("tables", ".csv"))
def test_table(name):
    """A table of results has its columns, dtypes and numbers."""
    found = cases.computed(cases.tables()[name])
    stored = stored_text(f"tables/{name}.csv")
    assert_same(table_differences(name, stored, found))


@pytest.mark.parametrize("name", cases.CHECKSUMS)
def test_checksums(name):
    """Rasters, folders and NWB files hold the same bits and sums."""
    found, stored = cases.CHECKSUMS[name](), stored_json(f"checksums/{name}.json")
    assert_same(tree_differences(found, stored, name))


@pytest.mark.parametrize("name", ["folders", "nwb"])
def test_stored_recordings_come_back(name):
    """The stored sums are of recordings that came back from disk as they were made."""
    for of, told in stored_json(f"checksums/{name}.json").items():
        flags = {key: value for key, value in told.items() if value in (True, False)}
        assert flags, of
        assert all(flags.values()), (of, flags)


def test_explanations():
    """Every column of a table is explained in the stored words."""
    found, stored = cases.explanations(), stored_json("explanations.json")
    assert_same(tree_differences(found, stored, "explanations"))


def test_help():
    """The command line has its commands, options and words."""
    found = cases.helps()
    assert sorted(found) == names_in("help", ".txt")
    for name, text in found.items():
        assert_same(text_differences(name, stored_text(f"help/{name}.txt"), text))


@pytest.mark.slow
@pytest.mark.parametrize("name", cases.STUDY_TEXTS)
def test_study(name):
    """A command of the study prints the same words and numbers from the same rows."""
    stored = stored_text(f"printed/{name}.txt")
    assert_same(text_differences(name, stored, cases.study_text(name)))
    stored = stored_text(f"printed/{name}.csv")
    assert_same(table_differences(name, stored, cases.study_table(name)))
