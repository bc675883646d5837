"""``ann2neo validate`` and ``ann2neo share``: what is published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ann2neo.cli.options import Files, OnlyJson, Overwrite
from ann2neo.cli.output import echo, echo_json

if TYPE_CHECKING:
    from ann2neo.io.nwb.validation import Finding

__all__ = ["share_files", "validate"]


def validate(paths: Files, *, json: OnlyJson = False) -> None:
    """Run all validators on NWB files; exit status 1 on more than a suggestion."""
    from ann2neo.io.nwb.validation import is_clean, validate_nwb

    findings = {path: validate_nwb(path) for path in paths}
    _echo_findings(findings, json=json)
    raise typer.Exit(0 if all(map(is_clean, findings.values())) else 1)


def share_files(
    paths: Files,
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The dandiset folder.")
    ] = Path("dandiset"),
    overwrite: Overwrite = False,
    json: OnlyJson = False,
) -> None:
    """Arrange recordings in a dandiset folder, and validate each as validate does."""
    from ann2neo.io.nwb.sharing import CONTACT_FIRST, share

    shared = share(paths, out, overwrite=overwrite)
    _echo_findings(shared.findings, json=json)
    if not json:
        echo(CONTACT_FIRST)
    raise typer.Exit(0 if shared.is_clean else 1)


def _echo_findings(findings: Mapping[Path, list[Finding]], *, json: bool) -> None:
    from ann2neo.io.nwb.validation import findings_text, is_clean

    if json:
        echo_json(
            [
                {"file": path, "is_clean": is_clean(found), "findings": found}
                for path, found in findings.items()
            ]
        )
    else:
        echo("\n".join(findings_text(*item) for item in findings.items()))
