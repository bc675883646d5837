"""The error tree of ann2neo.

::

    Ann2NeoError
    ├── InputTypeError          (TypeError)    an argument of the wrong type
    ├── InputValueError         (ValueError)   an argument of the right type with a wrong value
    │   ├── LayerError                         unknown, ambiguous or never reached layer
    │   └── ActivationError                    NaN or infinite activations, no batch axis
    ├── FileFormatError         (ValueError)   a file that is not what it should be
    │   └── IntegrityError                     our own file, damaged
    ├── OutputExistsError       (FileExistsError)  nothing is replaced unasked
    ├── OutputLockedError       (OSError)      somebody else is writing there
    ├── OutputError             (OSError)      a place that cannot be written
    ├── DataSetUnavailableError (OSError)      no source of a data set could be reached
    └── MissingExtraError       (ImportError)  an optional dependency is not installed

A message says the value, the rule and the remedy.
"""

__all__ = [
    "ActivationError",
    "Ann2NeoError",
    "DataSetUnavailableError",
    "FileFormatError",
    "InputTypeError",
    "InputValueError",
    "IntegrityError",
    "LayerError",
    "MissingExtraError",
    "OutputError",
    "OutputExistsError",
    "OutputLockedError",
]


class Ann2NeoError(Exception):
    """Base of every error that ann2neo raises on purpose."""


class InputTypeError(Ann2NeoError, TypeError):
    """An argument has the wrong type."""


class InputValueError(Ann2NeoError, ValueError):
    """An argument has the right type and a value that breaks a rule."""


class LayerError(InputValueError):
    """A layer is unknown, ambiguous, or never ran during the recording."""


class ActivationError(InputValueError):
    """Activations cannot be thresholded: not finite, or without a batch axis."""


class FileFormatError(Ann2NeoError, ValueError):
    """A file is not of the kind, or not in the state, that was asked for."""


class IntegrityError(FileFormatError):
    """A file of ours does not match the sums written into it."""


class OutputExistsError(Ann2NeoError, FileExistsError):
    """An output exists already and ``overwrite`` was not given."""


class OutputLockedError(Ann2NeoError, OSError):
    """Another process is writing the same output."""


class OutputError(Ann2NeoError, OSError):
    """An output cannot be written: folder, permission or space."""


class DataSetUnavailableError(Ann2NeoError, OSError):
    """A data set could not be had from any of its sources."""


class MissingExtraError(Ann2NeoError, ImportError):
    """An optional dependency is needed and not installed."""
