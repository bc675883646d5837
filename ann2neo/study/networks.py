"""The paper's networks, each with one observed hidden layer: MLP, CNN, DenseNet121."""

from __future__ import annotations

import functools
import logging
import socket
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo._checks import one_of, whole_number
from ann2neo.errors import InputValueError

__all__ = [
    "HIDDEN_LAYER",
    "NETWORKS",
    "PRECISIONS",
    "Weights",
    "build_network",
    "initial_weights",
    "learning_twin",
    "weights_of",
]

_log = logging.getLogger(__name__)

NETWORKS = ("MLP", "CNN", "DenseNet121")
"""Names of the architectures, from shallow to deep."""

HIDDEN_LAYER = "hidden"
"""The observed layer: the last hidden one, dense, ReLU."""

PRECISIONS = ("float32", "mixed_bfloat16")
"""What networks may be trained in; they are always recorded in float32."""

Weights = list[npt.NDArray[np.float32]]

_SMALLEST_IMAGE = {"CNN": 3, "DenseNet121": 32}
_DOWNLOAD_SECONDS = 10.0


def build_network(
    network: str, width: int, input_shape: tuple[int, ...], n_classes: int = 10
) -> Any:
    """Build one of the paper's networks (section 3.1.2), with a softmax output.

    Parameters
    ----------
    network : {"MLP", "CNN", "DenseNet121"}
        MLP: Flatten, Dense, Dense. CNN: Conv2D with 32 filters of 3 x 3, Flatten,
        Dense, Dense. DenseNet121: the network of `keras.applications` without its top,
        Flatten, Dense, Dense.
    width : int
        Units of the hidden layer, which is called "hidden".
    input_shape : tuple of int
        (row, col, channel), or (feature,) for the MLP.
    n_classes : int, default 10
        Units of the output layer.

    Returns
    -------
    keras.Sequential
        Not compiled. Its attribute ``pretrained`` says whether DenseNet121 carries
        ImageNet's weights, which it does where they can be downloaded.

    Raises
    ------
    InputValueError
        If the network is unknown, a size is not positive, or the inputs are too small
        for it.
    """
    import keras

    one_of(network, NETWORKS, "network")
    whole_number(width, "width")
    whole_number(n_classes, "n_classes", at_least=2)
    layers: list[Any] = [keras.Input(input_shape)]
    pretrained = False
    n = _SMALLEST_IMAGE.get(network, 0)
    if n and (len(input_shape) != 3 or min(input_shape[:2]) < n):
        raise InputValueError(
            f"{network} needs images of at least {n} x {n} pixels, got inputs of shape"
            f" {input_shape}; use larger images or the MLP"
        )
    if network == "CNN":
        layers.append(keras.layers.Conv2D(32, 3, activation="relu", name="convolution"))
    elif network == "DenseNet121":
        base, pretrained = _densenet(input_shape)
        layers.append(base)
    layers += [
        keras.layers.Flatten(name="flatten"),
        keras.layers.Dense(width, activation="relu", name=HIDDEN_LAYER),
        keras.layers.Dense(n_classes, activation="softmax", name="output"),
    ]
    model = keras.Sequential(layers, name=f"{network}-{width}")
    model.pretrained = pretrained
    return model


def _densenet(input_shape: tuple[int, ...]) -> tuple[Any, bool]:
    import keras

    arguments = {
        "include_top": False,
        "input_shape": input_shape,
        "name": "densenet121",
    }
    # ImageNet's weights are of three channels. Without a time limit, a machine without
    # a network would wait for minutes.
    if input_shape[2] == 3:
        waited = socket.getdefaulttimeout()
        socket.setdefaulttimeout(_DOWNLOAD_SECONDS)
        try:
            return keras.applications.DenseNet121(weights="imagenet", **arguments), True
        # Keras raises a plain Exception when a download fails.
        except Exception as error:  # noqa: BLE001
            _log.info(
                "DenseNet121 starts from random weights, ImageNet's cannot be had: %s",
                error,
            )
        finally:
            socket.setdefaulttimeout(waited)
    return keras.applications.DenseNet121(weights=None, **arguments), False


def learning_twin(model: Any, precision: str = "float32") -> Any:
    """Build the same network as it is trained, with weights of its own.

    Parameters
    ----------
    model : keras.Sequential
        A network as `build_network` gives it.
    precision : {"float32", "mixed_bfloat16"}
        Mixed: computes in bfloat16 with sums in float32, and keeps its weights and its
        softmax in float32 (Micikevicius et al. 2018, ICLR).

    Returns
    -------
    keras.Sequential
        Weights are as built and in the order of those of `model`. On TensorFlow, batch
        normalization learns by its fused kernel.
    """
    import keras

    def twin(layer: Any) -> Any:
        if isinstance(layer, keras.Model):
            return keras.models.clone_model(layer, clone_function=twin)
        kind = type(layer)
        is_normalization = kind is keras.layers.BatchNormalization
        if is_normalization and keras.backend.backend() == "tensorflow":
            kind = _fused_batch_normalization()
        dtype = "float32" if layer is model.layers[-1] else precision
        return kind.from_config({**layer.get_config(), "dtype": dtype})

    return keras.models.clone_model(model, clone_function=twin)


@functools.cache
def _fused_batch_normalization() -> Any:
    import keras
    import tensorflow as tf

    class FusedBatchNormalization(keras.layers.BatchNormalization):
        """Batch normalization of images in one operation.

        Keras makes several passes over all activations.
        """

        def call(
            self, inputs: Any, training: bool | None = None, mask: Any = None
        ) -> Any:
            if not (training and self.trainable):
                return super().call(inputs, training=training, mask=mask)
            normalized, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                inputs,
                tf.convert_to_tensor(self.gamma),
                tf.convert_to_tensor(self.beta),
                epsilon=self.epsilon,
            )
            # The kernel divides squares by n - 1, Keras by n.
            n = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
            moments = (mean, variance * (n - 1) / n)
            averages = (self.moving_mean, self.moving_variance)
            for moving, now in zip(averages, moments, strict=True):
                moving.assign(moving * self.momentum + now * (1 - self.momentum))
            return normalized

    return FusedBatchNormalization


def weights_of(model: Any) -> Weights:
    """Copy a network's weights."""
    return [np.array(value) for value in model.get_weights()]


def initial_weights(model: Any, seed: int) -> Weights:
    """Draw the weights of an untrained network.

    Parameters
    ----------
    model : keras.Model
        A network as `build_network` gives it, still untrained.
    seed : int
        The same seed gives the same weights, whatever else was drawn before.

    Returns
    -------
    list of ndarray of float32
        Kernels Glorot-uniform (Glorot & Bengio 2010), Keras' default; everything else
        as built: biases 0, batch normalization neutral. Pre-trained kernels stay.
    """
    rng = np.random.default_rng(seed)
    kept = {
        id(weight)
        for layer in model.layers
        if model.pretrained and layer.name == "densenet121"
        for weight in layer.weights
    }
    drawn = []
    for variable, value in zip(model.weights, weights_of(model), strict=True):
        if variable.name == "kernel" and id(variable) not in kept:
            # Kernels have the shape (rows, columns, inputs, outputs) or (inputs,
            # outputs); a unit sees the inputs of all pixels of its receptive field.
            field = int(np.prod(value.shape[:-2]))
            limit = np.sqrt(6 / (field * (value.shape[-2] + value.shape[-1])))
            drawn.append(rng.uniform(-limit, limit, value.shape).astype(np.float32))
        else:
            drawn.append(value)
    return drawn
