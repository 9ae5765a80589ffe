"""Writes PyTorch's figures for the networks of the parity test: NAME.safetensors beside this file.

    python3 -m venv V && V/bin/pip install torch numpy safetensors && V/bin/python tests/parity/networks.py

Weights and batches are drawn here and stored, so that both sides have the same ones. Each file holds, in single precision,
    weight.PATH     parameters and buffers before the first step
    input.NAME, class or target    one batch and its labels
    output, loss    of a training step in double precision; eval.output, eval.loss of an evaluation
    gradient.PATH   gradients of that step; gradient.input.NAME of the inputs
    buffer.PATH     running statistics after it
    after.PATH      parameters and buffers after three steps of the recipe's optimizer on the same batch; losses [3]
    error.KEY       for each of the above: the relative error of PyTorch's own single precision
"""
import copy
import pathlib

import numpy
import torch
from safetensors.numpy import save_file
from torch import nn

FOLDER = pathlib.Path(__file__).parent


class Residual(nn.Module):
    def __init__(self, inputs, channels, stride=1, project=False):
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, 3, stride, 1)
        self.batchnorm = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.batchnorm2 = nn.BatchNorm2d(channels)
        self.project = nn.Conv2d(inputs, channels, 1, stride) if project else nn.Identity()

    def forward(self, x):
        y = torch.relu(self.batchnorm(self.conv(x)))
        return torch.relu(self.batchnorm2(self.conv2(y)) + self.project(x))


class Network(nn.Module):
    """tests/parity/residual.net"""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 5, 2, 2, bias=False), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.first = Residual(24, 24)
        self.left = nn.Conv2d(24, 16, 1)
        self.right = nn.Conv2d(24, 24, 3, 1, 1, groups=4)
        self.pool = nn.AvgPool2d(3, 1, 1)
        self.second = Residual(64, 32, 2, True)
        self.tail = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 20), nn.ReLU())
        self.head = nn.Linear(20, 10)

    def forward(self, x):
        x = self.first(self.stem(x))
        x = torch.cat([torch.tanh(self.left(x)), torch.sigmoid(self.right(x)), self.pool(x)], 1)
        return self.head(self.tail(self.second(x)))


# From PyTorch's names to netc's paths: netc numbers the operators of a list as they come.
RESIDUAL_NAMES = {
    "stem.0": "stem.conv", "stem.1": "stem.batchnorm",
    "first.conv": "conv", "first.batchnorm": "batchnorm", "first.conv2": "conv2", "first.batchnorm2": "batchnorm2",
    "left": "conv3", "right": "conv4",
    "second.conv": "conv5", "second.batchnorm": "batchnorm3", "second.conv2": "conv6", "second.batchnorm2": "batchnorm4",
    "second.project": "conv7", "tail.2": "linear", "head": "head",
}


class Graph(nn.Module):
    """tests/parity/graph.net"""

    def __init__(self):
        super().__init__()
        self.left = nn.Sequential(nn.Conv2d(3, 12, (5, 3), 2, (2, 1)), nn.BatchNorm2d(12), nn.Tanh())
        self.conv = nn.Conv2d(5, 12, 1)
        self.right = nn.Sequential(nn.Conv2d(12, 12, 3, 1, 2, 2, groups=4), nn.Sigmoid())
        self.h = nn.Conv2d(12, 12, 3, 1, 1, groups=12)
        self.conv2 = nn.Conv2d(12, 7, 1)
        self.conv3 = nn.Conv2d(12, 9, 3, 2, 1, bias=False)
        self.batchnorm = nn.BatchNorm2d(28)
        self.linear = nn.Linear(28 * 10 * 7, 20)
        self.head = nn.Linear(20, 4)

    def forward(self, a, b):
        x = torch.relu(self.left(a) + self.right(self.conv(b)))
        x = nn.functional.max_pool2d(self.h(torch.relu(self.h(x))), (3, 2), 2, (1, 0))
        x = torch.cat([self.conv2(nn.functional.avg_pool2d(x, 3, 2, 1)), self.conv3(x), nn.functional.adaptive_avg_pool2d(x, (5, 7))], 1)
        x = torch.relu(self.batchnorm(x))
        x = torch.cat([x, nn.functional.max_pool2d(x, 3, 1, 1)], 2)
        return self.head(torch.softmax(self.linear(x.flatten(1)), 1))


GRAPH_NAMES = {name: name for name in ("conv", "h", "conv2", "conv3", "batchnorm", "linear", "head")}
GRAPH_NAMES |= {"left.0": "left.conv", "left.1": "left.batchnorm", "right.0": "right.conv"}


def lenet():
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2, 2), nn.Conv2d(6, 16, 5), nn.Sigmoid(),
                         nn.AvgPool2d(2, 2), nn.Flatten(), nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(),
                         nn.Linear(84, 10))


LENET_NAMES = {"0": "conv1", "3": "conv2", "7": "fc1", "9": "fc2", "11": "fc3"}

NETWORKS = {
    "lenet": (lenet, LENET_NAMES, {"image": (5, 1, 28, 28)}, 10, dict(lr=0.9)),
    "residual": (Network, RESIDUAL_NAMES, {"image": (5, 3, 20, 18)}, 10, dict(lr=0.01, momentum=0.9, weight_decay=0.001)),
    "graph": (Graph, GRAPH_NAMES, {"a": (3, 3, 37, 53), "b": (3, 5, 19, 27)}, (3, 4), dict(lr=0.05, momentum=0.5, nesterov=True)),
}


def tensors_of(model, names, prefix):
    """Parameters and buffers by netc's paths."""
    result = {}
    for key, value in model.state_dict().items():
        module, _, leaf = key.rpartition(".")
        if leaf != "num_batches_tracked":
            result[f"{prefix}.{names[module]}.{leaf}"] = value.detach().clone()
    return result


def loss_of(output, label):
    return nn.functional.mse_loss(output, label) if label.is_floating_point() else nn.functional.cross_entropy(output, label)


def figures(model, names, inputs, label, optimizer):
    """Everything that is compared, in the precision of `model`."""
    result = {}
    model.eval()
    with torch.no_grad():
        result["eval.output"] = model(*inputs.values())
        result["eval.loss"] = loss_of(result["eval.output"], label).reshape(1)
    model.train()
    inputs = {name: x.clone().requires_grad_() for name, x in inputs.items()}
    output = model(*inputs.values())
    loss = loss_of(output, label)
    loss.backward()
    result |= {"output": output.detach(), "loss": loss.detach().reshape(1)}
    result |= {f"gradient.input.{name}": x.grad.clone() for name, x in inputs.items()}
    for key, value in model.named_parameters():
        module, _, leaf = key.rpartition(".")
        result[f"gradient.{names[module]}.{leaf}"] = value.grad.clone()
    parameters = dict(model.named_parameters())
    for key, value in model.state_dict().items():
        module, _, leaf = key.rpartition(".")
        if key not in parameters and leaf != "num_batches_tracked":
            result[f"buffer.{names[module]}.{leaf}"] = value.clone()
    step = torch.optim.SGD(model.parameters(), **optimizer)
    losses = [loss.detach()]
    step.step()
    for _ in range(2):
        step.zero_grad()
        loss = loss_of(model(*inputs.values()), label)
        loss.backward()
        step.step()
        losses.append(loss.detach())
    result["losses"] = torch.stack(losses)
    return result | tensors_of(model, names, "after")


def relative_error(value, oracle):
    value, oracle = value.double(), oracle.double()
    scale = oracle.norm().item()
    return (value - oracle).norm().item() / scale if scale > 0 else (value - oracle).norm().item()


def write(name):
    make, names, shapes, labels, optimizer = NETWORKS[name]
    torch.manual_seed(7)
    model = make()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
    inputs = {key: torch.rand(shape) for key, shape in shapes.items()}
    classes = isinstance(labels, int)
    label = torch.randint(0, labels, (len(next(iter(inputs.values()))),)) if classes else torch.randn(labels)
    start = tensors_of(model, names, "weight")
    wide = {key: x.double() for key, x in inputs.items()}
    oracle = figures(copy.deepcopy(model).double(), names, wide, label if classes else label.double(), optimizer)
    single = figures(copy.deepcopy(model), names, inputs, label, optimizer)
    file = {key: value.float().numpy() for key, value in (start | oracle).items()}
    file |= {f"input.{key}": x.numpy() for key, x in inputs.items()}
    file["class" if classes else "target"] = label.float().numpy()
    for key, value in oracle.items():
        file["error." + key] = numpy.array([relative_error(single[key], value)], dtype=numpy.float32)
    save_file({key: numpy.ascontiguousarray(value) for key, value in file.items()}, FOLDER / f"{name}.safetensors")


if __name__ == "__main__":
    for name in NETWORKS:
        write(name)
