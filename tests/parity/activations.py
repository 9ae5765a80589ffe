#!/usr/bin/env python3
"""Makes tests/parity/runtime/activations.safetensors: the activations of models/std/activations.net by PyTorch, in
double precision, with the gradient of the mean square of what they make; and how far PyTorch's single precision is off.

Needs torch and safetensors. The output is the same at every run.
"""
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

FILE = pathlib.Path(__file__).parent / "runtime/activations.safetensors"
ACTIVATIONS = {  # as the language calls them, with arguments
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "leaky_relu": F.leaky_relu,
    "leaky_relu(0.2)": lambda x: F.leaky_relu(x, 0.2),
    "relu6": F.relu6,
    "elu": F.elu,
    "elu(0.5)": lambda x: F.elu(x, 0.5),
    "selu": F.selu,
    "celu": F.celu,
    "celu(2)": lambda x: F.celu(x, 2.0),
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": F.softplus,
    "softplus(2)": lambda x: F.softplus(x, 2.0),
    "softsign": F.softsign,
    "log_sigmoid": F.logsigmoid,
    "hardtanh": F.hardtanh,
    "hardtanh(-2, 0.5)": lambda x: F.hardtanh(x, -2.0, 0.5),
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "hardshrink": F.hardshrink,
    "hardshrink(0.3)": lambda x: F.hardshrink(x, 0.3),
    "softshrink": F.softshrink,
    "softshrink(0.3)": lambda x: F.softshrink(x, 0.3),
    "tanhshrink": F.tanhshrink,
    "threshold(-1, 0.25)": lambda x: F.threshold(x, -1.0, 0.25),
    "exp": torch.exp,
    "sin": torch.sin,
    "cos": torch.cos,
    "erf": torch.erf,
    "abs": torch.abs,
}


def points():
    """From -6 to 6, away from all kinks, and small ones; 3 examples of 33."""
    grid = torch.linspace(-6, 6, 89, dtype=torch.float64) + 0.013
    small = torch.tensor([1e-1, 1e-2, 1e-3, 1e-4, 1e-5], dtype=torch.float64)
    return torch.cat([grid, small, -small]).reshape(3, 33).float().double()


def computed(function, x):
    """The values, and the gradient of their mean square."""
    x = x.clone().requires_grad_()
    y = function(x)
    y.square().mean().backward()
    return y.detach(), x.grad


def error(found, expected):
    """The furthest: relative, or absolute below 0.05, where sums cancel."""
    return ((found.double() - expected).abs() / expected.abs().clamp(min=0.05)).max().reshape(1)


def main():
    x = points()
    tensors = {"x": x}
    for name, function in ACTIVATIONS.items():
        exact, single = computed(function, x), computed(function, x.float())
        for what, expected, found in zip(("value", "gradient"), exact, single):
            tensors[f"{name}: {what}"] = expected
            tensors[f"{name}: {what}, error"] = error(found, expected)
    save_file({name: tensor.float().contiguous() for name, tensor in tensors.items()}, FILE)


if __name__ == "__main__":
    main()
