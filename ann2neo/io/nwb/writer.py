"""Recordings into NWB files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ann2neo._checks import one_of
from ann2neo._files import complete_file, output_path
from ann2neo.errors import InputValueError
from ann2neo.io.nwb.checks import check_recording
from ann2neo.io.nwb.disk_space import claim_space, release_space
from ann2neo.io.nwb.layout import PROFILES
from ann2neo.io.nwb.metadata import Metadata, checked_metadata
from ann2neo.io.nwb.spike_chunks import checked_compression
from ann2neo.recording import Recording

__all__ = ["write_nwb"]


def write_nwb(
    recording: Recording,
    path: str | os.PathLike[str],
    metadata: Metadata | Mapping[str, Any] | str | Path | None = None,
    profile: str = "dandi",
    compression: str | int | None = "gzip",
    overwrite: bool = False,
    *,
    stimuli: Any = None,
    activations: Mapping[str, Iterable[Any]] | None = None,
) -> Path:
    """Write a recording to an NWB file that neuroscience tools open.

    Parameters
    ----------
    recording : Recording
        What to write.
    path : path
        A name that ends in ``.nwb``. It appears only when the file is complete.
    metadata : Metadata, mapping, or path of a YAML file, optional
        What only you know: experimenter, institution, ...; see `Metadata` for the keys.
        Nothing is invented.
    profile : {"dandi", "neo"}
        "dandi" is NWB's best practice: presentations are trials, one row per unit.
        "neo" is what `neo.io.NWBIO` reads: presentations are epochs, a row per unit and
        phase. `read_nwb` reads both.
    compression : {"gzip"}, int or None
        "gzip" is fast; 1 to 9 are levels of gzip, None is none.
    overwrite : bool, default False
        Replace an existing file.
    stimuli : array, shape (n_stimuli, ...), or mapping of phase to array, optional
        Also write what was shown, in the order in which it was shown: rows are picked
        by ``stimulus_id`` where there is one. Images (uint8 of three axes, or four axes
        with 1, 3 or 4 channels last) become an ImageSeries, others a TimeSeries. For
        profile "dandi".
    activations : mapping of str to iterable of (n_bins, n_units) arrays, optional
        Also write the activations behind the spikes of some layers as float32, batch
        after batch in the order of the time bins; each batch is checked against the
        spikes.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputTypeError, InputValueError
        If an argument is wrong, no unit spikes at all, ``t_start`` is negative, time
        bins are longer than 10 ms, or a table holds what NWB cannot keep. Nothing was
        written.
    OutputExistsError, OutputLockedError, OutputError
        If the file exists, is being written by somebody else, or cannot be written. An
        old file is whole.

    Notes
    -----
    pynapple takes the support of a file from its first and last spikes, so its ``rate``
    is not ours until it is told the extent: ``units.restrict(pynapple.IntervalSet(0,
    n_time_bins * sampling_period))``. Where HDF5 finds a column ``layer_index`` beside
    ``layer``, readers that go by names take it for an index; it is stored as
    ``layer_number``.

    Examples
    --------
    >>> import numpy as np, tempfile, ann2neo
    >>> recording = Recording.from_activations(np.eye(3), labels=[0, 1, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_nwb(
    ...         recording, f"{folder}/eye.nwb", {"experimenter": "Noether, Emmy"}
    ...     )
    ...     ann2neo.read_nwb(path).equals(recording)
    True
    """
    target = output_path(path, ".nwb", overwrite=overwrite)
    level = checked_compression(compression)
    one_of(profile, PROFILES, "profile")
    given = checked_metadata(metadata)
    check_recording(recording)
    if stimuli is not None and profile == "neo":
        raise InputValueError(
            "stimuli cannot be written with profile='neo': neo.io.NWBIO takes images"
            " for signals and fails; leave them out or write profile='dandi'"
        )

    # Slow to import, and not needed to refuse.
    import h5py
    import pynwb

    from ann2neo.io.nwb.objects import FileBuilder

    builder = FileBuilder(recording, given, profile, level)
    if stimuli is not None:
        builder.add_stimuli(stimuli)
    if activations is not None:
        builder.add_activations(activations)
    with complete_file(target, overwrite=overwrite) as partial:
        with (
            # Ours keeps other writers out, and some file systems have no locks.
            h5py.File(
                partial, "w", locking=False, libver=("earliest", "v110")
            ) as handle,
            pynwb.NWBHDF5IO(file=handle, mode="w") as io,
        ):
            margin = builder.table_bytes()

            def claim(n_bytes: int) -> None:
                claim_space(partial, handle.id.get_filesize() + n_bytes + margin)

            claim(0)
            io.write(builder.file)
            builder.fill(claim)
        release_space(partial)
    return target
