"""Sequences of PyTorch's modules: every step of recurrent ones, and padding."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from ann2neo.errors import LayerError
from ann2neo.probe.adapter import Tap

__all__ = [
    "ModuleCall",
    "batch_first",
    "every_step",
    "padding_mask",
    "states_of_cell",
    "unpacked",
]

_PADDING = ("src_key_padding_mask", "key_padding_mask", "tgt_key_padding_mask")
_OUTPUT, _MEMORY = "h", "c"


class ModuleCall(NamedTuple):
    """One call of a module, with what it took and returned."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any


def states_of_cell(module: nn.Module) -> dict[int, str]:
    """Name the outputs of a recurrent cell by their numbers."""
    if isinstance(module, nn.LSTMCell):
        return {0: _OUTPUT, 1: _MEMORY}
    return {0: _OUTPUT} if isinstance(module, nn.RNNCellBase) else {}


def unpacked(module: Any, output: Any) -> Any:
    """Fill packed sequences up to the longest, and leave other outputs as they are."""
    packed = _sequences(output)
    if not isinstance(packed, PackedSequence):
        return output
    sequences, _ = pad_packed_sequence(
        packed, batch_first=getattr(module, "batch_first", True)
    )
    return sequences if output is packed else (sequences, *output[1:])


def batch_first(module: nn.Module, tensor: torch.Tensor, output: int) -> torch.Tensor:
    """Move the batch to the front where PyTorch's own layers keep it behind."""
    # The last states of a recurrent layer have the axes (layer, batch, unit) whatever
    # `batch_first` says; the scores of an attention have the batch in front.
    if isinstance(module, nn.RNNBase):
        behind = output > 0 or not module.batch_first
    else:
        behind = output == 0 and not _is_batch_first(module)
    return tensor.transpose(0, 1) if behind and tensor.ndim > 1 else tensor


def _is_batch_first(module: Any) -> bool:
    """Whether a module says that its batch is in front, or nothing of it."""
    if isinstance(module, (nn.TransformerEncoder, nn.TransformerDecoder)):
        module = module.layers[0]
    if isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
        module = module.self_attn
    return getattr(module, "batch_first", True) is not False


def padding_mask(call: ModuleCall) -> torch.Tensor | None:
    """Return which steps of a module's output are no padding.

    Returns
    -------
    tensor of bool, shape (batch, step), or None
        None where the module was not told.
    """
    sequences = _sequences(call.output)
    if isinstance(sequences, PackedSequence):
        # `lengths` stands in the order of the batch.
        _, lengths = pad_packed_sequence(sequences)
        return torch.arange(int(lengths.max())) < lengths[:, None]
    given = [call.kwargs[name] for name in _PADDING if name in call.kwargs]
    mask = next((one for one in given if isinstance(one, torch.Tensor)), None)
    if mask is None or mask.ndim != 2:
        return None
    # True, or minus infinity, is padding.
    return ~mask if mask.dtype == torch.bool else mask >= 0


def _sequences(output: Any) -> Any:
    if isinstance(output, PackedSequence) or not isinstance(output, tuple):
        return output
    return output[0] if output else None


def every_step(
    tap: Tap, call: ModuleCall, *, with_states: bool
) -> list[tuple[Tap, torch.Tensor]]:
    """Return the output of a recurrent module after every step.

    Parameters
    ----------
    tap : Tap
        Its first output. The last states beside it are left out.
    call : ModuleCall
        Its call.
    with_states : bool
        Whether to return the memory of an LSTM as well, step by step.

    Returns
    -------
    list of (Tap, tensor)
        Tensors of shape (batch, step, unit).

    Raises
    ------
    LayerError
        If it cannot be run step by step, or does not come to what it returns.
    """
    module: Any = call.module
    sequences = _sequences(call.output)
    lengths = None
    if isinstance(sequences, PackedSequence):
        sequences, lengths = pad_packed_sequence(sequences, batch_first=True)
    else:
        sequences = batch_first(module, sequences, 0)
    outputs = [(tap._replace(state=_OUTPUT), sequences)]
    if with_states and isinstance(module, nn.LSTM):
        memory = _memory(tap, call, sequences, lengths)
        outputs.append((tap._replace(state=_MEMORY), memory))
    return outputs


def _memory(
    tap: Tap,
    call: ModuleCall,
    sequences: torch.Tensor,
    lengths: torch.Tensor | None,
) -> torch.Tensor:
    """Run an LSTM step by step, and return the memory of its last layer."""
    module: Any = call.module
    if module.bidirectional:
        raise LayerError(
            f"the layer {tap} is bidirectional, and its backward direction cannot be"
            " run step by step; record its state 'h' alone"
        )
    inputs = call.args[0] if call.args else call.kwargs["input"]
    states = call.args[1] if len(call.args) > 1 else call.kwargs.get("hx")
    if isinstance(inputs, PackedSequence):
        inputs, _ = pad_packed_sequence(inputs, batch_first=module.batch_first)
    axis = 1 if module.batch_first else 0
    difference, memory = 0.0, []
    for step in range(inputs.shape[axis]):
        now = inputs.narrow(axis, step, 1)
        # Not module(now), which would call the hooks again.
        output, states = module.forward(now, states)
        memory.append(states[1][-1])
        own = sequences[:, step]
        apart = (output.squeeze(axis) - own).abs().amax(dim=-1)
        if lengths is not None:
            apart = apart * (step < lengths).to(apart)
        difference = max(difference, float(apart.max()))
    if difference > 1e-4 * (1 + float(sequences.abs().max())):
        raise LayerError(
            f"run step by step, the layer {tap} differs from its own output by"
            f" {difference:.3g}, as with dropout between its layers; record its state"
            " 'h' alone"
        )
    return torch.stack(memory, dim=1)
