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

__all__ = [
    "ArrayStimuli",
    "Batch",
    "Stimuli",
    "StreamedStimuli",
    "as_stimuli",
    "checked_labels",
    "class_labels",
]

AsInput = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


class Batch(NamedTuple):
    """Some samples: a nest of arrays with equal first axes, their numbers in the data,
    and labels that came along.
    """

    data: Any
    stimulus_id: npt.NDArray[np.int64]
    labels: npt.NDArray[Any] | None


class ArrayStimuli:
    """Stimuli that can be indexed: an array, or a list or dict of arrays with equal
    first axes.

    Parameters
    ----------
    data : nest of array
        Anything with a shape and fancy indexing along the first axis: NumPy, memory
        maps, pandas, tensors, HDF5.
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
                f"all inputs need the same number of samples, got {lengths}"
                "; one sample is one entry along the first axis of every input"
            )
        self.n_samples: int = lengths[0]

    def first(self, n_samples: int | None) -> Batch:
        """A few samples, from which shapes and types are seen."""
        return next(self.batches(None, n_samples or min(8, self.n_samples)))

    def batches(
        self, order: npt.NDArray[np.int64] | None, batch_size: int, start: int = 0
    ) -> Iterator[Batch]:
        """Batches in an order, from the presentation `start` on; None stands for the
        order of the data.
        """
        n = self.n_samples if order is None else len(order)
        for first in range(start, n, batch_size):
            stop = min(first + batch_size, n)
            ids = np.arange(first, stop) if order is None else order[first:stop]
            rows = slice(first, stop) if order is None else ids
            samples = map_leaves(functools.partial(_rows_of, rows=rows), self._data)
            yield Batch(map_leaves(self._as_input, samples), ids, None)


class StreamedStimuli:
    """Stimuli that come batch by batch, in their own order, and are read once.

    Parameters
    ----------
    batches : iterable
        Yields batches: stimuli, or tuples of stimuli and labels. An iterator can be
        read once, anything else again.
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
        """The first batch as it comes, which the next reading still gives."""
        items = iter(self._batches)
        taken = list(itertools.islice(items, 1))
        self._peeked = items, taken
        return next(self._read(taken, None))

    def batches(self) -> Iterator[Batch]:
        """Batches as they come, cut at `n_samples`; an error if they end before."""
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
                    f" {sorted(lengths)}"
                )
            n = lengths.pop()
            if n_samples is not None:
                n = min(n, n_samples - n_shown)
            if labels is not None and len(labels) < n:
                raise InputValueError(
                    f"a batch of {n} samples came with {len(labels)} labels; give one a"
                    " sample"
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
                "there are no stimuli to show: the data ended before the first sample"
            )
        if n_samples is not None:
            raise InputValueError(
                f"the stimuli ended after {n_shown} of {n_samples} samples"
                f"; pass n_samples={n_shown}, or data that does not end early"
            )

    def _split(self, item: Any) -> tuple[Any, npt.NDArray[Any] | None]:
        if isinstance(item, tuple) or (
            self._lists_are_pairs and isinstance(item, list)
        ):
            if len(item) not in {1, 2, 3}:
                raise InputValueError(
                    "a batch must be stimuli or a tuple (stimuli, labels[, weights]),"
                    f" got a tuple of {len(item)}"
                    "; pass several inputs as a list or dict inside the tuple"
                )
            labels = item[1] if len(item) > 1 else None
            return item[0], None if labels is None else class_labels(labels)
        return item, None


Stimuli = ArrayStimuli | StreamedStimuli


def as_stimuli(x: Any, n_samples: int | None, adapter: Adapter) -> Stimuli:
    """Find out how data can be read.

    Parameters
    ----------
    x : array, list or dict of arrays, DataFrame, Dataset, PyDataset, loader, iterable
        What the user passes.
    n_samples : int or None
        Number of samples to take from data that comes in batches.
    adapter : Adapter
        The framework that will take them.

    Returns
    -------
    ArrayStimuli or StreamedStimuli
        The data, to be indexed or read once.

    Raises
    ------
    InputTypeError, InputValueError
        If it is no data, or holds none.
    """
    if n_samples is not None:
        n_samples = whole_number(n_samples, "n_samples")
    if (
        _is_array(x)
        or isinstance(x, Mapping)
        or (isinstance(x, (list, tuple)) and not _holds_batches(x))
    ):
        data = x if _is_array(x) or _is_nest(x) else np.asarray(x)
        stimuli = ArrayStimuli(data, adapter.as_input)
        if n_samples not in {None, stimuli.n_samples}:
            raise InputValueError(
                f"n_samples={n_samples} is for data that comes in batches; these"
                f" stimuli are {stimuli.n_samples}"
                f": pass x[:{n_samples}] to show fewer"
            )
        return stimuli
    batches = adapter.batches(x)
    if batches is not None:
        return StreamedStimuli(
            batches, n_samples, adapter.as_input, lists_are_pairs=False
        )
    if not isinstance(x, Iterable):
        raise InputTypeError(
            "stimuli must be arrays, a list or dict of them, or an iterable of"
            f" batches, got {type(x).__name__}"
            "; convert them with numpy.asarray"
        )
    lists_are_pairs = hasattr(x, "collate_fn") or adapter.n_inputs == 1
    return StreamedStimuli(
        x, n_samples, adapter.as_input, lists_are_pairs=lists_are_pairs
    )


def class_labels(labels: Any) -> npt.NDArray[Any] | None:
    """Labels as one class per sample: columns of one flattened, one-hot rows made
    indices; None for other targets.
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
    """Return a user's labels as one class per sample, or say why they are none.

    Parameters
    ----------
    labels : array_like
        What the user passed.
    n_samples : int or None
        Number of samples, if known.
    as_numbers : bool
        Whether predictions are to be compared with them.

    Returns
    -------
    ndarray, shape (n_samples,)
        The labels.

    Raises
    ------
    InputValueError
        If they are no classes, too many or too few, or no numbers where they must be.
    """
    classes = class_labels(labels)
    if classes is None:
        array = np.asarray(labels)
        raise InputValueError(
            f"labels must be one integer or string per sample, shape ({n_samples},),"
            f" got {array.dtype} of shape {array.shape}; bin or name the values"
        )
    if n_samples is not None and len(classes) != n_samples:
        raise InputValueError(
            f"labels must have one entry per sample, {n_samples}, got {len(classes)};"
            " pass the labels of the same samples"
        )
    if as_numbers and classes.dtype.kind not in "iub":
        raise InputValueError(
            "predictions are class numbers, which labels of type"
            f" {classes.dtype} cannot be compared with; pass labels as integers, or"
            " predictions=False"
        )
    return classes


def _is_array(x: Any) -> bool:
    return hasattr(x, "shape") and hasattr(x, "__getitem__")


def _is_nest(x: Any) -> bool:
    return isinstance(x, Mapping) or all(_is_array(leaf) for leaf in x)


def _holds_batches(x: Any) -> bool:
    """Whether a list is one of batches: tuples of stimuli and labels."""
    return (
        bool(x)
        and isinstance(x, list)
        and all(isinstance(item, tuple) for item in x)
        and _is_array(x[0][0])
    )


def _as_array(leaf: Any) -> Any:
    """A leaf of the data as something NumPy indexes; torch, TensorFlow and JAX tensors
    and pandas are converted.
    """
    if isinstance(leaf, np.ndarray):
        return leaf
    if hasattr(leaf, "to_numpy"):
        return leaf.to_numpy()
    if hasattr(leaf, "detach"):
        return leaf.detach().cpu().numpy()
    if hasattr(leaf, "numpy"):
        return leaf.numpy()
    if _is_array(leaf) and hasattr(leaf, "dtype") and len(leaf.shape):
        # Arrays on disk, as of h5py and zarr, are read batch by batch.
        return leaf
    array = np.asarray(leaf)
    if array.ndim == 0:
        raise InputTypeError(
            "stimuli must be arrays with one sample per entry of the first axis, got"
            f" {leaf!r}"
        )
    return array


def _rows_of(leaf: Any, rows: Any) -> npt.NDArray[Any]:
    """Samples of a leaf; of an array on disk in ascending order, which HDF5
    insists on.
    """
    if isinstance(leaf, np.ndarray) or isinstance(rows, slice):
        return np.asarray(leaf[rows])
    ascending, places = np.unique(rows, return_inverse=True)
    return np.asarray(leaf[ascending])[places]
