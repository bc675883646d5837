"""Findings of validators, dandiset folders, and the commands that show them."""

import shutil

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import ann2neo
from ann2neo.cli import app
from ann2neo.errors import FileFormatError, InputValueError, OutputExistsError
from ann2neo.io.nwb.validation import Finding, is_clean
from ann2neo.testing import make_recording


def test_findings_name_severity_check_place_and_remedy(network, tmp_path):
    """A file without metadata has two suggestions, each with its remedy, and is still
    clean.
    """
    path = ann2neo.write_nwb(network, tmp_path / "a.nwb")
    findings = ann2neo.validate_nwb(path)
    assert [finding.check for finding in findings] == [
        "check_experimenter_exists",
        "check_institution",
    ]
    assert {
        (finding.severity, finding.source, finding.place) for finding in findings
    } == {("suggestion", "inspector", "/")}
    assert "--metadata FILE): 'experimenter: \"Last, First\"'" in findings[0].remedy
    assert is_clean(findings)


@pytest.mark.slow
def test_the_neo_profile_lacks_keywords_only(network, metadata, tmp_path):
    """The neo profile gets one suggestion for what NWBIO cannot read; its remedy is the
    other profile.
    """
    (finding,) = ann2neo.validate_nwb(
        ann2neo.write_nwb(network, tmp_path / "a.nwb", metadata, profile="neo")
    )
    assert (finding.severity, finding.check) == ("suggestion", "check_keywords")
    assert "profile='dandi'" in finding.remedy


def broken_species(handle):
    handle["general/subject/species"][()] = "artificial neural network"


def seconds_for_bins(handle):
    handle["units/spike_times"].attrs["resolution"] = 1.0


def missing_field(handle):
    del handle["session_description"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("breakage", "severity", "check"),
    [
        (broken_species, "error", "check_subject_species_form"),
        (seconds_for_bins, "violation", "check_units_resolution_is_valid"),
        (missing_field, "error", "schema"),
    ],
)
def test_validators_find_what_was_broken(
    network, metadata, tmp_path, breakage, severity, check
):
    """A file broken in one place has a finding that names it, and is not clean."""
    path = ann2neo.write_nwb(network, tmp_path / "a.nwb", metadata)
    with h5py.File(path, "a") as handle:
        breakage(handle)
    findings = ann2neo.validate_nwb(path)
    assert (severity, check) in {
        (finding.severity, finding.check) for finding in findings
    }
    assert not is_clean(findings)


def test_a_damaged_file_is_a_finding_and_a_missing_one_an_error(network, tmp_path):
    """Damage is reported like any other finding; a path that leads nowhere is
    an error.
    """
    path = ann2neo.write_nwb(network, tmp_path / "a.nwb")
    path.write_bytes(path.read_bytes()[:20_000])
    (finding,) = ann2neo.validate_nwb(path)
    assert (finding.severity, finding.check) == ("error", "integrity")
    with pytest.raises(FileFormatError, match="is not a file; give the path"):
        ann2neo.validate_nwb(tmp_path / "b.nwb")


@pytest.mark.slow
def test_a_dandiset_folder_is_named_as_dandi_wants(
    network, network_maker, metadata, tmp_path
):
    """Files of one subject get session ids from their identifiers, those of others do
    not, and all are clean.
    """
    other = network_maker(4, 100, seed=3)
    paths = [
        ann2neo.write_nwb(network, tmp_path / "a.nwb", metadata),
        ann2neo.write_nwb(other, tmp_path / "b.nwb", metadata),
        ann2neo.write_nwb(
            other,
            tmp_path / "c.nwb",
            {**metadata, "subject_id": "mlp64", "session_id": "run-1"},
        ),
    ]
    shared = ann2neo.share(paths, tmp_path / "set")
    names = [str(path.relative_to(tmp_path / "set")) for path in shared.findings]
    assert names == [
        f"sub-tiny-abcdef01/sub-tiny-abcdef01_ses-{network.identifier[:8]}.nwb",
        f"sub-tiny-abcdef01/sub-tiny-abcdef01_ses-{other.identifier[:8]}.nwb",
        "sub-mlp64/sub-mlp64_ses-run-1.nwb",
    ]
    assert shared.is_clean
    assert all(findings == [] for findings in shared.findings.values())
    with pytest.raises(OutputExistsError, match="exists already"):
        ann2neo.share(paths, tmp_path / "set")


@pytest.mark.slow
def test_names_that_dandi_refuses_are_found(network, metadata, tmp_path):
    """A file of another name in a dandiset folder is an error; its remedy is share."""
    shared = ann2neo.share(
        [ann2neo.write_nwb(network, tmp_path / "a.nwb", metadata)], tmp_path / "set"
    )
    (path,) = shared.findings
    wrong = path.with_name("resnet_v2.nwb")
    shutil.move(path, wrong)
    found = {finding.check: finding for finding in ann2neo.validate_nwb(wrong)}
    assert found["DANDI.NON_DANDI_FILENAME"].severity == "error"
    assert "ann2neo share" in found["DANDI.NON_DANDI_FILENAME"].remedy


def test_what_cannot_be_shared_is_told(network, tmp_path):
    """No file, the same file twice, or one without a subject is an error."""
    path = ann2neo.write_nwb(network, tmp_path / "a.nwb")
    with pytest.raises(InputValueError, match="at least one NWB file"):
        ann2neo.share([], tmp_path / "set")
    with pytest.raises(
        InputValueError, match=r"would all be named .*different 'session_id'"
    ):
        ann2neo.share([path, path], tmp_path / "set")
    bare = make_recording(np.eye(3))
    with pytest.raises(
        FileFormatError, match="has no subject_id, and DANDI names files by it"
    ):
        ann2neo.share([ann2neo.write_nwb(bare, tmp_path / "b.nwb")], tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_severities_rank():
    """Only suggestions leave a file clean."""
    findings = [
        Finding(severity, "inspector", "c", "/", "m", "r")
        for severity in ("suggestion", "violation", "error")
    ]
    assert [is_clean([finding]) for finding in findings] == [True, False, False]


@pytest.mark.slow
def test_the_command_validate_says_clean_and_sets_the_exit_status(
    network, metadata, tmp_path
):
    """Clean files exit with 0 and say so; one that is not exits with 1 and shows the
    remedy.
    """
    good = ann2neo.write_nwb(network, tmp_path / "good.nwb", metadata)
    bad = ann2neo.write_nwb(network, tmp_path / "bad.nwb", metadata)
    with h5py.File(bad, "a") as handle:
        broken_species(handle)
    done = CliRunner().invoke(app, ["validate", str(good)])
    assert (done.exit_code, done.output) == (0, f"{good}: clean, 0 findings\n")
    done = CliRunner().invoke(app, ["validate", str(bad)])
    assert done.exit_code == 1
    assert "NOT clean" in done.output
    assert "remedy: " in done.output
    done = CliRunner().invoke(app, ["validate", str(tmp_path / "none.nwb")])
    assert done.exit_code == 1
    assert "is not a file" in done.output


@pytest.mark.slow
def test_the_command_share_says_to_contact_dandi_first(network, metadata, tmp_path):
    """Sharing says that valid is not accepted."""
    path = ann2neo.write_nwb(network, tmp_path / "a.nwb", metadata)
    done = CliRunner().invoke(app, ["share", str(path), "--out", str(tmp_path / "set")])
    assert done.exit_code == 0
    assert "contact them first" in done.output
    assert "DANDI-valid does not mean that they are accepted" in done.output
    assert (tmp_path / "set" / "sub-tiny-abcdef01" / "sub-tiny-abcdef01.nwb").is_file()
