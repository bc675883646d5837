"""Packing: compare activations with thresholds and pack the spikes, on their device."""

from __future__ import annotations

import functools
import math
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ann2neo.probe.adapter import Frame, NotFinite, Packing, first_not_finite
from ann2neo.raster.bits import pack_rows

__all__ = ["pack_spikes", "to_numpy"]


def pack_spikes(
    activations: torch.Tensor,
    limits: npt.NDArray[Any],
    index: npt.NDArray[np.int32] | None,
    frame: Frame | None = None,
) -> Packing:
    """Compare activations with thresholds; see `Adapter.pack_spikes`."""
    n_rows = len(activations) * (1 if frame is None else frame.n_steps)
    flat = activations.detach().reshape(n_rows, -1)
    if frame is not None and frame.rows is not None:
        flat = flat.index_select(0, torch.from_numpy(frame.rows).to(flat.device))
    # A comparison in half precision would round the threshold.
    if flat.dtype != torch.float64:
        flat = flat.float()
    if index is not None:
        flat = flat.index_select(1, torch.from_numpy(index).to(flat.device))
    if flat.device.type == "cpu":
        return _on_cpu(flat, limits)
    return _on_device(flat, limits)


def _on_device(flat: torch.Tensor, limits: npt.NDArray[Any]) -> Packing:
    """Compare and pack without waiting for the device."""
    limit = torch.from_numpy(np.asarray(limits)).to(flat.device)
    # Rows of the raster are units: on the device, transposing costs next to nothing.
    packed = _packed(flat > limit).t().contiguous()
    suspect = _suspect(flat)
    ready = None
    if flat.is_cuda:
        ready = torch.cuda.current_stream(flat.device).record_event()
    return functools.partial(_fetch, packed, suspect, ready)


def _on_cpu(flat: torch.Tensor, limits: npt.NDArray[Any]) -> Packing:
    """Compare and pack with NumPy.

    Each operation of PyTorch on a CPU waits for all threads, which costs more than it
    saves on so few bytes, most of all where other programs keep the cores busy.
    """
    n_samples, n_units = flat.shape
    values = flat.numpy()
    spikes = _scratch(-(-n_samples // 8) * 8, n_units)
    spikes[n_samples:] = 0
    np.greater(values, limits, out=spikes[:n_samples].view(np.bool_))
    packed = pack_rows(spikes)
    found = None
    # A sum reads memory once, einsum's on one core. It may overflow, so that only a
    # finite one decides.
    if not math.isfinite(np.einsum("ij->", values)):
        found = first_not_finite(values)
    return lambda: (packed, found)


_OF_THREAD = threading.local()


def _scratch(n_rows: int, n_columns: int) -> npt.NDArray[np.uint8]:
    """Return memory that this thread has used before, since new memory is slow."""
    n_bytes = n_rows * n_columns
    known: npt.NDArray[np.uint8] | None = getattr(_OF_THREAD, "scratch", None)
    if known is None or len(known) < n_bytes:
        _OF_THREAD.scratch = known = np.empty(n_bytes, np.uint8)
    return known[:n_bytes].reshape(n_rows, n_columns)


def _packed(spikes: torch.Tensor) -> torch.Tensor:
    """Pack eight samples per byte, first sample in the lowest bit."""
    n_samples, n_units = spikes.shape
    missing = -n_samples % 8
    if missing:
        spikes = torch.cat([spikes, spikes.new_zeros(missing, n_units)])
    # Axes (octet, sample in the octet, unit): `octets[:, i]` becomes bit i.
    octets = spikes.view(torch.uint8).view(-1, 8, n_units)
    packed = octets[:, 7].clone()
    for row in range(6, -1, -1):
        packed.bitwise_left_shift_(1).bitwise_or_(octets[:, row])
    return packed


def _suspect(flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the first sample with such a value, without waiting for the device.

    Returns
    -------
    row : tensor, shape (1,)
        Number of the sample; 0 if all values are finite.
    values : tensor, shape (1, n_units)
        Its values.
    """
    odd = torch.isfinite(flat).all(dim=1).logical_not()
    row = odd.to(torch.uint8).argmax().reshape(1)
    return row, flat.index_select(0, row)


def _fetch(
    packed: torch.Tensor,
    suspect: tuple[torch.Tensor, torch.Tensor],
    ready: Any,
) -> tuple[npt.NDArray[np.uint8], NotFinite | None]:
    """Wait for the device and copy the packed spikes from it."""
    if ready is not None:
        ready.synchronize()
    row, values = suspect
    found = first_not_finite(to_numpy(values))
    if found is not None:
        found = found._replace(sample=int(row))
    return packed.cpu().numpy().T, found


def to_numpy(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """Copy a tensor into an array; types that NumPy lacks become float32."""
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16 or tensor.is_quantized:
        tensor = tensor.dequantize() if tensor.is_quantized else tensor.float()
    return np.asarray(tensor.cpu().numpy())
