"""Stimuli: whatever a user shows to a network, read batch by batch."""

from __future__ import annotations

import functools
import itertools
import logging
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo._checks import whole_number
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.probe.adapter import Adapter
from ann2neo.probe.nests import leaves_of, map_leaves
from ann2neo.recording.checksum import checksum
from ann2neo.recording.tables import STIMULUS_PLACE, fixed_types

__all__ = [
    "ArrayStimuli",
    "Batch",
    "Fingerprint",
    "Stimuli",
    "StreamedStimuli",
    "as_stimuli",
    "check_labels",
    "checked_columns",
    "checked_labels",
    "class_labels",
]

_LOG = logging.getLogger(__name__)

AsInput = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


class Batch(NamedTuple):
    """Some samples: a nest of arrays, their numbers in the data, and their labels.

    `own` says that the arrays are copies made for this batch alone.
    """

    data: Any
    stimulus_id: npt.NDArray[np.int64]
    labels: npt.NDArray[Any] | None
    own: bool = False


class ArrayStimuli:
    """Stimuli that can be indexed: arrays with equal first axes.

    Parameters
    ----------
    data : nest of array
        An array, or a list or dict of arrays. An array is anything with a shape and
        fancy indexing along the first axis: NumPy, memory maps, pandas, tensors, HDF5.
    as_input : callable
        Converts an array of samples to the type the model takes.
    labels : ndarray, shape (n_samples,), or None
        Classes that come with the data.
    """

    def __init__(
        self, data: Any, as_input: AsInput, labels: npt.NDArray[Any] | None = None
    ) -> None:
        self._data, self._as_input = map_leaves(_as_array, data), as_input
        self._labels = labels
        leaves = leaves_of(self._data)
        # By shape: sparse matrices and arrays on disk may have no len().
        lengths = [int(leaf.shape[0]) for leaf in leaves]
        if not leaves or lengths[0] == 0:
            raise InputValueError(
                "there are no stimuli to show (shapes"
                f" {[leaf.shape for leaf in leaves]}); pass at least one"
            )
        if len(set(lengths)) > 1:
            raise InputValueError(
                "all inputs need the same number of samples, got"
                f" {reprlib.repr(lengths)}; one sample is one entry along the first"
                " axis of every input, and samples of several lengths must be padded"
                " to one"
            )
        self.n_samples: int = lengths[0]
        if labels is not None and len(labels) != self.n_samples:
            raise InputValueError(
                f"{self.n_samples} stimuli came with {len(labels)} labels; give one"
                " label per sample"
            )

    @property
    def are_arrays(self) -> bool:
        """Whether all are arrays of NumPy, which any thread may read at any time."""
        return all(
            type(leaf) in {np.ndarray, np.memmap} for leaf in leaves_of(self._data)
        )

    def first(self, n_samples: int | None) -> Batch:
        """Return a few samples, enough to see shapes and types."""
        return next(self.batches(None, n_samples or min(8, self.n_samples)))

    def batches(
        self, order: npt.NDArray[np.int64] | None, batch_size: int
    ) -> Iterator[Batch]:
        """Yield batches.

        An `order` of None is that of the data, which is read without copies.
        """
        n = self.n_samples if order is None else len(order)
        # Rows that are picked one by one are copies.
        own = order is not None and self.are_arrays
        for first in range(0, n, batch_size):
            stop = min(first + batch_size, n)
            ids = np.arange(first, stop) if order is None else order[first:stop]
            rows = slice(first, stop) if order is None else ids
            samples = map_leaves(functools.partial(_rows_of, rows=rows), self._data)
            labels = None if self._labels is None else self._labels[rows]
            yield Batch(map_leaves(self._as_input, samples), ids, labels, own)


class StreamedStimuli:
    """Stimuli that come in batches, in their own order, each read once.

    Parameters
    ----------
    batches : iterable
        Yields batches: stimuli, or tuples of stimuli and labels. An iterator can be
        read only once, anything else again.
    n_samples : int or None
        How many samples to take; all if None.
    lists_are_pairs : bool
        Whether a list is stimuli and labels (as torch's loaders give) rather than
        several inputs.
    adapter : Adapter
        The framework of the model that takes them.
    """

    def __init__(
        self,
        batches: Iterable[Any],
        n_samples: int | None,
        adapter: Adapter,
        *,
        lists_are_pairs: bool,
    ) -> None:
        self.n_samples = n_samples
        self._batches, self._adapter = batches, adapter
        self._lists_are_pairs = lists_are_pairs
        self.read_once = isinstance(batches, Iterator)
        self._said = False
        self._peeked: tuple[Iterator[Any], list[Any]] | None = None

    def first(self, n_samples: int | None) -> Batch:  # noqa: ARG002
        """Return the first batch; the next reading starts with it again."""
        items = iter(self._batches)
        taken = list(itertools.islice(items, 1))
        # Kept, since an iterator cannot give its first batch a second time.
        self._peeked = items, taken
        return next(self._read(taken, None))

    def batches(self) -> Iterator[Batch]:
        """Yield `n_samples` in batches as they come, or raise if there are fewer."""
        items, taken = self._peeked or (iter(self._batches), [])
        self._peeked = None
        return self._read(itertools.chain(taken, items), self.n_samples)

    def _read(self, items: Iterable[Any], n_samples: int | None) -> Iterator[Batch]:
        n_shown = 0
        for item in items:
            data, labels = self._split(item)
            check_names(data, self._adapter)
            data = map_leaves(_as_array, data)
            lengths = {int(leaf.shape[0]) for leaf in leaves_of(data)}
            if len(lengths) != 1:
                raise InputValueError(
                    "all inputs of a batch need the same number of samples, got"
                    f" {sorted(lengths)}; one sample is one entry along the first axis"
                    " of every input"
                )
            n = lengths.pop()
            if n_samples is not None:
                n = min(n, n_samples - n_shown)
            if labels is not None and len(labels) < n:
                raise InputValueError(
                    f"a batch of {n} samples came with {len(labels)} labels; give one"
                    " label per sample"
                )
            if n:
                cut = map_leaves(functools.partial(_rows_of, rows=slice(n)), data)
                # A copy: loaders may fill the same array anew for every batch.
                yield Batch(
                    map_leaves(self._adapter.as_input, cut),
                    np.arange(n_shown, n_shown + n),
                    None if labels is None else labels[:n].copy(),
                )
            n_shown += n
            if n_shown == n_samples:
                return
        if not n_shown:
            raise InputValueError(
                "there are no stimuli to show: the data ended before the first sample;"
                " pass data with at least one, or make the iterator anew"
            )
        if n_samples is not None:
            raise InputValueError(
                f"the stimuli ended after {n_shown} of {n_samples} samples; pass"
                f" n_samples={n_shown}, or data that does not end early"
            )

    def _split(self, item: Any) -> tuple[Any, npt.NDArray[Any] | None]:
        pairs = (tuple, list) if self._lists_are_pairs else (tuple,)
        if not isinstance(item, pairs):
            return item, None
        if len(item) not in {1, 2, 3}:
            raise InputValueError(
                "a batch must be stimuli or a tuple (stimuli, labels[, weights]), got a"
                f" tuple of {len(item)}; pass several inputs as a list or dict inside"
                " the tuple"
            )
        if len(item) == 1 or item[1] is None:
            return item[0], None
        if _n_axes(item[1]) == 0 and not isinstance(item[1], Mapping):
            raise InputValueError(
                f"a batch came with one label, {item[1]!r}, so that it seems to be a"
                " single sample; show batches, as .batch(64) of a data set or a"
                " DataLoader makes them"
            )
        labels = class_labels(item[1])
        if labels is None and not self._said:
            self._said = True
            _LOG.info(
                "what comes with the stimuli is no class of each, and is left out; pass"
                " classes as labels="
            )
        return item[0], labels


Stimuli = ArrayStimuli | StreamedStimuli


class Fingerprint:
    """Running checksum of all stimuli and labels that were shown, batch by batch."""

    def __init__(self) -> None:
        self._checksums: list[int] = []

    def update(self, batch: Batch) -> None:
        """Add a batch."""
        leaves = leaves_of(batch.data)
        if not self._checksums:
            self._checksums = [
                checksum(f"{leaf.dtype} {leaf.shape[1:]}".encode()) for leaf in leaves
            ]
            self._checksums.append(0)
        # The bytes of an object array are addresses.
        parts = [
            leaf if leaf.dtype != object else repr(leaf.tolist()).encode()
            for leaf in leaves
        ]
        labels = None if batch.labels is None else batch.labels.tolist()
        parts.append(repr(labels).encode())
        self._checksums = [
            checksum(part, before)
            for part, before in zip(parts, self._checksums, strict=True)
        ]

    def __str__(self) -> str:
        """Return the checksum of the batches so far."""
        return " ".join(f"{number:08x}" for number in self._checksums)


def as_stimuli(x: Any, n_samples: int | None, adapter: Adapter) -> Stimuli:
    """Decide how data can be read.

    Parameters
    ----------
    x : array, list or dict of arrays, DataFrame, Dataset, PyDataset, loader, iterable
        What the user passes.
    n_samples : int or None
        Number of samples to take from data that comes in batches; None for all.
    adapter : Adapter
        The framework of the model that takes them.

    Returns
    -------
    ArrayStimuli or StreamedStimuli
        The data, to be indexed or read once.

    Raises
    ------
    InputTypeError, InputValueError
        If `x` is neither arrays nor batches of them, or is empty.
    """
    if n_samples is not None:
        n_samples = whole_number(n_samples, "n_samples")
    _check_kind(x)
    labels = None
    if isinstance(x, tuple) and _is_pair(x, adapter):
        x, targets = x[:2]
        labels = None if targets is None else class_labels(targets)
    is_list = isinstance(x, (list, tuple)) and not _holds_batches(x)
    if _is_array(x) or _is_sparse(x) or isinstance(x, Mapping) or is_list:
        if is_list:
            x = _inputs_of(x, adapter)
        check_names(x, adapter)
        stimuli = ArrayStimuli(x, adapter.as_input, labels)
        if n_samples not in {None, stimuli.n_samples}:
            raise InputValueError(
                f"n_samples={n_samples} is for data that comes in batches, and these"
                f" are {stimuli.n_samples} stimuli in arrays; pass x[:{n_samples}] to"
                " show fewer"
            )
        return stimuli
    batches = adapter.batches(x)
    lists_are_pairs = False
    if batches is None:
        if not isinstance(x, Iterable):
            raise InputTypeError(
                "stimuli must be arrays, a list or dict of them, or an iterable of"
                f" batches, got {type(x).__name__}; convert them with numpy.asarray"
            )
        batches = x
        # Loaders of torch, which have a collate_fn, give lists.
        lists_are_pairs = hasattr(x, "collate_fn") or adapter.n_inputs == 1
    if n_samples is None and _is_endless(batches):
        raise InputValueError(
            "these stimuli never end, since the data repeats for ever or has no"
            " length; pass n_samples, the number of samples to show, or leave out what"
            " repeats it"
        )
    return StreamedStimuli(batches, n_samples, adapter, lists_are_pairs=lists_are_pairs)


def _check_kind(x: Any) -> None:
    """Refuse what is no data yet, with the call that makes data of it."""
    if callable(x) and not (_is_array(x) or isinstance(x, Iterable)):
        name = getattr(x, "__name__", type(x).__name__)
        raise InputTypeError(
            f"stimuli must be data, got the function {name}; call it, {name}(), if it"
            " makes the data"
        )
    _check_dense(x)
    if hasattr(x, "with_format") and hasattr(x, "column_names"):
        columns = ", ".join(map(repr, list(x.column_names or [])[:5]))
        raise InputTypeError(
            f"a Hugging Face data set has columns, here {columns}, of which one is the"
            " stimuli; pass it, as in x=data.with_format('numpy')['image'], and the"
            " labels as labels=data['label']"
        )


def _is_endless(batches: Any) -> bool:
    """Whether data says of itself that it has no end, as `tf.data` does by -1."""
    if isinstance(batches, (itertools.cycle, itertools.count)):
        return True
    cardinality = getattr(batches, "cardinality", None)
    return callable(cardinality) and int(cardinality()) == -1


def _is_pair(x: tuple[Any, ...], adapter: Adapter) -> bool:
    """Whether a tuple is stimuli and labels, as in a batch, not several inputs."""
    if len(x) not in {2, 3} or hasattr(x, "_fields"):
        return False
    n_inputs = adapter.n_inputs
    if n_inputs is None:
        return not isinstance(x[1], Mapping) and class_labels(x[1]) is not None
    return n_inputs == 1 or len(x) != n_inputs or not all(map(_is_array, x))


def _inputs_of(x: Any, adapter: Adapter) -> Any:
    """Tell a list of inputs, which is left as it is, from a list of samples."""
    most = adapter.most_inputs
    are_arrays = all(map(_is_array, x))
    is_too_long = most is not None and len(x) > most
    if are_arrays and not is_too_long and all(map(_n_axes, x)):
        return x
    if not are_arrays:
        try:
            return np.asarray(x)
        except ValueError as error:
            raise InputValueError(
                f"the list of {len(x)} stimuli does not make an array, since they"
                " differ in shape; pad them to one shape"
            ) from error
    shapes = dict.fromkeys(tuple(item.shape) for item in x)
    if len(shapes) == 1:
        return np.stack([_as_array(item) if _n_axes(item) else item for item in x])
    lengths = {shape[:1] for shape in shapes}
    if len(lengths) > 1:
        # The samples, or inputs, differ in length; that error is the clearer one.
        return x
    raise InputValueError(
        f"the model takes {most} inputs, and the list holds {len(x)} arrays of the"
        f" shapes {', '.join(map(str, list(shapes)[:3]))}; pass labels as labels=, and"
        " samples as one array"
    )


def check_names(data: Any, adapter: Adapter) -> None:
    """Raise if a dictionary of stimuli has an entry that the model does not take."""
    names = adapter.input_names
    if names is None or not isinstance(data, Mapping):
        return
    unknown = [key for key in data if key not in names]
    if not unknown:
        return
    known = ", ".join(map(repr, names[:5]))
    how = "x={key: data[key] for key in those}"
    if len(names) == 1:
        how = "the array itself, as x=data[...]"
    raise InputValueError(
        f"the stimuli have an entry {unknown[0]!r}, and the inputs of"
        f" {adapter.model_name!r} are {known}; pass {how}, and labels as labels= or in"
        " a tuple (stimuli, labels)"
    )


def class_labels(labels: Any) -> npt.NDArray[Any] | None:
    """Convert labels to one class per sample.

    A single column is flattened, one-hot rows become class numbers; None for targets
    that are no classes.
    """
    if _n_axes(labels) == 0:
        return None
    array = _cells(_one_set(labels))
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if (
        array.ndim == 2
        and array.size
        and array.dtype.kind in "biuf"
        and np.isin(array, (0, 1)).all()
        and (array.sum(axis=1) == 1).all()
    ):
        array = array.argmax(axis=1)
    if array.dtype == np.bool_:
        array = array.astype(np.int32)
    return array if array.ndim == 1 and array.dtype.kind in "iubUSO" else None


def _one_set(labels: Any) -> Any:
    """Return the labels of one output, of those that come by output."""
    sets = labels
    if isinstance(labels, Mapping):
        sets = list(labels.values())
    elif not isinstance(labels, (list, tuple)) or not all(
        _is_array(part) and _n_axes(part) for part in labels
    ):
        return labels
    if len(sets) == 1:
        return sets[0]
    names = ""
    if isinstance(labels, Mapping):
        names = f", {', '.join(map(repr, list(labels)[:5]))}"
    raise InputValueError(
        f"there are {len(sets)} sets of labels{names}, and a presentation has one; give"
        " one of them, as one label per sample"
    )


def _cells(column: Any) -> npt.NDArray[Any]:
    """Return labels or another column in memory.

    Bytes, such as HDF5 and TensorFlow give for text, become text.
    """
    if isinstance(column, np.ndarray):
        array = column
    elif hasattr(column, "to_numpy"):
        array = column.to_numpy()
    else:
        array = _in_memory(_as_array(column))
    if array.dtype.kind == "S" or (
        array.dtype == object and any(isinstance(item, bytes) for item in array.flat)
    ):
        texts = [
            item.decode(errors="backslashreplace") if isinstance(item, bytes) else item
            for item in array.flat
        ]
        return np.array(texts, dtype=object).reshape(array.shape)
    return array


def _in_memory(array: Any) -> npt.NDArray[Any]:
    """Read an array on disk, and fill in a sparse one."""
    if _is_sparse(array):
        array = array.toarray()
    return np.asarray(array)


def checked_labels(
    labels: Any, n_samples: int | None, *, as_numbers: bool
) -> npt.NDArray[Any]:
    """Return a user's labels as one class per sample.

    Parameters
    ----------
    labels : array_like
        What the user passed.
    n_samples : int or None
        Number of samples, if known.
    as_numbers : bool
        Require numbers, which can be compared with predictions.

    Returns
    -------
    ndarray, shape (n_samples,)
        The labels.

    Raises
    ------
    InputValueError
        If they are not classes, too many or too few, or not the numbers required.
    """
    classes = class_labels(labels)
    if classes is None:
        array = np.asarray(labels)
        raise InputValueError(
            f"labels must be one integer or string per sample, shape ({n_samples},),"
            f" got {array.dtype} of shape {array.shape}; group the values into classes"
        )
    if n_samples is not None and len(classes) != n_samples:
        raise InputValueError(
            f"labels must have one entry per sample, {n_samples}, got {len(classes)};"
            " pass the labels of the same samples"
        )
    if as_numbers and classes.dtype.kind not in "iub":
        raise InputValueError(
            "predictions are class numbers and cannot be compared with labels of type"
            f" {classes.dtype}; pass labels as integers, or predictions=False"
        )
    # In a type that files keep, or an error now rather than after the recording.
    typed: npt.NDArray[Any] = fixed_types(
        pd.DataFrame({"label": classes}), {}, "presentations"
    )["label"].to_numpy()
    return typed


def checked_columns(
    stimulus_id: npt.ArrayLike | None,
    presentations: Mapping[str, Any] | pd.DataFrame | None,
    n_samples: int | None,
) -> dict[str, npt.NDArray[Any]]:
    """Return a user's own columns of the presentations, one entry per sample.

    Parameters
    ----------
    stimulus_id : array_like or None
        Names or numbers of the samples, in place of their places in the data.
    presentations : mapping of str to array_like, DataFrame or None
        Further columns, one entry or row per sample.
    n_samples : int or None
        Number of samples, if known.

    Returns
    -------
    dict of str to ndarray, each of shape (n_samples,)
        The columns, in types that files keep.

    Raises
    ------
    InputTypeError, InputValueError
        If a column has another length or a type that files cannot keep, or a name that
        is ann2neo's own.
    """
    given: dict[str, Any] = {}
    if stimulus_id is not None:
        given["stimulus_id"] = stimulus_id
    if presentations is not None:
        if not isinstance(presentations, (Mapping, pd.DataFrame)):
            raise InputTypeError(
                "presentations must be a table or a mapping of columns, one entry per"
                f" sample, got {type(presentations).__name__}; pass, for example,"
                " presentations={'file': names}"
            )
        given |= dict(presentations)
    for name, values in given.items():
        if name in _OWN_COLUMNS:
            raise InputValueError(
                f"presentations has a column {name!r}, which ann2neo fills in itself;"
                f" {_OWN_COLUMNS[name]}"
            )
        shape = tuple(values.shape) if hasattr(values, "shape") else (len(values),)
        if len(shape) != 1 or n_samples not in {None, *shape}:
            raise InputValueError(
                f"the column {name!r} of the presentations must have one entry per"
                f" sample, shape ({n_samples or 'n_samples'},), got shape {shape}; give"
                " the values of the same samples, in the order of x"
            )
    table = pd.DataFrame({name: _cells(values) for name, values in given.items()})
    typed = fixed_types(table, {}, "presentations")
    return {str(name): column.to_numpy() for name, column in typed.items()}


_OWN_COLUMNS = {
    **dict.fromkeys(
        (
            "start_bin",
            "stop_bin",
            "phase",
            "kind",
            "prediction",
            "is_correct",
            STIMULUS_PLACE,
        ),
        "give it another name",
    ),
    "label": "pass it as labels=",
}
"""Columns that a user cannot give by name, and what to do instead."""


def check_labels(
    labels: npt.NDArray[Any], batch: Batch, first_bin: int, known: dict[Any, Any]
) -> None:
    """Compare a user's labels with those that come with a batch.

    Parameters
    ----------
    labels : ndarray, shape (n_samples,)
        The user's labels.
    batch : Batch
        The batch.
    first_bin : int
        Its first presentation.
    known : dict
        The class that came with each of the user's labels so far, where one is text and
        the other a number, such as "cat" for 3; added to.

    Raises
    ------
    InputValueError
        If they contradict each other.
    """
    if batch.labels is None:
        return
    given = labels[batch.stimulus_id]
    come = batch.labels
    if (given.dtype.kind in "biu") == (come.dtype.kind in "biu"):
        odd = np.flatnonzero(given != come)
    else:
        pairs = enumerate(zip(given.tolist(), come.tolist(), strict=True))
        odd = np.array(
            [i for i, (mine, own) in pairs if known.setdefault(mine, own) != own], int
        )
    if not len(odd):
        return
    place = int(odd[0])
    raise InputValueError(
        f"labels= says {given.tolist()[place]!r} at presentation {first_bin + place},"
        f" and the label that comes with the stimuli is {come.tolist()[place]!r}; leave"
        " labels= out, or show stimuli without labels"
    )


def _is_array(x: Any) -> bool:
    return hasattr(x, "shape") and hasattr(x, "__getitem__")


def _n_axes(x: Any) -> int:
    if hasattr(x, "shape"):
        return len(x.shape)
    return 0 if isinstance(x, (bool, int, float, str, bytes)) else 1


def _is_sparse(x: Any) -> bool:
    """Whether it is a sparse matrix or array of SciPy."""
    return hasattr(x, "tocsr") and hasattr(x, "toarray")


def _holds_batches(x: Any) -> bool:
    """Whether a list holds batches: tuples of stimuli and labels."""
    return (
        bool(x)
        and isinstance(x, list)
        and all(isinstance(item, tuple) for item in x)
        and _is_array(x[0][0])
    )


def _as_array(leaf: Any) -> Any:
    """Convert tensors and tables to arrays with axes; arrays on disk stay there."""
    array = _converted(leaf)
    if not array.shape:
        raise InputTypeError(
            "stimuli must be arrays with one sample per entry of the first axis, got"
            f" {reprlib.repr(leaf)}; a single sample is x[numpy.newaxis]"
        )
    return array


def _converted(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return _without_objects(leaf)
    if _is_sparse(leaf):
        # Its rows are filled in batch by batch.
        return leaf.tocsr()
    if hasattr(leaf, "to_numpy"):
        return _without_objects(_table_values(leaf))
    _check_dense(leaf)
    # torch, before `numpy`, which its tensors have but refuse on a GPU.
    if hasattr(leaf, "detach"):
        if getattr(leaf, "is_meta", False):
            raise InputTypeError(
                f"stimuli must have values, got a tensor of shape {tuple(leaf.shape)}"
                " on the device 'meta', which holds none; make it on a real device"
            )
        tensor = leaf.detach().cpu()
        if str(getattr(tensor, "layout", "torch.strided")) != "torch.strided":
            tensor = tensor.to_dense()
        # NumPy has no bfloat16; float32 holds all of its values.
        if str(getattr(tensor, "dtype", "")) == "torch.bfloat16":
            tensor = tensor.float()
        return tensor.numpy()
    if hasattr(leaf, "numpy"):
        return leaf.numpy()
    if _is_array(leaf) and hasattr(leaf, "dtype") and len(leaf.shape):
        # Arrays on disk, such as those of h5py and zarr, are read batch by batch.
        return leaf
    return np.asarray(leaf)


def _check_dense(x: Any) -> None:
    remedy = _NOT_DENSE.get(type(x).__name__)
    if remedy is not None:
        raise InputTypeError(
            f"stimuli must be dense arrays, got a {type(x).__name__}; convert it,"
            f" {remedy}"
        )


_NOT_DENSE = {
    "RaggedTensor": "padded to one shape, with x.to_tensor()",
    "SparseTensor": "with tf.sparse.to_dense(x)",
    "IndexedSlices": "with tf.convert_to_tensor(x)",
}
"""Tensors that are no arrays, by the name of their class, and how to make one."""


def _table_values(table: Any) -> npt.NDArray[Any]:
    """Return the values of a table or column, of one type of number if they can be."""
    if isinstance(table, pd.DataFrame):
        kinds = [getattr(dtype, "kind", "O") for dtype in table.dtypes]
        if len(set(kinds)) > 1 and set(kinds) <= set("biuf"):
            return table.to_numpy(np.float64 if "f" in kinds else np.int64)
    values: npt.NDArray[Any] = table.to_numpy()
    return values


def _without_objects(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return numbers or text as such, or raise; other arrays stay as they are."""
    if array.dtype != object or not array.size:
        return array
    content = pd.api.types.infer_dtype(array.reshape(-1), skipna=False)
    if content in {"string", "bytes"}:
        return array
    if content in _NUMBERS:
        return array.astype(_NUMBERS[content])
    odd = next(
        (i for i in array.flat if not isinstance(i, (float, int))), array.flat[0]
    )
    parts = [getattr(item, "shape", None) for item in array.flat]
    if array.ndim == 1 and parts[0] and len(set(parts)) == 1:
        return np.stack(list(array))
    raise InputTypeError(
        f"stimuli must be numbers or text, and among these is a {type(odd).__name__},"
        f" {reprlib.repr(odd)}; leave it out or make numbers of it, and pad samples of"
        " several shapes to one"
    )


_NUMBERS = {
    "integer": np.int64,
    "boolean": np.bool_,
    "floating": np.float64,
    "mixed-integer-float": np.float64,
}
"""Types of what pandas finds in an array of objects."""


def _rows_of(leaf: Any, rows: Any) -> npt.NDArray[Any]:
    """Read some samples of an array."""
    if isinstance(leaf, np.ndarray) or isinstance(rows, slice) or _is_sparse(leaf):
        return _in_memory(leaf[rows])
    # zarr reads chosen rows under that name.
    on_disk = getattr(leaf, "oindex", leaf)
    # HDF5 reads rows in ascending order only: read them so, then put them in place.
    ascending, places = np.unique(rows, return_inverse=True)
    return np.asarray(on_disk[ascending])[places]
