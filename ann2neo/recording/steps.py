"""Steps: the axis of an array of activations that is time, and the trials it makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.recording.tables import SEGMENT_TYPES, fixed_types

__all__ = ["checked_lengths", "trial_segments"]


def checked_lengths(
    lengths: Any, n_presentations: int | None, n_steps: int | None = None
) -> npt.NDArray[np.int64]:
    """Return the number of steps of each presentation, or raise.

    Parameters
    ----------
    lengths : array_like of int, shape (n_presentations,)
        What the user passed.
    n_presentations : int or None
        Number of presentations, if known.
    n_steps : int or None
        Number of steps that there are, if known.

    Raises
    ------
    InputTypeError, InputValueError
        If they are not whole numbers, too many or too few, below 1 or too large.
    """
    values = np.asarray(lengths)
    if values.ndim != 1 or n_presentations not in {None, len(values)}:
        n = "n_presentations" if n_presentations is None else n_presentations
        raise InputValueError(
            f"lengths must have one entry per presentation, shape ({n},), got shape"
            f" {values.shape}; pass the number of steps of each"
        )
    is_numeric = values.dtype.kind in "iuf" and np.isfinite(values).all()
    if not is_numeric or not np.array_equal(values, values.astype(int)):
        raise InputTypeError(
            f"lengths must be whole numbers of steps, got {values.dtype}; pass the"
            " number of steps of each presentation"
        )
    whole: npt.NDArray[np.int64] = values.astype(np.int64)
    most = np.iinfo(np.int64).max if n_steps is None else n_steps
    odd = np.flatnonzero((whole < 1) | (whole > most))
    if len(odd):
        row = int(odd[0])
        limit = "1 or more" if n_steps is None else f"1 to {n_steps}"
        raise InputValueError(
            f"lengths must be {limit} steps, got {whole[row]} at presentation {row};"
            " leave out presentations without steps, and count no padding"
        )
    return whole


def trial_segments(
    presentations: pd.DataFrame, order: str, *, begins: npt.NDArray[np.bool_]
) -> pd.DataFrame:
    """Make the segments of presentations that follow one another without a gap.

    Parameters
    ----------
    presentations : pandas.DataFrame
        ``start_bin``, ``stop_bin`` and ``phase``.
    order : str
        Order of the presentations.
    begins : ndarray of bool, shape (n_presentations,)
        Whether a segment begins with this presentation. The first of each phase must.

    Returns
    -------
    pandas.DataFrame
        The segments, each of which has a clock of its own that begins at 0.
    """
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(presentations)) - 1
    table = pd.DataFrame(
        {
            "start_bin": presentations["start_bin"].to_numpy()[first],
            "stop_bin": presentations["stop_bin"].to_numpy()[last],
            "phase": presentations["phase"].array[first],
            "order": pd.array([order], dtype="str").repeat(len(first)),
            "t_start": np.zeros(len(first)),
        }
    )
    return fixed_types(table, SEGMENT_TYPES, "segments")
