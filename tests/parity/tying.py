"""Writes PyTorch's figures for networks with shared layers, in double precision: tying/NAME.safetensors.

    python3 -m venv V && V/bin/pip install torch numpy safetensors && V/bin/python tests/parity/tying.py

Training takes six steps; between the third and the fourth, parameters are written as `write` says. Each file holds
    start.PATH       parameters and buffers before the first step
    input, class or target    the batch
    losses           of each step
    gradient.PATH    of the first step
    output           of an evaluation right after the writing
    after.PATH, momentum.PATH    parameters, buffers and momenta after the last step
    error.KEY        for each of the above: the relative error of PyTorch's own single precision
"""
import copy
import pathlib

import numpy
import torch
from safetensors.numpy import save_file
from torch import nn

FOLDER = pathlib.Path(__file__).parent / "tying"
STEPS = 6
OPTIMIZER = dict(lr=0.05, momentum=0.9, weight_decay=0.001)


class Tied(nn.Module):
    """`tied` of models/custom_blocks.net"""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.h = nn.Linear(8, 8)
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        return self.out(torch.relu(self.h(torch.relu(self.h(torch.relu(self.first(x)))))))

    def write(self):
        self.h.weight[0, 0] = 1.5
        self.h.bias.copy_(torch.arange(8) / 8 - 0.5)
        self.out.weight += 1


class Twice(nn.Module):
    """tying/twice.net"""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.c = nn.ModuleDict({"conv": nn.Conv2d(6, 6, 3, padding=1, bias=False), "batchnorm": nn.BatchNorm2d(6)})
        self.head = nn.Linear(6, 5)

    def shared(self, x):
        return torch.relu(self.c["batchnorm"](self.c["conv"](x)))

    def forward(self, x):
        x = nn.functional.max_pool2d(self.shared(torch.relu(self.stem(x))), 2)
        return self.head(self.shared(x).mean((2, 3)))

    def write(self):
        self.c["conv"].weight[1, 2, 0, 1] = -0.75
        self.stem.weight += 0.125
        self.c["batchnorm"].weight *= 2
        self.head.bias.fill_(0.25)


def state(model, prefix):
    return {f"{prefix}.{key}": value.detach().clone() for key, value in model.state_dict().items() if "tracked" not in key}


def figures(model, x, label):
    result = {}
    losses = []
    optimizer = torch.optim.SGD(model.parameters(), **OPTIMIZER)
    for step in range(STEPS):
        if step == STEPS // 2:
            with torch.no_grad():
                model.write()
                result["output"] = model.eval()(x)
        model.train()
        optimizer.zero_grad()
        output = model(x)
        loss = nn.functional.mse_loss(output, label) if label.is_floating_point() else nn.functional.cross_entropy(output, label)
        loss.backward()
        losses.append(loss.detach())
        if step == 0:
            result |= {f"gradient.{name}": value.grad.clone() for name, value in model.named_parameters()}
        optimizer.step()
    result |= {f"momentum.{name}": optimizer.state[value]["momentum_buffer"] for name, value in model.named_parameters()}
    return result | {"losses": torch.stack(losses)} | state(model, "after")


def write(name, model, x, label):
    wide = figures(copy.deepcopy(model).double(), x.double(), label.double() if label.is_floating_point() else label)
    single = figures(copy.deepcopy(model), x, label)
    file = state(model, "start") | wide | {"input": x, "target" if label.is_floating_point() else "class": label.float()}
    for key, oracle in wide.items():
        scale = oracle.norm().clamp(min=1e-30)
        file["error." + key] = ((single[key].double() - oracle).norm() / scale).reshape(1)
    save_file({key: numpy.ascontiguousarray(value.float().numpy()) for key, value in file.items()},
              FOLDER / f"{name}.safetensors")


if __name__ == "__main__":
    torch.manual_seed(11)
    write("tied", Tied(), torch.randn(16, 4), torch.randn(16, 1))
    write("twice", Twice(), torch.rand(7, 3, 12, 10), torch.randint(0, 5, (7,)))
