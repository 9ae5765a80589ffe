#!/usr/bin/env python3
"""Makes the vectors in tests/parity/operators: what PyTorch computes in double precision for every sample of the table of
operators. The samples come from operators/samples.jsonl, which operators_test writes (NETC_UPDATE_SAMPLES=1). A file each:

  input0 … weight bias running_mean running_var label projection   what the test sets
  output.train gradient.* after.*   a training step on the loss sum(output * projection), or the mean loss
  output.eval                       evaluation

and in bf16/ the same of operators that multiply bf16, where what they multiply is rounded to it.

Needs numpy, torch and safetensors. The output is the same at every run.
"""
import json
import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file
from torch.nn import functional as F

FOLDER = pathlib.Path(__file__).parent / "operators"
MULTIPLY_BF16 = {"conv", "linear"}
PRIME = 10007
rounded = False  # whether all values are rounded to bf16


def values(shape, stream):
    """Distinct numbers in (-2, 2), none of them 0 and no two closer than 4e-4: away from the kinks of relu and maxpool."""
    count = int(np.prod(shape))
    assert count < PRIME
    permuted = (np.arange(count) * 3571 + stream * 1009 + 17) % PRIME
    chosen = torch.tensor(4 * ((permuted + 0.25) / PRIME - 0.5)).reshape(tuple(shape))
    return chosen.bfloat16().double() if rounded else chosen


def positive(shape, stream):
    return values(shape, stream) / 4 + 1


class Owner:
    """Makes and keeps what a sample's operator owns."""

    def __init__(self):
        self.parameters = {}
        self.buffers = {}

    def parameter(self, name, shape):
        self.parameters[name] = values(shape, 10 + len(self.parameters)).requires_grad_()
        return self.parameters[name]

    def buffer(self, name, tensor):
        self.buffers[name] = tensor
        return tensor


def conv(own, x, a):
    weight = own.parameter("weight", [a["channels"], x.shape[1] // a["groups"], *pair(a["kernel"])])
    bias = own.parameter("bias", [a["channels"]]) if a["bias"] else None
    return lambda training: F.conv2d(x, weight, bias, a["stride"], a["pad"], a["dilation"], a["groups"])


def linear(own, x, a):
    weight = own.parameter("weight", [a["features"], x.shape[1]])
    bias = own.parameter("bias", [a["features"]]) if a["bias"] else None
    return lambda training: F.linear(x, weight, bias)


def batchnorm(own, x, a):
    weight = own.parameter("weight", [x.shape[1]])
    bias = own.parameter("bias", [x.shape[1]])
    mean = own.buffer("running_mean", values([x.shape[1]], 20))
    var = own.buffer("running_var", positive([x.shape[1]], 21))
    return lambda training: F.batch_norm(x, mean, var, weight, bias, training, a["momentum"], a["eps"])


def pair(value):
    return value if isinstance(value, list) else [value, value]


def plain(function):
    """An operator that owns nothing and is the same in training and evaluation."""
    return lambda own, x, a: lambda training: function(x, a)


def over_axes(function):
    """A reduction over the axes of a call, by default all but the batch."""
    return plain(lambda x, a: function(x, tuple(a["axis"]) or tuple(range(1, x.dim())), a))


OPERATORS = {
    "conv": conv,
    "linear": linear,
    "batchnorm": batchnorm,
    "maxpool": plain(lambda x, a: F.max_pool2d(x, a["kernel"], a["stride"], a["pad"], 1, a["ceil_mode"])),
    "avgpool": plain(lambda x, a: F.avg_pool2d(x, a["kernel"], a["stride"], a["pad"])),
    "globalavgpool": plain(lambda x, a: x.mean((2, 3), keepdim=True)),
    "adaptiveavgpool": plain(lambda x, a: F.adaptive_avg_pool2d(x, a["size"])),
    "relu": plain(lambda x, a: F.relu(x)),
    "sigmoid": plain(lambda x, a: torch.sigmoid(x)),
    "tanh": plain(lambda x, a: torch.tanh(x)),
    "softmax": plain(lambda x, a: F.softmax(x, a["axis"])),
    "flatten": plain(lambda x, a: x.flatten(1)),
    "reshape": plain(lambda x, a: x.reshape(x.shape[0], *a["shape"])),
    "identity": plain(lambda x, a: x + 0),
    "scale": plain(lambda x, a: a["factor"] * x),
    "sum": over_axes(lambda x, axes, a: x.sum(axes, a["keepdim"])),
    "mean": over_axes(lambda x, axes, a: x.mean(axes, a["keepdim"])),
    "max": over_axes(lambda x, axes, a: x.amax(axes, a["keepdim"])),
    "min": over_axes(lambda x, axes, a: x.amin(axes, a["keepdim"])),
    "norm": over_axes(lambda x, axes, a: torch.linalg.vector_norm(x, a["p"], axes, a["keepdim"])),
    "cumsum": plain(lambda x, a: x.cumsum(a["axis"])),
    "dot": lambda own, xs, a: lambda training: (xs[0] * xs[1]).sum(1),
    "matvec": lambda own, xs, a: lambda training: torch.einsum("nij,nj->ni", *xs),
    "matmul": lambda own, xs, a: lambda training: xs[0] @ xs[1],
    "dropout": plain(lambda x, a: x + 0),  # in evaluation: random numbers are netc's own
    "add": lambda own, xs, a: lambda training: sum(xs),
    "concat": lambda own, xs, a: lambda training: torch.cat(xs, a["axis"]),
}
SEVERAL = {"add", "concat", "dot", "matvec", "matmul"}
RANDOM = {"dropout"}


def labels(op, shape):
    """A class an example, the first and the last among them; or values."""
    if op == "cross_entropy":
        return torch.arange(shape[0]) * (shape[1] - 1) // (shape[0] - 1)
    return values(shape, 30)


def losses(op, x, label, attributes):
    if op == "cross_entropy":
        return F.cross_entropy(x, label, reduction="none", **attributes)
    return F.mse_loss(x, label, reduction="none").flatten(1).mean(1)


def loss_vectors(op, x, attributes):
    tensors = {"label": labels(op, x.shape)}
    each = losses(op, x, tensors["label"], attributes)
    each.mean().backward()
    return tensors | {"output.train": each, "output.eval": each}


def operator_vectors(op, inputs, attributes):
    own = Owner()
    forward = OPERATORS[op](own, inputs if op in SEVERAL else inputs[0], attributes)
    tensors = own.parameters | {name: buffer.clone() for name, buffer in own.buffers.items()}
    tensors["output.eval"] = forward(False)
    tensors["projection"] = values(tensors["output.eval"].shape, 31)
    if op in RANDOM:
        return tensors
    output = forward(True)
    (output * tensors["projection"]).sum().backward()
    after = {f"after.{name}": buffer for name, buffer in own.buffers.items()}
    gradients = {f"gradient.{name}": parameter.grad for name, parameter in own.parameters.items()}
    return tensors | after | gradients | {"output.train": output}


def vectors(sample):
    op = sample["op"]
    inputs = [values(shape, i).requires_grad_() for i, shape in enumerate(sample["inputs"])]
    is_loss = op in ("cross_entropy", "mse")
    tensors = loss_vectors(op, inputs[0], sample["attributes"]) if is_loss else operator_vectors(op, inputs, sample["attributes"])
    for i, x in enumerate(inputs):
        tensors[f"input{i}"] = x
        if x.grad is not None:
            tensors[f"gradient.input{i}"] = x.grad
    return {name: tensor.detach().double().contiguous().numpy() for name, tensor in sorted(tensors.items())}


def main():
    global rounded
    for line in (FOLDER / "samples.jsonl").read_text().splitlines():
        sample = json.loads(line)
        save_file(vectors(sample), FOLDER / f"{sample['name']}.safetensors")
        if sample["op"] in MULTIPLY_BF16:
            rounded = True
            save_file(vectors(sample), FOLDER / "bf16" / f"{sample['name']}.safetensors")
            rounded = False


if __name__ == "__main__":
    main()
