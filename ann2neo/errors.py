"""The error tree of ann2neo.

::

    Ann2NeoError
    ├── InputTypeError          (TypeError)        wrong type of an argument
    ├── InputValueError         (ValueError)       right type, wrong value
    │   ├── LayerError                             unknown, ambiguous or never run
    │   └── ActivationError                        NaN, infinite, or no batch axis
    ├── FileFormatError         (ValueError)       a file of the wrong kind or state
    │   └── IntegrityError                         a damaged file of ann2neo
    ├── OutputExistsError       (FileExistsError)  an output that exists already
    ├── OutputLockedError       (OSError)          another process is writing there
    ├── OutputError             (OSError)          an output that cannot be written
    ├── DataSetUnavailableError (OSError)          no source could be reached
    ├── WorkerError             (RuntimeError)     a worker cannot do its part
    └── MissingExtraError       (ImportError)      an optional dependency is missing

A message names the value, the rule that it breaks, and the remedy.
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
    "WorkerError",
]


class Ann2NeoError(Exception):
    """Base of every error that ann2neo raises on purpose.

    Examples
    --------
    >>> import ann2neo
    >>> try:
    ...     ann2neo.explain("speed")
    ... except ann2neo.Ann2NeoError as error:
    ...     print(type(error).__name__, "-", str(error).partition(";")[0])
    InputValueError - unknown column 'speed'
    """


class InputTypeError(Ann2NeoError, TypeError):
    """An argument has the wrong type.

    Examples
    --------
    >>> import ann2neo
    >>> ann2neo.summarize([0.1, 0.2])
    Traceback (most recent call last):
    ann2neo.errors.InputTypeError: summarize needs the table that analyze returns, ...
    """


class InputValueError(Ann2NeoError, ValueError):
    """An argument has the right type and a value that breaks a rule.

    Examples
    --------
    >>> import ann2neo
    >>> ann2neo.explain("firing_rate", order="sorted")
    Traceback (most recent call last):
    ann2neo.errors.InputValueError: order must be one of random, stored, unknown, ...
    """


class LayerError(InputValueError):
    """A layer is unknown, ambiguous, or never ran during the recording.

    Examples
    --------
    >>> import ann2neo, keras
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((4,)),
    ...         keras.layers.Dense(3, name="hidden"),
    ...         keras.layers.Dense(2),
    ...     ]
    ... )
    >>> ann2neo.Probe(model, layers="hiden")
    Traceback (most recent call last):
    ann2neo.errors.LayerError: ...'hiden'...
    """


class ActivationError(InputValueError):
    """Activations cannot be thresholded: not finite, or without a batch axis.

    Examples
    --------
    >>> import ann2neo
    >>> ann2neo.Recording.from_activations([[0.5, float("nan")]])
    Traceback (most recent call last):
    ann2neo.errors.ActivationError: ...
    """


class FileFormatError(Ann2NeoError, ValueError):
    """A file is not of the required kind, or not in the required state.

    Examples
    --------
    >>> import ann2neo, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "notes.nwb")
    ...     _ = path.write_text("no HDF5 at all")
    ...     ann2neo.read_nwb(path)
    Traceback (most recent call last):
    ann2neo.errors.FileFormatError: ...notes.nwb...
    """


class IntegrityError(FileFormatError):
    """A file of ann2neo does not match the checksums written into it.

    Examples
    --------
    >>> import ann2neo, h5py, tempfile
    >>> recording = ann2neo.Recording.from_activations([[1.0, 0.0], [1.0, 1.0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = ann2neo.write_nwb(recording, f"{folder}/network.nwb")
    ...     with h5py.File(path, "r+") as file:
    ...         file["units/spike_times"][0] += 0.001
    ...     ann2neo.read_nwb(path)
    Traceback (most recent call last):
    ann2neo.errors.IntegrityError: ...
    """


class OutputExistsError(Ann2NeoError, FileExistsError):
    """An output exists already and ``overwrite`` was not given.

    Examples
    --------
    >>> import ann2neo, tempfile
    >>> recording = ann2neo.Recording.from_activations([[1.0, 0.0], [1.0, 1.0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = ann2neo.write_nwb(recording, f"{folder}/network.nwb")
    ...     ann2neo.write_nwb(recording, path)
    Traceback (most recent call last):
    ann2neo.errors.OutputExistsError: ...network.nwb...
    """


class OutputLockedError(Ann2NeoError, OSError):
    """Another process is writing the same output.

    Examples
    --------
    >>> import ann2neo, pathlib, tempfile
    >>> from ann2neo._files import complete_file
    >>> recording = ann2neo.Recording.from_activations([[1.0, 0.0], [1.0, 1.0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "network.nwb")
    ...     with complete_file(path, overwrite=False):  # somebody is writing
    ...         ann2neo.write_nwb(recording, path)
    Traceback (most recent call last):
    ann2neo.errors.OutputLockedError: ...network.nwb...
    """


class OutputError(Ann2NeoError, OSError):
    """An output cannot be written: folder, permission or space.

    Examples
    --------
    >>> import ann2neo
    >>> recording = ann2neo.Recording.from_activations([[1.0, 0.0], [1.0, 1.0]])
    >>> ann2neo.write_nwb(recording, "/no/such/folder/network.nwb")
    Traceback (most recent call last):
    ann2neo.errors.OutputError: ...
    """


class DataSetUnavailableError(Ann2NeoError, OSError):
    """A data set could not be fetched from any of its sources.

    Examples
    --------
    >>> import ann2neo
    >>> try:  # digits come with scikit-learn; mnist needs a network or a cached copy
    ...     data = ann2neo.load_dataset("digits")
    ... except ann2neo.DataSetUnavailableError as error:
    ...     print(error)
    >>> data.name
    'digits'
    """


class MissingExtraError(Ann2NeoError, ImportError):
    """An optional dependency is needed but not installed.

    Examples
    --------
    >>> import ann2neo
    >>> try:
    ...     figures = ann2neo.report.plot_raster
    ... except ann2neo.MissingExtraError as error:
    ...     print(error)  # names the extra to install
    >>> callable(figures)
    True
    """


class WorkerError(Ann2NeoError, RuntimeError):
    """A worker of an executor cannot do its part.

    It has another version of ann2neo, or does not see the files of the recording.
    """
