"""Recordings written to NWB files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

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
    stimuli: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None = None,
    activations: Mapping[str, Iterable[npt.NDArray[Any]]] | None = None,
    progress: bool | None = None,
) -> Path:
    """Write a recording to an NWB file that neuroscience tools open.

    Parameters
    ----------
    recording : Recording
        The recording to write.
    path : path
        A name that ends in ``.nwb``. The file appears only when it is complete.
    metadata : Metadata, mapping, or path of a YAML file, optional
        What only you know: experimenter, institution and so on; see `Metadata` for the
        keys. Nothing is invented.
    profile : {"dandi", "neo"}
        "dandi" follows NWB's best practices: presentations are trials, one row per
        unit; presentations of another kind are a table of its name. "neo" is what
        `neo.io.NWBIO` reads: presentations are epochs, one row per unit and segment.
        `read_nwb` reads both.
    compression : {"gzip"}, int or None
        "gzip" is fast; 1 to 9 are levels of gzip; None is no compression.
    overwrite : bool, default False
        Replace an existing file.
    stimuli : array, shape (n_stimuli, ...), or mapping of phase to array, optional
        Stimuli to write, too, in the order in which they were presented: rows are
        selected by ``stimulus_place`` or ``stimulus_id`` if the recording has it.
        Images (uint8 with three axes, or four axes with 1, 3 or 4 channels last) become
        an ImageSeries, others a TimeSeries. Only for profile "dandi".
    activations : mapping of str to iterable of (n_bins, n_units) arrays, optional
        Activations of some layers to write, too, as float32: batch by batch, in the
        order of the time bins. Each batch is checked against the spikes.
    progress : bool, optional
        Show a progress bar; by default only in a terminal or a notebook, after a
        second.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputTypeError, InputValueError
        If an argument is wrong, no unit spikes, or a string holds what NWB cannot
        store; for profile "neo" also if ``t_start`` is negative or time bins are longer
        than 10 ms. Nothing was written.
    OutputExistsError, OutputLockedError, OutputError
        If the file exists, another process is writing it, or it cannot be written. An
        old file is unchanged.

    Warns
    -----
    BestPracticeWarning
        If NWB Inspector will report times below 0 or time bins longer than 10 ms.

    Notes
    -----
    pynapple takes the time support of a file from its first and last spikes, so its
    ``rate`` differs from ours until it is given the whole time:
    ``units.restrict(pynapple.IntervalSet(0, n_time_bins * sampling_period))``. Some
    readers take a column ``layer_index`` beside ``layer`` for the index of a ragged
    column; it is therefore stored as ``layer_number``. A column whose name NWB reserves
    is stored with a ``_`` behind its name. `read_nwb` gives all of them back.

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
    check_recording(recording, profile)
    if stimuli is not None and profile == "neo":
        raise InputValueError(
            "stimuli cannot be written with profile='neo': neo.io.NWBIO takes images"
            " for signals and fails; leave them out or write profile='dandi'"
        )

    # Imported late, because these are slow to import and wrong arguments do not need
    # them.
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
            # Our own lock keeps other writers out; HDF5's would fail on file systems
            # that have none. Libraries from HDF5 1.10 on read the file.
            h5py.File(
                partial, "w", locking=False, libver=("earliest", "v110")
            ) as handle,
            pynwb.NWBHDF5IO(file=handle, mode="w") as io,
        ):
            margin = builder.table_bytes()

            # HDF5 writes tables when it likes, so that room for them is always left.
            def claim(n_bytes: int) -> None:
                claim_space(partial, handle.id.get_filesize() + n_bytes + margin)

            claim(0)
            io.write(builder.file)
            # Second, since pynwb makes the datasets that are filled here.
            builder.fill(claim, progress)
        # HDF5 writes the file's final length into it when it is closed, so after that.
        release_space(partial)
    return target
