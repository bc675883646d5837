"""Stimuli: whatever a user shows to a network, read batch by batch."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ann2neo._checks import whole_number
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.probe.adapter import Adapter
from ann2neo.probe.nests import leaves_of, map_leaves
from ann2neo.recording.checksum import checksum

__all__ = [
    "ArrayStimuli",
    "Batch",
    "Fingerprint",
    "Stimuli",
    "StreamedStimuli",
    "as_stimuli",
    "checked_labels",
    "class_labels",
]

AsInput = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


class Batch(NamedTuple):
    """Some samples: a nest of arrays, their numbers in the data, and their labels."""

    data: Any
    stimulus_id: npt.NDArray[np.int64]
    labels: npt.NDArray[Any] | None


class ArrayStimuli:
    """Stimuli that can be indexed: arrays with equal first axes.

    Parameters
    ----------
    data : nest of array
        An array, or a list or dict of arrays. An array is anything with a shape and
        fancy indexing along the first axis: NumPy, memory maps, pandas, tensors, HDF5.
    as_input : callable
        Converts an array of samples to the type the model takes.
    """

    def __init__(self, data: Any, as_input: AsInput) -> None:
        self._data, self._as_input = map_leaves(_as_array, data), as_input
        leaves = leaves_of(self._data)
        lengths = [len(leaf) for leaf in leaves]
        if not leaves or lengths[0] == 0:
            raise InputValueError(
                "there are no stimuli to show (shapes"
                f" {[leaf.shape for leaf in leaves]}); pass at least one"
            )
        if len(set(lengths)) > 1:
            raise InputValueError(
                f"all inputs need the same number of samples, got {lengths}; one sample"
                " is one entry along the first axis of every input"
            )
        self.n_samples: int = lengths[0]

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
        for first in range(0, n, batch_size):
            stop = min(first + batch_size, n)
            ids = np.arange(first, stop) if order is None else order[first:stop]
            rows = slice(first, stop) if order is None else ids
            samples = map_leaves(functools.partial(_rows_of, rows=rows), self._data)
            yield Batch(map_leaves(self._as_input, samples), ids, None)


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
    as_input : callable
        Converts an array of samples to the type the model takes.
    """

    def __init__(
        self,
        batches: Iterable[Any],
        n_samples: int | None,
        as_input: AsInput,
        *,
        lists_are_pairs: bool,
    ) -> None:
        self.n_samples = n_samples
        self._batches, self._as_input = batches, as_input
        self._lists_are_pairs = lists_are_pairs
        self.read_once = isinstance(batches, Iterator)
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
            data = map_leaves(_as_array, data)
            lengths = {len(leaf) for leaf in leaves_of(data)}
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
                cut = map_leaves(operator.itemgetter(slice(n)), data)
                # A copy: loaders may fill the same array anew for every batch.
                yield Batch(
                    map_leaves(self._as_input, cut),
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
        return item[0], class_labels(item[1])


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
    is_list = isinstance(x, (list, tuple)) and not _holds_batches(x)
    if _is_array(x) or isinstance(x, Mapping) or is_list:
        if is_list and not all(map(_is_array, x)):
            x = np.asarray(x)
        stimuli = ArrayStimuli(x, adapter.as_input)
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
    return StreamedStimuli(
        batches, n_samples, adapter.as_input, lists_are_pairs=lists_are_pairs
    )


def class_labels(labels: Any) -> npt.NDArray[Any] | None:
    """Convert labels to one class per sample.

    A single column is flattened, one-hot rows become class numbers; None for targets
    that are no classes.
    """
    array = _as_array(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if (
        array.ndim == 2
        and array.size
        and np.isin(array, (0, 1)).all()
        and (array.sum(axis=1) == 1).all()
    ):
        array = array.argmax(axis=1)
    if array.dtype == np.bool_:
        array = array.astype(np.int32)
    return array if array.ndim == 1 and array.dtype.kind in "iubUSO" else None


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
    return classes


def _is_array(x: Any) -> bool:
    return hasattr(x, "shape") and hasattr(x, "__getitem__")


def _holds_batches(x: Any) -> bool:
    """Whether a list holds batches: tuples of stimuli and labels."""
    return (
        bool(x)
        and isinstance(x, list)
        and all(isinstance(item, tuple) for item in x)
        and _is_array(x[0][0])
    )


def _as_array(leaf: Any) -> Any:
    """Convert tensors and tables to arrays; arrays on disk stay there."""
    if isinstance(leaf, np.ndarray):
        return leaf
    if hasattr(leaf, "to_numpy"):
        return leaf.to_numpy()
    # torch, before `numpy`, which its tensors have but refuse on a GPU.
    if hasattr(leaf, "detach"):
        tensor = leaf.detach().cpu()
        # NumPy has no bfloat16; float32 holds all of its values.
        if str(getattr(tensor, "dtype", "")) == "torch.bfloat16":
            tensor = tensor.float()
        return tensor.numpy()
    if hasattr(leaf, "numpy"):
        return leaf.numpy()
    if _is_array(leaf) and hasattr(leaf, "dtype") and len(leaf.shape):
        # Arrays on disk, such as those of h5py and zarr, are read batch by batch.
        return leaf
    array = np.asarray(leaf)
    if array.ndim == 0:
        raise InputTypeError(
            "stimuli must be arrays with one sample per entry of the first axis, got"
            f" {leaf!r}; a single sample is x[numpy.newaxis]"
        )
    return array


def _rows_of(leaf: Any, rows: Any) -> npt.NDArray[Any]:
    """Read some samples of an array."""
    if isinstance(leaf, np.ndarray) or isinstance(rows, slice):
        return np.asarray(leaf[rows])
    # HDF5 reads rows in ascending order only: read them so, then put them in place.
    ascending, places = np.unique(rows, return_inverse=True)
    return np.asarray(leaf[ascending])[places]
