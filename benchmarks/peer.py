#!/usr/bin/env python3
"""Times one way of one peer on one of the six models, in a process of its own.

    peer.py WAY MODEL TASK --precision P --batch N --threads N --seconds S [--device cuda]
    peer.py --serve

Prints a JSON object: best_ms, the fastest step, median_ms, and process_peak_bytes; on a GPU (PyTorch's ways alone, f32
with TF32) peak_bytes of its memory. WAY is one of `TRAINING` or `INFERENCE` below. In bf16 PyTorch runs with autocast,
OpenVINO with its hint; ONNX Runtime has no such way.

With `--serve` it says what it is, then answers lines of standard input, each a JSON list of the arguments above:
PyTorch takes longer to load than most models to measure.
"""
import argparse
import gc
import json
import pathlib
import resource
import sys
import tempfile
import time
import warnings

import torch
from torch import nn

from models import PIXELS, ROOT, SETTINGS

sys.path.insert(0, str(ROOT / "tests/parity"))
import networks  # noqa: E402  (the six models in PyTorch)


def make(model, drop):
    torch.manual_seed(0)
    options = dict(SETTINGS.get(model, {}), **({"drop": drop} if model in ("alexnet", "vgg11", "nin") else {}))
    return getattr(networks, model)(**options)


def images(options):
    return torch.randn(options.batch, 1, PIXELS[options.model], PIXELS[options.model])


def in_torch(way, model, image, device):
    """The model as it is called that way, and the images that it is given: a step on a GPU begins with their copy, and
    a compiled model is launched as one there, as netc's are. One in evaluation is compiled with its weights frozen,
    where no gradients are asked for."""
    model = model.to(device)
    if way != "eager":
        model = model.to(memory_format=torch.channels_last)
        image = image.to(memory_format=torch.channels_last)
    if way == "compiled":
        from torch._inductor import config
        config.freezing = not model.training
        model = torch.compile(model, mode="reduce-overhead" if device == "cuda" else None)
    return model, image.pin_memory() if device == "cuda" else image


def precision_of(options):
    return torch.autocast(options.device, dtype=torch.bfloat16, enabled=options.precision == "bf16")


def training_step(way, options):
    model = make(options.model, 0.5)
    run, image = in_torch(way, model, images(options), options.device)
    label = torch.randint(0, 10, (options.batch,), device=options.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    loss = nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad()
        with precision_of(options):
            total = loss(run(image.to(options.device, non_blocking=True)), label)
        total.backward()
        optimizer.step()

    return step


def inference_in_torch(way, options):
    run, image = in_torch(way, make(options.model, 0).eval(), images(options), options.device)
    without_gradients = torch.no_grad if way == "compiled" else torch.inference_mode

    def step():
        with without_gradients(), precision_of(options):
            run(image.to(options.device, non_blocking=True)).cpu()  # as netc does, which hands out the result

    return step


def inference_from_onnx(way, options):
    model = make(options.model, 0).eval()
    image = images(options)
    data = image.numpy()
    with tempfile.TemporaryDirectory() as folder:
        file = str(pathlib.Path(folder) / "model.onnx")
        torch.onnx.export(model, (image,), file, dynamo=False, input_names=["image"], opset_version=17)
        return (in_onnxruntime if way == "onnxruntime" else in_openvino)(file, data, options)


def in_onnxruntime(file, data, options):
    import onnxruntime
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"image": data})


def in_openvino(file, data, options):
    import openvino
    compiled = openvino.Core().compile_model(file, "CPU", {
        "INFERENCE_NUM_THREADS": options.threads, "INFERENCE_PRECISION_HINT": options.precision,
        "PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()
    return lambda: request.infer({0: data})


TRAINING = {way: training_step for way in ("eager", "channels_last", "compiled")}
INFERENCE = {"eager": inference_in_torch, "channels_last": inference_in_torch, "compiled": inference_in_torch,
             "onnxruntime": inference_from_onnx, "openvino": inference_from_onnx}


def milliseconds_of(step, seconds, on_gpu):
    """As netc's `bench` does it: the fastest and the median of so many seconds of steps, at least five, behind three
    that warm up. On a GPU a tenth of the time is one measurement, at whose end all steps are waited for."""
    def time_of(steps):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        if on_gpu:
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / steps

    time_of(3)
    steps = int(min(max(seconds / 10 / time_of(1), 1), 1000)) if on_gpu else 1
    times = []
    while sum(times) * steps < seconds or len(times) < 5:
        times.append(time_of(steps))
    times.sort()
    return {"best_ms": times[0] * 1e3, "median_ms": times[len(times) // 2] * 1e3}


def prepare_gpu():
    """TF32 and cuDNN's own search: the fastest that PyTorch has."""
    torch.cuda.init()
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True


def forget_gpu():
    """Nothing of what was measured before stays on the GPU."""
    torch.compiler.reset()
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def serve():
    cudnn = torch.backends.cudnn.version()
    name = f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {cudnn}"
    print(json.dumps({"name": name if torch.cuda.is_available() else None}), flush=True)
    for line in sys.stdin:
        try:
            answer = measure(parse(json.loads(line)))
        except Exception as error:  # whatever PyTorch throws, it is the answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way")
    parser.add_argument("model", choices=PIXELS)
    parser.add_argument("task", choices=("train", "infer"))
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    return parser.parse_args(arguments)


def measure(options):
    warnings.filterwarnings("ignore")
    torch.set_num_threads(options.threads)
    ways = TRAINING if options.task == "train" else INFERENCE
    on_gpu = options.device == "cuda"
    if on_gpu:
        prepare_gpu()
        forget_gpu()
    times = milliseconds_of(ways[options.way](options.way, options), options.seconds, on_gpu)
    result = {**times, "process_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    if on_gpu:
        result["peak_bytes"] = torch.cuda.max_memory_reserved()
    return result


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        print(json.dumps(measure(parse(sys.argv[1:]))))
