#!/usr/bin/env python3
"""Times LeNet's training step against PyTorch's modes, both sides in turn on one machine.

    scripts/quickstart --epochs 1                      # builds build/lenet/lenet
    python3 -m venv V && V/bin/pip install torch       # the peer, in an environment of its own
    V/bin/python benchmarks/training_step.py [--program build/lenet/lenet] [--rounds 3] [--threads 2]

Prints a table: the best step of each side over all rounds, and the ratio of each PyTorch mode to netc. Every mode runs with
glibc's allocator as it is, and again with GLIBC_TUNABLES=glibc.malloc.hugetlb=1.
"""
import argparse
import json
import os
import subprocess
import sys
import time

BATCH = 256


def torch_step(mode, threads):
    """The best step of 200, in milliseconds: forward, loss, backward, SGD."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Sigmoid(),
                          nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(),
                          nn.Linear(84, 10))
    image = torch.randn(BATCH, 1, 28, 28)
    label = torch.randint(0, 10, (BATCH,))
    if mode != "eager":
        model = model.to(memory_format=torch.channels_last)
        image = image.to(memory_format=torch.channels_last)
    run = torch.compile(model) if mode == "compiled" else model
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    loss = nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad()
        loss(run(image), label).backward()
        optimizer.step()

    for _ in range(10):
        step()
    best = float("inf")
    for _ in range(200):
        start = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def peer(mode, threads, hugepages):
    environment = dict(os.environ)
    if hugepages:
        environment["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
    command = [sys.executable, __file__, "--peer", mode, "--threads", str(threads)]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def netc(program, threads):
    command = [program, "bench", "--mode", "train", "--batch", str(BATCH), "--threads", str(threads), "--seconds", "3", "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["best_ms"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/lenet/lenet", help="the generated program")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        print(torch_step(options.peer, options.threads))
        return
    sides = {"netc": lambda: netc(options.program, options.threads)}
    for hugepages in (False, True):
        for mode in ("eager", "channels_last", "compiled"):
            name = f"PyTorch {mode}" + (", huge pages" if hugepages else "")
            sides[name] = lambda mode=mode, hugepages=hugepages: peer(mode, options.threads, hugepages)
    best = {name: float("inf") for name in sides}
    for round in range(options.rounds):
        for name, run in sides.items():
            best[name] = min(best[name], run())
            print(f"round {round + 1}: {name}: {best[name]:.3f} ms", file=sys.stderr, flush=True)
    print(f"| LeNet, batch {BATCH}, {options.threads} threads | best step, ms | times netc |\n|---|---|---|")
    for name, value in best.items():
        print(f"| {name} | {value:.2f} | {value / best['netc']:.2f} |")


if __name__ == "__main__":
    main()
