"""``ann2neo info``: what an NWB file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ann2neo.cli.options import File, OnlyJson
from ann2neo.cli.output import echo, echo_json, one_line
from ann2neo.cli.sessions import FollowLinks

if TYPE_CHECKING:
    from ann2neo.io.nwb.info import NwbInfo

__all__ = ["info"]


def info(
    path: File,
    *,
    follow_links: FollowLinks = False,
    json: OnlyJson = False,
) -> None:
    """Describe the contents of an NWB file."""
    from ann2neo.io.nwb.info import nwb_info

    contents = nwb_info(path, follow_links=follow_links)
    if json:
        echo_json(contents)
        return
    layout = "not written by ann2neo"
    if contents.profile is not None:
        layout = f"ann2neo layout {contents.layout_version}"
    size = f"{contents.n_bytes / 1e6:.1f} MB"
    rows = {
        "file": f"{path}, {size}, NWB {contents.nwb_version}, {layout}",
        "units": f"{contents.n_units:,}, with {contents.n_spikes:,} spikes",
        **{key.replace("_", " "): value for key, value in contents.session.items()},
        "results": ", ".join(contents.analysis) or "none",
    }
    if contents.profile is not None:
        rows["phases"] = ", ".join(
            f"{name} ({n_time_bins:,} bins, {order} order)"
            for name, n_time_bins, order in contents.phases
        )
        rows["time bin"] = f"{1000 * contents.sampling_period:.15g} ms"
        rows |= {
            key.replace("_", " "): value for key, value in contents.provenance.items()
        }
    rows |= _times_text(contents)
    for name, value in rows.items():
        echo(one_line(f"{name:<24} {value}"))


def _times_text(contents: NwbInfo) -> dict[str, str]:
    """Describe spike times, observed time and tables of intervals, row by row."""
    rows = {}
    if contents.n_spikes:
        rows["spike times"] = (
            f"{contents.first_spike:.6g} .. {contents.last_spike:.6g} s"
        )
    if contents.unit_columns:
        rows["unit columns"] = ", ".join(contents.unit_columns)
    if contents.n_units:
        rows["observed"] = "not said: read it with --t-stop"
    if contents.observed:
        stretches = contents.observed
        rows["observed"] = f"{stretches[0][0]:.6g} .. {stretches[-1][1]:.6g} s"
        if len(stretches) > 1:
            rows["observed"] += f" in {len(stretches)} stretches"
        if not contents.is_observed_alike:
            rows["observed"] += ", the first unit; others differ"
    if contents.invalid:
        stretches = contents.invalid
        seconds = sum(stop - start for start, stop in stretches)
        rows["invalid times"] = f"{seconds:.6g} s in {len(stretches)} stretches"
    for table in contents.intervals:
        text = f"{table.n_rows:,} rows, {table.start:.6g} .. {table.stop:.6g} s"
        if table.n_without_end:
            text += f", {table.n_without_end:,} without an end"
        text += f"; columns: {', '.join(table.columns) or 'none'}"
        if table.labels and contents.recording is None:
            text += f"; for --label: {', '.join(table.labels)}"
        rows[f"intervals {table.name}"] = text
    return rows
