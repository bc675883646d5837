"""Findings of the validators of NWB and DANDI about a file, in one list."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ann2neo._checks import path_of
from ann2neo.errors import FileFormatError, MissingExtraError
from ann2neo.io.nwb.hdf5_items import check_nothing_outside
from ann2neo.io.nwb.hdf5_tables import open_nwb
from ann2neo.io.nwb.reader import is_ours, read_nwb

__all__ = ["SEVERITIES", "Finding", "findings_text", "is_clean", "validate_nwb"]

SEVERITIES = ("suggestion", "violation", "error")
"""From what may stay as it is to what makes a file unusable for some program."""

_SEVERITY_OF = {
    "BEST_PRACTICE_SUGGESTION": "suggestion",
    "BEST_PRACTICE_VIOLATION": "violation",
    "CRITICAL": "error",
    "PYNWB_VALIDATION": "error",
    "ERROR": "error",
    "HINT": "suggestion",
    "INFO": "suggestion",
    "WARNING": "violation",
}
_METADATA = "write it with metadata (on the command line --metadata FILE): "
_REMEDIES = {
    "check_experimenter_exists": _METADATA + "'experimenter: \"Last, First\"'",
    "check_institution": _METADATA + "'institution: ...'",
    "check_experiment_description": _METADATA + "'experiment_description: ...'",
    "check_keywords": (
        "profile='neo' has none, because neo.io.NWBIO fails on them; write"
        " profile='dandi' to share"
    ),
    "check_subject_exists": (
        _METADATA + "'subject_id: ...', 'species: ...', 'sex: ...', 'age: ...'"
    ),
    "check_subject_species_form": _METADATA + "'species: Genus species'",
    "check_single_row": (
        "nothing to do: a recording of one segment or one presentation has a table of"
        " one row"
    ),
    "check_units_resolution_is_valid": (
        "nothing to do if bins are meant to be that long; up to 10 ms are not reported"
    ),
    "check_negative_spike_times": (
        "nothing to do if the recording really starts before its time 0"
    ),
    "check_table_time_columns_are_not_negative": (
        "nothing to do if the recording really starts before its time 0"
    ),
    "check_spike_times_not_in_unobserved_interval": (
        "leave out what lies in no segment, with recording.select(phase=...)"
    ),
    "check_column_binary_capability": "give the column as booleans",
    "check_data_orientation": (
        "nothing to do if there really are more units than presentations"
    ),
    "DANDI.NON_DANDI_FILENAME": "let ann2neo share name the file",
    "DANDI.NON_DANDI_FOLDERNAME": "let ann2neo share place the file",
    "schema": "write the file again, or report it to whoever wrote it",
    "integrity": "get an undamaged copy",
}
_CORRECT = "correct it in the file, with pynwb or the program that wrote it"
_REMEDIES_OF_OTHERS = {
    "check_single_row": "nothing to do if there really is one row",
    "DANDI.NON_DANDI_FILENAME": _REMEDIES["DANDI.NON_DANDI_FILENAME"],
    "DANDI.NON_DANDI_FOLDERNAME": _REMEDIES["DANDI.NON_DANDI_FOLDERNAME"],
    "integrity": _REMEDIES["integrity"],
    "check_data_orientation": "nothing to do if time really is the first axis",
}
"""Remedies for files that ann2neo did not write, which cannot just be written again."""
_TRACEBACK = "Traceback (most recent call last)"
_FAILED = "could not run"
_FAILED_REMEDY = (
    "the file is probably older than this validator, or not of NWB's form: convert it"
    " to a current version of NWB with the program that wrote it"
)


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """What one validator reports about a file.

    Parameters
    ----------
    severity : {"suggestion", "violation", "error"}
        How bad it is.
    source : {"ann2neo", "schema", "inspector", "dandi"}
        The validator.
    check : str
        Name of the check.
    place : str
        Path of the object in the file.
    message : str
        What is wrong.
    remedy : str
        What to do about it.
    """

    severity: str
    source: str
    check: str
    place: str
    message: str
    remedy: str


def is_clean(findings: Iterable[Finding]) -> bool:
    """Return whether no finding is worse than a suggestion.

    Examples
    --------
    >>> is_clean([])
    True
    """
    return all(finding.severity == "suggestion" for finding in findings)


def findings_text(path: Path, findings: Iterable[Finding]) -> str:
    """Format the findings about one file as lines of text."""
    listed = list(findings)
    state = "clean" if is_clean(listed) else "NOT clean"
    noun = "finding" if len(listed) == 1 else "findings"
    lines = [f"{path}: {state}, {len(listed)} {noun}"]
    for finding in listed:
        lines.append(
            f"  {finding.severity} ({finding.source}, {finding.check}) at"
            f" {finding.place}: {finding.message}"
        )
        lines.append(f"    remedy: {finding.remedy}")
    return "\n".join(lines)


def validate_nwb(path: str | os.PathLike[str]) -> list[Finding]:
    """Validate an NWB file with all validators.

    These are the schema, the NWB Inspector in both configurations, DANDI, and the
    checksums of files that ann2neo wrote.

    Parameters
    ----------
    path : path
        An NWB file of any origin. DANDI's rule for names is applied if a folder above
        it holds ``dandiset.yaml``.

    Returns
    -------
    list of Finding
        Worst first; empty if there are none. A clean file is valid for DANDI, but DANDI
        need not accept it: it decides about simulated data case by case.

    Raises
    ------
    FileFormatError
        If there is no such file.
    MissingExtraError
        If the validators are not installed.

    Examples
    --------
    >>> import ann2neo, tempfile
    >>> recording = ann2neo.Recording.from_activations([[1.0, 0.0], [1.0, 1.0]])
    >>> facts = {
    ...     "experimenter": "Noether, Emmy",
    ...     "institution": "University of Somewhere",
    ... }
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     findings = validate_nwb(
    ...         ann2neo.write_nwb(recording, f"{folder}/network.nwb", facts)
    ...     )

    The table of phases has one row:

    >>> [(finding.severity, finding.check) for finding in findings]
    [('suggestion', 'check_single_row')]
    """
    file = path_of(path)
    for module in ("nwbinspector", "dandi"):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise MissingExtraError(
                f"validating needs {module}, which is not installed; pip install"
                " 'ann2neo[validate]'"
            ) from error
    if not file.is_file():
        raise FileFormatError(f"{file} is not a file; give the path of one .nwb file")
    try:
        with open_nwb(file) as handle:
            check_nothing_outside(handle)
            is_own = is_ours(handle)
        if is_own:
            read_nwb(file)
    except FileFormatError as error:
        return [_finding("error", "ann2neo", "integrity", "/", str(error))]
    findings = [
        finding
        for source, validator in _VALIDATORS.items()
        for finding in _run(source, validator, file)
    ]
    if not is_own:
        findings = [
            dataclasses.replace(f, remedy=_remedy_of_others(f)) for f in findings
        ]
    # DANDI runs schema and inspector, too: of findings of the same check and place, the
    # worst is kept, which is the last one here.
    findings.sort(key=lambda f: SEVERITIES.index(f.severity))
    worst = {(f.check, f.place, f.message): f for f in findings}
    return sorted(
        worst.values(),
        key=lambda f: (-SEVERITIES.index(f.severity), f.check, f.place),
    )


def _run(
    source: str, validator: Callable[[Path], Iterator[Finding]], file: Path
) -> list[Finding]:
    """Return what a validator finds, also where it fails on a file."""
    findings = []
    try:
        # Of warnings of the libraries that read the file, the findings say more.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # One by one, so that what it found before it failed is kept.
            for finding in validator(file):
                findings.append(finding)  # noqa: PERF402
    except Exception as error:  # noqa: BLE001
        message = f"{type(error).__name__}: {error}"
        findings.append(_finding("error", source, _FAILED, "/", message))
    return findings


def _finding(
    severity: str, source: str, check: str, place: str, message: str
) -> Finding:
    remedy = _REMEDIES.get(check, f"see what {source} says about {check}")
    if check == _FAILED or check.startswith("During "):
        # A validator tells in its own way that it failed: as the name of a check.
        check, remedy = _FAILED, _FAILED_REMEDY
    if _TRACEBACK in message:
        message = message.strip().splitlines()[-1]
    return Finding(severity, source, check, place, " ".join(message.split()), remedy)


def _remedy_of_others(finding: Finding) -> str:
    if finding.check == _FAILED:
        return finding.remedy
    return _REMEDIES_OF_OTHERS.get(finding.check, _CORRECT)


def _schema(file: Path) -> Iterator[Finding]:
    import pynwb

    for error in pynwb.validate(path=str(file)):
        yield _finding(
            "error",
            "schema",
            "schema",
            str(error.location or "/"),
            f"{error.name}: {error.reason}",
        )


def _inspector(file: Path) -> Iterator[Finding]:
    import nwbinspector

    # DANDI's configuration rates some checks differently. `_schema` checks the schema.
    for config in (None, nwbinspector.load_config("dandi")):
        for message in nwbinspector.inspect_nwbfile(
            nwbfile_path=str(file), skip_validate=True, config=config
        ):
            yield _finding(
                _SEVERITY_OF[message.importance.name],
                "inspector",
                str(message.check_function_name),
                message.location or "/",
                message.message,
            )


def _dandi(file: Path) -> Iterator[Finding]:
    from dandi.files import dandi_file

    above = file.resolve().parents
    folder = next((p for p in above if (p / "dandiset.yaml").is_file()), None)
    logger = logging.getLogger("dandi")
    level = logger.level
    # It logs its findings as well as returning them.
    logger.setLevel(logging.CRITICAL)
    try:
        results: list[Any] = dandi_file(
            file.resolve(), dandiset_path=folder
        ).get_validation_errors()
    finally:
        logger.setLevel(level)
    for result in results:
        severity = "suggestion"
        if result.severity:
            severity = _SEVERITY_OF.get(result.severity.name, "error")
        check = result.id.removeprefix("NWBI.")
        yield _finding(
            severity,
            "dandi",
            check,
            next(iter(dict(result.within_asset_paths or {}).values()), "/"),
            result.message or check,
        )


_VALIDATORS = {"schema": _schema, "inspector": _inspector, "dandi": _dandi}
