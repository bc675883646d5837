"""Metadata of a recording that only the user knows: who, where, and shared as what."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ann2neo.errors import InputTypeError, InputValueError

__all__ = ["Metadata", "checked_metadata", "id_text"]

SYNTHETIC = "http://purl.obolibrary.org/obo/NCBITaxon_32630"
"""Species "synthetic construct" in the taxonomy that DANDI uses."""

ID = re.compile(r"[A-Za-z0-9+-]+")
"""Ids of subjects and sessions, which are parts of file names at DANDI."""
_EXPERIMENTER = re.compile(r"[^,\s][^,]*, [^,]*[^,\s]")
_DOI = re.compile(
    r"(?:https?://(?:dx\.)?doi\.org/|doi:)?(10\.\d{4,9}/\S+)", re.IGNORECASE
)
_SPECIES = re.compile(
    r"[A-Z][a-z]+ [a-z-]+|https?://purl\.obolibrary\.org/obo/NCBITaxon_\d+"
)
_AGE = re.compile(r"P(?=.)(\d+(\.\d+)?Y)?(\d+(\.\d+)?M)?(\d+(\.\d+)?W)?(\d+(\.\d+)?D)?")
_LISTS = ("experimenter", "keywords", "related_publications")


@dataclasses.dataclass(frozen=True)
class Metadata:
    """Metadata of an NWB file that a recording does not have.

    Parameters
    ----------
    experimenter : list of str, optional
        Names as "Last, First".
    institution, lab : str, optional
        Where it was done.
    session_description, experiment_description : str, optional
        What was done; described from the recording if not given.
    session_id : str, optional
        Letters, digits, ``-`` and ``+``.
    keywords : list of str, optional
        Added to "simulated data" and "artificial neural network".
    related_publications : list of str, optional
        DOIs, written as https://doi.org/...
    notes, protocol, stimulus_notes : str, optional
        Free text.
    source_script, source_script_file_name : str, optional
        The text of the script that made the recording, and its name; both or neither.
    subject_id : str, optional
        Letters, digits, ``-`` and ``+``; the model's name and its weights' hash if not
        given.
    species : str, optional
        A Latin binomial or an NCBITaxon address; "synthetic construct" for networks if
        not given.
    strain, subject_description : str, optional
        Architecture and description of the network, or of the animal.
    sex : {"M", "F", "U", "O"}, optional
        U for networks if not given.
    age : str, optional
        ISO 8601 duration; P0D for networks if not given.
    """

    experimenter: tuple[str, ...] = ()
    institution: str | None = None
    lab: str | None = None
    session_description: str | None = None
    experiment_description: str | None = None
    session_id: str | None = None
    keywords: tuple[str, ...] = ()
    related_publications: tuple[str, ...] = ()
    notes: str | None = None
    protocol: str | None = None
    stimulus_notes: str | None = None
    source_script: str | None = None
    source_script_file_name: str | None = None
    subject_id: str | None = None
    species: str | None = None
    strain: str | None = None
    subject_description: str | None = None
    sex: str | None = None
    age: str | None = None


def checked_metadata(
    metadata: Metadata | Mapping[str, Any] | str | Path | None,
) -> Metadata:
    """Check metadata given as a mapping or a YAML file.

    Parameters
    ----------
    metadata : Metadata, mapping, path of a YAML file, or None
        Keys as the fields of `Metadata`.

    Returns
    -------
    Metadata
        The metadata, with publications as addresses.

    Raises
    ------
    InputTypeError, InputValueError
        If the file cannot be read, a key is unknown, or a value does not have the form
        that NWB and DANDI require.

    Examples
    --------
    >>> checked_metadata(
    ...     {"experimenter": "Noether, Emmy", "related_publications": "10.1000/182"}
    ... ).related_publications
    ('https://doi.org/10.1000/182',)
    """
    if metadata is None:
        return Metadata()
    if isinstance(metadata, (str, Path)):
        metadata = _from_yaml(Path(metadata))
    if isinstance(metadata, Metadata):
        metadata = {
            key: value
            for key, value in dataclasses.asdict(metadata).items()
            if value not in {None, ()}
        }
    if not isinstance(metadata, Mapping):
        raise InputTypeError(
            "metadata must be a mapping or the path of a YAML file, got"
            f" {type(metadata).__name__}; for example {{'experimenter': 'Last, First',"
            " 'institution': '...'}"
        )
    names = [field.name for field in dataclasses.fields(Metadata)]
    for key in metadata:
        if key not in names:
            raise InputValueError(
                f"unknown metadata {key!r}; use one of {', '.join(names)}"
            )
    fields: dict[str, Any] = {
        key: _texts(value, key) if key in _LISTS else _text(value, key)
        for key, value in metadata.items()
        if value is not None
    }
    checked = Metadata(**fields)
    _check_forms(checked)
    return dataclasses.replace(
        checked,
        related_publications=tuple(
            _DOI.sub(r"https://doi.org/\1", doi) for doi in checked.related_publications
        ),
    )


class _PlainLoader(yaml.SafeLoader):
    """Safe, and without aliases: ten lines of them can stand for a billion values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it holds an alias; write the value itself")
        return super().compose_node(parent, index)


def _from_yaml(path: Path) -> Any:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _PlainLoader) or {}  # noqa: S506
    except OSError as error:
        raise InputValueError(
            f"the metadata file {path} cannot be read ({error.strerror}); check path"
            " and permission"
        ) from error
    # Bytes that are no text, dates that do not exist and endless numbers are
    # ValueErrors, deep nests the other.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Of YAML's own errors the short part, without the lines of the file.
        reason = getattr(error, "problem", None) or error
        mark = getattr(error, "problem_mark", None)
        place = "" if mark is None else f" in line {mark.line + 1}"
        raise InputValueError(
            f"the metadata file {path} is not valid YAML{place} ({reason}); write 'key:"
            " value' lines"
        ) from error
    if not isinstance(content, Mapping):
        raise InputValueError(
            f"the metadata file {path} holds no keys; write 'key: value' lines, such as"
            " 'experimenter: Last, First'"
        )
    return content


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise InputTypeError(
            f"metadata {key!r} must be text, got {value!r} ({type(value).__name__});"
            " put it in quotes"
        )
    text = value.strip()
    if not text or "\0" in text:
        raise InputValueError(
            f"metadata {key!r} must not be empty or hold NUL, got {value!r}; leave it"
            " out instead"
        )
    return text


def _texts(value: Any, key: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return (_text(value, key),)
    if not isinstance(value, (list, tuple)):
        raise InputTypeError(
            f"metadata {key!r} must be text or a list of texts, got {value!r}"
            f" ({type(value).__name__}); write it as ['...', '...']"
        )
    return tuple(_text(item, key) for item in value)


def _check_forms(metadata: Metadata) -> None:
    forms: list[tuple[str, str | None, re.Pattern[str], str]] = [
        (
            "session_id",
            metadata.session_id,
            ID,
            "letters, digits, '-' and '+' only, for example 'run-3'",
        ),
        (
            "subject_id",
            metadata.subject_id,
            ID,
            "letters, digits, '-' and '+' only, for example 'mlp64-seed0'",
        ),
        (
            "species",
            metadata.species,
            _SPECIES,
            f"a Latin binomial or an NCBITaxon address such as {SYNTHETIC}",
        ),
        (
            "sex",
            metadata.sex,
            re.compile("[MFUO]"),
            "one of M, F, U (unknown), O (other)",
        ),
        ("age", metadata.age, _AGE, "an ISO 8601 duration such as P90D"),
        *(
            ("experimenter", name, _EXPERIMENTER, "'Last, First'")
            for name in metadata.experimenter
        ),
        *(
            ("related_publications", doi, _DOI, "DOIs such as 10.1000/182")
            for doi in metadata.related_publications
        ),
    ]
    for key, value, form, rule in forms:
        if value is not None and not form.fullmatch(value):
            raise InputValueError(f"metadata {key!r} must be {rule}, got {value!r}")
    if (metadata.source_script is None) != (metadata.source_script_file_name is None):
        raise InputValueError(
            "metadata 'source_script' and 'source_script_file_name' belong together,"
            " got only one; give both"
        )


def id_text(text: str) -> str:
    """Replace what ids must not contain by hyphens."""
    return re.sub(r"[^A-Za-z0-9+-]+", "-", text).strip("-")
