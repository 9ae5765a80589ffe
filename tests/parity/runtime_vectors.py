#!/usr/bin/env python3
"""Makes the vectors in tests/parity/runtime: figures of the runtime's peers, for the tests to compare with.

  resize.safetensors   images before and after Pillow's bilinear resize (uint8)
  sgd.safetensors      parameters and gradients of torch.optim.SGD, before and after three steps
  adam.safetensors     likewise of Adam and AdamW, six steps, and of SGD with clipped gradients (computed in doubles)
  schedule.safetensors learning rates of torch.optim.lr_scheduler
  color.safetensors    a gray image, and what Pillow's ImageEnhance makes of it
  wheel.safetensors    a file of the published writer, with several types and metadata
  f4.npy i4.npy i8.npy u1.npy scalar.npy   arrays as NumPy saves them

Needs numpy, pillow, torch and safetensors. The output is the same at every run.
"""
import pathlib

import numpy as np
import torch
from PIL import Image, ImageEnhance
from safetensors.numpy import save_file

FOLDER = pathlib.Path(__file__).parent / "runtime"
RESIZES = [((28, 28), (96, 96)), ((28, 28), (224, 224)), ((28, 28), (32, 28)), ((31, 47), (9, 13)), ((6, 5), (6, 5))]


def make_image(random, height, width):
    """Smooth shapes with some noise and hard edges, so that rounding and clamping both matter."""
    y, x = np.mgrid[0:height, 0:width]
    image = 127 + 120 * np.sin(x * 0.7) * np.cos(y * 0.4) + random.normal(0, 30, (height, width))
    image[height // 3 : height // 2, :] = 255
    image[:, width // 2] = 0
    return np.clip(image, 0, 255).astype(np.uint8)


def resize_vectors(random):
    tensors = {}
    for index, (before, after) in enumerate(RESIZES):
        image = make_image(random, *before)
        resized = Image.fromarray(image).resize((after[1], after[0]), Image.Resampling.BILINEAR)
        tensors[f"{index}.in"] = image
        tensors[f"{index}.out"] = np.asarray(resized)
    return tensors


def sgd_vectors(random):
    settings = {
        "plain": dict(lr=0.1),
        "decay": dict(lr=0.1, weight_decay=0.01),
        "momentum": dict(lr=0.05, momentum=0.9, weight_decay=0.001),
        "nesterov": dict(lr=0.05, momentum=0.9, nesterov=True),
    }
    start = random.normal(0, 1, 9).astype(np.float32)
    gradients = random.normal(0, 1, (3, 9)).astype(np.float32)
    tensors = {"start": start, "gradients": gradients}
    for name, setting in settings.items():
        parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
        optimizer = torch.optim.SGD([parameter], **setting)
        for gradient in gradients:
            parameter.grad = torch.from_numpy(gradient.copy())
            optimizer.step()
        tensors[name] = parameter.detach().numpy()
    return tensors


def clip(parameters, norm=None, value=None):
    if value is not None:
        torch.nn.utils.clip_grad_value_(parameters, value)
    if norm is not None:
        torch.nn.utils.clip_grad_norm_(parameters, norm)


def adam_vectors(random):
    adam, adamw, sgd = torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD
    settings = {
        "adam": (adam, dict(lr=0.01), {}),
        "adam_decay": (adam, dict(lr=0.01, betas=(0.8, 0.99), eps=1e-3, weight_decay=0.1), {}),
        "adamw": (adamw, dict(lr=0.02), {}),
        "adamw_decay": (adamw, dict(lr=0.02, betas=(0.5, 0.9), weight_decay=0.3), {}),
        "clip_norm": (sgd, dict(lr=0.1, momentum=0.9), dict(norm=1.5)),
        "clip_value": (sgd, dict(lr=0.1), dict(value=0.5)),
        "clip_both": (adam, dict(lr=0.1, eps=0.1), dict(norm=0.8, value=0.5)),
    }
    start = random.normal(0, 1, 9).astype(np.float32)
    # Long and short gradients, so that some are clipped and some are not.
    gradients = (random.normal(0, 1, (6, 9)) * np.array([2, 0.1, 1, 0.3, 5, 0.01])[:, None]).astype(np.float32)
    tensors = {"start": start, "gradients": gradients}
    for name, (optimizer_class, setting, clipping) in settings.items():
        parameter = torch.nn.Parameter(torch.from_numpy(start.astype(np.float64)))
        optimizer = optimizer_class([parameter], **setting)
        for gradient in gradients:
            parameter.grad = torch.from_numpy(gradient.astype(np.float64))
            clip([parameter], **clipping)
            optimizer.step()
        tensors[name] = parameter.detach().numpy().astype(np.float32)
    return tensors


def rates(lr, steps, make):
    """The learning rate of each step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    schedule = make(optimizer)
    result = []
    for _ in range(steps):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return np.array(result, dtype=np.float32)


def schedule_vectors():
    from torch.optim import lr_scheduler as s

    def warm_cosine(optimizer):
        warm = s.LinearLR(optimizer, start_factor=0.25, total_iters=3)
        cosine = s.CosineAnnealingLR(optimizer, T_max=7, eta_min=0.01)
        return s.SequentialLR(optimizer, [warm, cosine], milestones=[3])

    return {
        "step": rates(0.4, 12, lambda o: s.StepLR(o, step_size=3, gamma=0.5)),
        "cosine": rates(0.4, 12, lambda o: s.CosineAnnealingLR(o, T_max=10, eta_min=0.05)),
        "warmup": rates(0.4, 12, lambda o: s.LinearLR(o, total_iters=7)),
        "warmup_cosine": rates(0.4, 10, warm_cosine),
    }


COLOR_FACTORS = [0.0, 0.6, 1.0, 1.4, 3.0]


def color_vectors(random):
    image = make_image(random, 12, 12)
    tensors = {"image": image}
    for i, factor in enumerate(COLOR_FACTORS):
        for name, enhance in {"brightness": ImageEnhance.Brightness, "contrast": ImageEnhance.Contrast}.items():
            tensors[f"{name}.{i}"] = np.asarray(enhance(Image.fromarray(image)).enhance(factor))
    return tensors


def main():
    FOLDER.mkdir(exist_ok=True)
    random = np.random.default_rng(7)
    save_file(resize_vectors(random), FOLDER / "resize.safetensors")
    save_file(sgd_vectors(random), FOLDER / "sgd.safetensors")
    save_file(adam_vectors(random), FOLDER / "adam.safetensors")
    save_file(schedule_vectors(), FOLDER / "schedule.safetensors")
    save_file(color_vectors(random), FOLDER / "color.safetensors")
    wheel = {
        "conv.weight": np.arange(24, dtype=np.float32).reshape(4, 1, 3, 2) / 8,
        "bn.num_batches_tracked": np.array(5, dtype=np.int64),
        "mask": np.array([1, 0, 255], dtype=np.uint8),
        "empty": np.zeros((0, 3), dtype=np.float32),
    }
    save_file(wheel, FOLDER / "wheel.safetensors", metadata={"format": "pt", "note": 'a "quoted" text'})
    np.save(FOLDER / "f4.npy", np.arange(6, dtype=np.float32).reshape(2, 3) / 4)
    np.save(FOLDER / "i4.npy", np.array([1, -2, 3], dtype=np.int32))
    np.save(FOLDER / "i8.npy", np.array([[7], [-8]], dtype=np.int64))
    np.save(FOLDER / "u1.npy", np.array([0, 255], dtype=np.uint8))
    np.save(FOLDER / "scalar.npy", np.float32(2.5))


if __name__ == "__main__":
    main()
