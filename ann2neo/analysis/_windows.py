"""Length of the counting windows of a phase."""

from __future__ import annotations

import warnings

from ann2neo._checks import whole_number

__all__ = ["FewWindowsWarning", "window_for"]

_MIN_WINDOWS = 10


class FewWindowsWarning(UserWarning):
    """The window asked for leaves fewer than ten windows."""


def window_for(window: int | None, n_time_bins: int) -> int:
    """Return the length of the counting windows of a phase.

    Parameters
    ----------
    window : int, optional
        Length asked for; ``min(100, max(2, N // 10))`` if not given.
    n_time_bins : int
        Bins of the phase, N.

    Returns
    -------
    int
        The window asked for, however few windows it leaves.

    Raises
    ------
    InputTypeError, InputValueError
        If `window` is not a positive whole number.

    Warns
    -----
    FewWindowsWarning
        If the window asked for leaves fewer than ten windows.
    """
    if window is None:
        # Ten windows or more where there are 20 bins; one bin alone cannot disperse.
        return min(100, max(2, n_time_bins // 10))
    length = whole_number(window, "window", noun="bins")
    n_windows = n_time_bins // length
    if n_windows < _MIN_WINDOWS:
        warnings.warn(
            f"a window of {length} bins leaves {n_windows} windows in {n_time_bins}"
            f" bins; Fano factor and dispersion say little below {_MIN_WINDOWS}"
            " windows: shorten the window, or leave it out",
            FewWindowsWarning,
            # Past this function and the public one, to the user's line.
            stacklevel=3,
        )
    return length
