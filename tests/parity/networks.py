#!/usr/bin/env python3
"""Compares whole networks with PyTorch.

    python3 -m venv V && V/bin/pip install torch torchvision numpy safetensors
    V/bin/python tests/parity/networks.py [NAME ...]           writes NAME.safetensors beside this file, for parity_test
    V/bin/python tests/parity/networks.py --table [NAME ...]   also runs netc and writes docs/parity.md

Parameters, buffers and batches come from a formula (`uniform`) that the test computes too, so that no file holds them.
netc is that of $NETC_BUILD (build). A file holds, in single precision, for each figure that PyTorch computes in double:

    KEY          its norm, two projections on random signs, and up to 64 elements (`digest`)
    error.KEY    the largest relative error that PyTorch's own single precision makes there, over all elements, in
                 three ways (`run_single`)

    output, loss            of a training step; eval.output, eval.loss of an evaluation
    gradient.PATH           gradients of that step; gradient.input.NAME of the inputs
    buffer.PATH             running statistics after it
    after.PATH, losses      parameters and buffers after three steps on the same batch, and the loss at each

Its metadata say how to make the network: see `describe`.
"""
import copy
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
import torchvision
from safetensors.numpy import load_file, save_file
from torch import nn

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests/parity"
NETC = ROOT / os.environ.get("NETC_BUILD", "build") / "bin/netc"
SAMPLES = 64
CHUNK = 1 << 20


# ---- The formula ------------------------------------------------------------------------------------------------------

def mixed(x):
    """A bijection of 32-bit words, in place."""
    x ^= x >> 16
    x *= numpy.uint32(0x7FEB352D)
    x ^= x >> 15
    x *= numpy.uint32(0x846CA68B)
    x ^= x >> 16
    return x


def key_of(stream):
    """FNV-1a of a name."""
    key = 2166136261
    for byte in stream.encode():
        key = (key ^ byte) * 16777619 % 2**32
    return numpy.uint32(key)


def words(stream, begin, end):
    """The random words begin … end of a stream."""
    return mixed(mixed(numpy.arange(begin, end, dtype=numpy.uint32)) + key_of(stream))


def uniform(stream, shape, bound, center=0):
    """Numbers between center - bound and center + bound; exact in single precision before the bound comes in."""
    values = numpy.empty(math.prod(shape), dtype=numpy.float32)
    for begin in range(0, len(values), CHUNK):
        end = min(begin + CHUNK, len(values))
        unit = (words(stream, begin, end) >> 8).astype(numpy.float32) * numpy.float32(2**-23) - numpy.float32(1)
        values[begin:end] = unit * numpy.float32(bound) + numpy.float32(center)
    return values.reshape(shape)


def initial(path, shape, paths, apart):
    """A parameter or buffer before the first step. Batchnorm is known by its statistics; `apart` keeps what it hands to
    relu far from 0."""
    layer, _, leaf = path.rpartition(".")
    if leaf == "weight" and len(shape) > 1:
        return uniform(path, shape, 2 / math.sqrt(math.prod(shape[1:])))
    if leaf in ("weight", "running_var"):
        return uniform(path, shape, 0.5, 1)
    normalises = f"{layer}.running_mean" in paths
    return uniform(path, shape, 0.5 if normalises else 0.1, 8 if normalises and leaf == "bias" and apart else 0)


def digest(path, values):
    """Norm, two projections, and elements: all of them, or those at random places."""
    values = values.reshape(-1)
    projections = numpy.zeros(2)
    for begin in range(0, len(values), CHUNK):
        part = values[begin:begin + CHUNK].astype(numpy.float64)
        random = words(path + "#signs", begin, begin + len(part))
        for i in range(2):
            projections[i] += numpy.where(random >> (31 - i) & 1, part, -part).sum()
    places = range(len(values)) if len(values) <= SAMPLES else words(path + "#places", 0, SAMPLES) % len(values)
    return numpy.concatenate([[numpy.linalg.norm(values.astype(numpy.float64))], projections, values[list(places)]])


# ---- Networks ---------------------------------------------------------------------------------------------------------
# Their modules stand in the order in which netc's layers do: `paths_of` relies on it.

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


class Branches(nn.Module):
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


def squash(x, k=1):
    return torch.where(x > 0, torch.log(1 + k * x.clamp(min=0)) / k, torch.exp(x.clamp(max=0)) - 1)


class Smear(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 3))
        self.shift = nn.Parameter(torch.empty(channels))

    def forward(self, x):
        width = x.shape[3]
        x = nn.functional.pad(x, (1, 1))
        taps = [x[..., k:k + width] * self.weight[:, k, None, None] for k in range(3)]
        return taps[0] + taps[1] + taps[2] + self.shift[:, None, None]


class PixelNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels))

    def forward(self, x):
        return x * self.weight[:, None, None] / torch.sqrt((x ** 2).mean(1, keepdim=True) + 1e-3)


class AttentionPool(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.query = nn.Parameter(torch.empty(channels))

    def forward(self, x):
        share = torch.softmax((x * self.query[:, None, None]).sum(1).flatten(1), 1)
        return (x.flatten(2) * share[:, None]).sum(2)


class Depthwise(nn.Module):
    def __init__(self, inputs, channels, kernel, pad, dilation, stride=1):
        super().__init__()
        self.dw = nn.Conv2d(inputs, inputs, kernel, stride, pad, dilation, groups=inputs, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.pw = nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.2)

    def forward(self, x):
        return self.bn2(self.pw(squash(self.bn1(self.dw(x)), 0.5)))


class Mixed(nn.Module):
    """tests/parity/mixed.net"""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 3, 2, 1, bias=False), nn.BatchNorm2d(24))
        self.smear = Smear(24)
        self.blend = nn.Conv2d(24, 24, 3, 1, 2, 2, groups=3)
        self.second = nn.Conv2d(2, 24, (5, 3), 1, (4, 3), (2, 3), groups=2)
        self.trunk = Depthwise(48, 40, (5, 3), (2, 1), 1, (2, 1))
        self.residual = Depthwise(64, 64, 3, (2, 3), (2, 3))
        self.norm = PixelNorm(64)
        self.attention = AttentionPool(64)
        self.linear = nn.Linear(128, 32)
        self.linear2 = nn.Linear(32, 10)

    def forward(self, image, depth):
        fine = squash(self.blend(self.smear(squash(self.stem(image)))))
        coarse = squash(self.blend(nn.functional.max_pool2d(fine, 3, 2, 1)))
        x = torch.cat([fine, nn.functional.silu(self.second(depth))], 1)
        x = nn.functional.avg_pool2d(self.trunk(x), (1, 3), (1, 2), (0, 1))
        x = torch.cat([x, coarse], 1)
        x = self.norm(x + self.residual(x))
        x = torch.cat([self.attention(x), x.mean((2, 3))], 1)
        return self.linear2(squash(self.linear(x), 2))


class Inception(nn.Module):
    def __init__(self, inputs, c1, c2, c3, c4):
        super().__init__()
        unit = lambda a, b, kernel: nn.Sequential(nn.Conv2d(a, b, kernel, padding=kernel // 2), nn.ReLU())
        self.branches = nn.ModuleList([
            unit(inputs, c1, 1),
            nn.Sequential(unit(inputs, c2[0], 1), unit(c2[0], c2[1], 3)),
            nn.Sequential(unit(inputs, c3[0], 1), unit(c3[0], c3[1], 5)),
            nn.Sequential(nn.MaxPool2d(3, 1, 1), unit(inputs, c4, 1))])

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


def lenet():
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Sigmoid(),
                         nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(),
                         nn.Linear(84, 10))


def classifier(inputs, drop):
    dense = lambda inputs: [nn.Linear(inputs, 4096), nn.ReLU(), *([nn.Dropout(drop)] if drop else [])]
    return [nn.Flatten(), *dense(inputs), *dense(4096), nn.Linear(4096, 10)]


def alexnet(drop=0):
    pool = nn.MaxPool2d(3, 2)
    return nn.Sequential(nn.Conv2d(1, 96, 11, 4, 1), nn.ReLU(), pool, nn.Conv2d(96, 256, 5, padding=2), nn.ReLU(), pool,
                         nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(),
                         nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), pool, *classifier(6400, drop))


def vgg11(ratio=1, drop=0):
    layers = []
    inputs = 1
    for convs, channels in ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512)):
        channels //= ratio
        for _ in range(convs):
            layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU()]
            inputs = channels
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, *classifier(inputs * 49, drop))


def nin(drop=0):
    def block(inputs, channels, kernel, stride=1, pad=0):
        return [nn.Conv2d(inputs, channels, kernel, stride, pad), nn.ReLU(), nn.Conv2d(channels, channels, 1), nn.ReLU(),
                nn.Conv2d(channels, channels, 1), nn.ReLU()]

    pool = nn.MaxPool2d(3, 2)
    return nn.Sequential(*block(1, 96, 11, 4), pool, *block(96, 256, 5, 1, 2), pool, *block(256, 384, 3, 1, 1), pool,
                         *([nn.Dropout(drop)] if drop else []), *block(384, 10, 3, 1, 1), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten())


def googlenet():
    pool = nn.MaxPool2d(3, 2, 1)
    return nn.Sequential(
        nn.Conv2d(1, 64, 7, 2, 3), nn.ReLU(), pool, nn.Conv2d(64, 64, 1), nn.ReLU(), nn.Conv2d(64, 192, 3, padding=1),
        nn.ReLU(), pool, Inception(192, 64, (96, 128), (16, 32), 32), Inception(256, 128, (128, 192), (32, 96), 64), pool,
        Inception(480, 192, (96, 208), (16, 48), 64), Inception(512, 160, (112, 224), (24, 64), 64),
        Inception(512, 128, (128, 256), (24, 64), 64), Inception(512, 112, (144, 288), (32, 64), 64),
        Inception(528, 256, (160, 320), (32, 128), 128), pool, Inception(832, 256, (160, 320), (32, 128), 128),
        Inception(832, 384, (192, 384), (48, 128), 128), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, 10))


def resnet18():
    stages = []
    inputs = 64
    for channels in (64, 128, 256, 512):
        changes = channels != inputs
        stages += [Residual(inputs, channels, 2 if changes else 1, changes), Residual(channels, channels)]
        inputs = channels
    return nn.Sequential(nn.Conv2d(1, 64, 7, 2, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1), *stages,
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


class Network:
    """A `.net` file with settings, and the same in PyTorch."""

    def __init__(self, file, make, inputs, classes, *, steps="sgd(lr = 0.01)", target=None, sets=(), apart=False, by_name=False, batch=""):
        self.file = file
        self.make = make
        self.inputs = inputs    # name -> shape
        self.classes = classes  # or None, and the shape of `target` for mse
        self.target = target
        self.steps = steps
        self.sets = [*sets, f"train.optimizer={steps}"]
        self.apart = apart      # batchnorm's bias at 8: no decision of relu is close
        self.by_name = by_name  # PyTorch's names are netc's paths
        self.batch = batch      # which one: a suffix of the inputs' streams

    def optimizer(self):
        return eval(self.steps.replace("sgd", "dict").replace("true", "True"))


def book(name, make, pixels, classes=10, **options):
    return Network(f"models/{name}.net", make, {"image": (4, 1, pixels, pixels)}, classes, **options)


def vision(name, pixels=224, folder="models/torchvision", **options):
    def make():
        options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        model = getattr(torchvision.models, name)(**options)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0
        return model

    return Network(f"{folder}/{name}.net", make, {"image": (4, 3, pixels, pixels)}, 1000, by_name=True, **options)


def residual(**options):
    steps = "sgd(lr = 0.01, momentum = 0.9, weight_decay = 0.001)"
    return Network("tests/parity/residual.net", Branches, {"image": (5, 3, 20, 18)}, 10, steps=steps, **options)


NO_DROPOUT = ("drop=0",)
NETWORKS = {
    "lenet": book("lenet", lenet, 28),
    "alexnet": book("alexnet", alexnet, 224, sets=NO_DROPOUT),
    "vgg11": book("vgg11", vgg11, 224, sets=NO_DROPOUT),
    "nin": book("nin", nin, 224, sets=NO_DROPOUT),
    "googlenet": book("googlenet", googlenet, 96),
    "resnet18": book("resnet18", resnet18, 96),
    "resnet18_apart": book("resnet18", resnet18, 96, apart=True),
    "resnet152": vision("resnet152", folder="models"),
    "resnet152_apart": vision("resnet152", folder="models", apart=True),
    "torchvision_alexnet": vision("alexnet", sets=NO_DROPOUT),
    "torchvision_vgg11": vision("vgg11", sets=NO_DROPOUT),
    "torchvision_googlenet": vision("googlenet", sets=NO_DROPOUT),
    "torchvision_resnet18": vision("resnet18"),
    "torchvision_resnet18_apart": vision("resnet18", apart=True),
    "torchvision_resnet50": vision("resnet50"),
    "torchvision_resnet50_apart": vision("resnet50", apart=True),
    "residual": residual(),
    "residual_apart": residual(apart=True),
    "graph": Network("tests/parity/graph.net", Graph, {"a": (3, 3, 37, 53), "b": (3, 5, 19, 27)}, None, target=(3, 4),
                     steps="sgd(lr = 0.05, momentum = 0.5, nesterov = true)"),
    "mixed": Network("tests/parity/mixed.net", Mixed, {"image": (3, 3, 37, 53), "depth": (3, 2, 19, 27)}, 10,
                     steps="sgd(lr = 0.05, momentum = 0.9, weight_decay = 0.001)"),
}

KINDS = {nn.Conv2d: "conv", nn.Linear: "linear", nn.BatchNorm2d: "batchnorm", Smear: "smear", PixelNorm: "pixel_norm",
         AttentionPool: "attention_pool"}


def netc(*arguments):
    done = subprocess.run([NETC, *map(str, arguments)], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout


def settings(network):
    return [word for setting in network.sets for word in ("--set", setting)]


def paths_of(network, model):
    """From PyTorch's names to netc's paths: by name, or layer by layer in the order of both."""
    modules = {name: module for name, module in model.named_modules() if type(module) in KINDS}
    if network.by_name:
        return {name: name for name in modules}
    layers = json.loads(netc("summary", network.file, "--json", *settings(network)))["layers"]
    layers = [layer for layer in layers if layer["parameters"] > 0]
    assert [layer["op"] for layer in layers] == [KINDS[type(module)] for module in modules.values()]
    return {name: layer["path"] for name, layer in zip(modules, layers)}


def state(model, paths):
    """Parameters and buffers by netc's paths."""
    result = {}
    for key, value in model.state_dict(keep_vars=True).items():
        module, _, leaf = key.rpartition(".")
        if leaf != "num_batches_tracked":
            result[f"{paths[module]}.{leaf}"] = value
    return result


# ---- Figures ----------------------------------------------------------------------------------------------------------

def loss_of(output, label):
    return nn.functional.mse_loss(output, label) if label.is_floating_point() else nn.functional.cross_entropy(output, label)


def numbers(tensors, prefix=""):
    return {prefix + key: value.detach().numpy().copy() for key, value in tensors.items()}


def evaluation(model, inputs, label):
    model.eval()
    with torch.no_grad():
        output = model(*inputs.values())
        return numbers({"eval.output": output, "eval.loss": loss_of(output, label).reshape(1)})


def figures(model, paths, inputs, label, optimizer):
    """Everything that is compared, in the precision of `model`."""
    result = evaluation(model, inputs, label)
    model.train()
    inputs = {name: x.clone().requires_grad_() for name, x in inputs.items()}
    step = torch.optim.SGD(model.parameters(), **optimizer)
    losses = []
    for i in range(3):
        step.zero_grad()
        output = model(*inputs.values())
        loss = loss_of(output, label)
        loss.backward()
        losses.append(loss.item())
        if i == 0:
            result |= numbers({"output": output, "loss": loss.reshape(1)})
            result |= numbers({name: x.grad for name, x in inputs.items()}, "gradient.input.")
            tensors = state(model, paths)
            result |= numbers({path: x.grad for path, x in tensors.items() if x.requires_grad}, "gradient.")
            result |= numbers({path: x for path, x in tensors.items() if not x.requires_grad}, "buffer.")
        step.step()
    return result | {"losses": numpy.array(losses)} | numbers(state(model, paths), "after.")


def relative_error(value, oracle):
    """Of a figure that is 0 but for rounding (see parity_test.cpp): the error itself."""
    oracle = oracle.astype(numpy.float64)
    error = numpy.linalg.norm((value.astype(numpy.float64) - oracle).reshape(-1))
    scale = numpy.linalg.norm(oracle.reshape(-1))
    return error / scale if scale > 1e-12 else error


class Experiment:
    """A network with its initial values and batch, and what PyTorch makes of them."""

    def __init__(self, name):
        self.name = name
        self.network = network = NETWORKS[name]
        self.model = network.make()
        self.paths = paths_of(network, self.model)
        tensors = state(self.model, self.paths)
        self.start = {path: initial(path, tuple(x.shape), tensors, network.apart) for path, x in tensors.items()}
        for path, x in tensors.items():
            x.data = torch.from_numpy(self.start[path].copy())
        self.inputs = {key: uniform(key + network.batch, shape, 1) for key, shape in network.inputs.items()}
        batch = len(next(iter(self.inputs.values())))
        if network.classes:
            self.label = (words("label", 0, batch) % network.classes).astype(numpy.int64)
        else:
            self.label = uniform("label", network.target, 1)
        self.oracle = self.run(torch.float64)
        self.errors = dict.fromkeys(self.oracle, 0.0)
        for single in self.run_single():
            for key, value in self.oracle.items():
                self.errors[key] = max(self.errors[key], relative_error(single[key], value))

    def run(self, precision, layout=torch.contiguous_format):
        cast = lambda values: torch.from_numpy(values).to(precision)
        label = cast(self.label) if self.label.dtype == numpy.float32 else torch.from_numpy(self.label)
        inputs = {key: cast(x).contiguous(memory_format=layout) for key, x in self.inputs.items()}
        model = copy.deepcopy(self.model).to(precision, memory_format=layout)
        return figures(model, self.paths, inputs, label, self.network.optimizer())

    def run_single(self):
        """PyTorch's single precision in three ways that round in different places: which decisions of relu and max fall
        otherwise is chance, and one way alone may have luck in a figure."""
        yield self.run(torch.float32)
        yield self.run(torch.float32, torch.channels_last)
        with torch.backends.mkldnn.flags(enabled=False):
            yield self.run(torch.float32)

    def describe(self):
        """The metadata: everything that the test must know to make the same network."""
        network = self.network
        shapes = {path: list(x.shape) for path, x in self.start.items()}
        label = {"classes": network.classes} if network.classes else {"shape": list(network.target)}
        return {"network": json.dumps({"model": network.file, "set": network.sets, "inputs": network.inputs, "label": label,
                                       "apart": network.apart, "batch": network.batch, "state": shapes})}

    def write(self):
        file = {key: digest(key, value).astype(numpy.float32) for key, value in self.oracle.items()}
        file |= {"error." + key: numpy.array([value], dtype=numpy.float32) for key, value in self.errors.items()}
        target = FOLDER / f"{self.name}.safetensors"
        save_file(file, target, self.describe())
        target.chmod(0o644)

    def netc(self):
        """The same figures from `netc run`."""
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            save_file(self.start, folder / "weights.safetensors")
            numpy.save(folder / "label.npy", self.label)
            arguments = ["run", self.network.file, *settings(self.network), "--weights", folder / "weights.safetensors",
                         "--label", folder / "label.npy", "--output", folder / "output.npy"]
            for key, x in self.inputs.items():
                numpy.save(folder / f"{key}.npy", x)
                arguments += ["--input", f"{key}={folder / key}.npy"]

            def run(*options):
                lines = netc(*arguments, *options).splitlines()
                return numpy.array([float(line[6:]) for line in lines if line.startswith("loss: ")])

            result = {"eval.loss": run("--mode", "eval")}
            result["eval.output"] = numpy.load(folder / "output.npy")
            result["loss"] = run("--mode", "train", "--gradients", folder / "g.safetensors", "--save", folder / "after.safetensors")
            result["output"] = numpy.load(folder / "output.npy")
            result |= {"gradient." + key: x for key, x in load_file(folder / "g.safetensors").items()}
            after = load_file(folder / "after.safetensors")
            result |= {key: after[key[7:]] for key in self.oracle if key.startswith("buffer.")}
            result["losses"] = run("--mode", "train", "--steps", "3", "--save", folder / "after.safetensors")
            return result | {"after." + key: x for key, x in load_file(folder / "after.safetensors").items()}


# ---- The table --------------------------------------------------------------------------------------------------------

def allowed(key, experiment):
    """The parity rule: what the relative error of a figure may be, or the error where the figure is 0."""
    if numpy.linalg.norm(experiment.oracle[key].reshape(-1)) <= 1e-12:
        return max(1e-6, 2 * experiment.errors[key])
    return max(1e-4 if experiment.network.apart else 1e-5, 2 * experiment.errors[key])


GROUPS = {
    "logits": lambda key: key in ("output", "eval.output"),
    "loss": lambda key: key in ("loss", "eval.loss", "losses"),
    "gradients": lambda key: key.startswith("gradient."),
    "running statistics": lambda key: key.startswith("buffer."),
    "after 3 steps": lambda key: key.startswith("after."),
}


def table_row(experiment):
    ours = experiment.netc()
    assert ours.keys() == experiment.oracle.keys(), ours.keys() ^ experiment.oracle.keys()
    errors = {key: relative_error(ours[key], value) for key, value in experiment.oracle.items()}
    shares = {key: errors[key] / allowed(key, experiment) for key in errors}
    for key in sorted(shares, key=shares.get)[-3:]:
        print(f"  {shares[key]:.2f}  {key}: {errors[key]:.2e}, PyTorch {experiment.errors[key]:.2e}", flush=True)
    cells = [experiment.name, str(len(errors))]
    for contains in GROUPS.values():
        keys = [key for key in errors if contains(key) and numpy.linalg.norm(experiment.oracle[key].reshape(-1)) > 1e-12]
        largest = [max((all_errors[key] for key in keys), default=0) for all_errors in (errors, experiment.errors)]
        cells.append("{:.1e} / {:.1e}".format(*largest) if keys else "")
    return cells + [f"{max(shares.values()):.2f}"]


TABLE = """# Parity with PyTorch

Largest relative errors (of norms, over all elements) of netc / of PyTorch in single precision, both against PyTorch in double
precision, with the same weights and the same batch of 4 (5 and 3 in the tests' own networks). Each figure (the logits, a
gradient, a running mean, a parameter after 3 steps) may be off by the larger of 1e-5 and twice what PyTorch's single precision
is off there. The last column is the largest share that a figure takes of what it may be off.

Deep networks with relu, max and batch statistics turn rounding into other decisions: a value that is 0 but for rounding passes
relu in one program and not in the next, and the gradients behind it differ by 1e-3 to 1e-2. Therefore PyTorch's error is the
largest of three ways that round in different places: NCHW and channels_last with oneDNN, and without oneDNN. And in networks
`_apart` batchnorm's biases are 8, so that rounding decides nowhere what relu lets through; 1e-4 stands there for 1e-5. (Some
gradients of batchnorm's biases are then differences of nearly equal sums, and PyTorch's own are off by more than 1e-4.)

Written by `tests/parity/networks.py --table` with PyTorch {torch} and torchvision {torchvision}; `parity_test` checks a digest
of the same figures.

| network | figures | {groups} | largest share |
|---|---|{rules}---|
{rows}
"""


def write_row(row):
    """Rows of other networks stay as they are."""
    file = ROOT / "docs/parity.md"
    known = {line.split()[1]: line for line in file.read_text().splitlines() if line.startswith("| ")} if file.exists() else {}
    known[row[0]] = "| " + " | ".join(row) + " |"
    lines = "\n".join(known[name] for name in NETWORKS if name in known)
    file.write_text(TABLE.format(torch=torch.__version__, torchvision=torchvision.__version__, groups=" | ".join(GROUPS),
                                 rules="---|" * len(GROUPS), rows=lines))


def main():
    with_table = "--table" in sys.argv[1:]
    for name in [name for name in sys.argv[1:] if name != "--table"] or NETWORKS:
        print(name, flush=True)
        experiment = Experiment(name)
        experiment.write()
        if with_table:
            write_row(table_row(experiment))


if __name__ == "__main__":
    main()
