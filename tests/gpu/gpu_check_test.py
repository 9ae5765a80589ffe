#!/usr/bin/env python3
"""The logic of benchmarks/gpu_check.py: steps, time, report, verdicts. Programs, PyTorch and NVIDIA's tools are stand-ins
that say what a case has them say."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS = ["training", "speed", "epoch", "networks", "operators", "parity", "inference", "compiled", "precisions", "profile",
         "races"]
STAND_IN = """#!/usr/bin/python3 -SE
import json, os, pathlib, sys, time
name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
case = json.loads(os.environ["CASE"])
with open(os.environ["RUNS"], "a") as runs:
    print(name, *arguments, file=runs)

def option(flag):
    return arguments[arguments.index(flag) + 1]

if name in case.get("fail", []):
    print("this went wrong", file=sys.stderr if name == "python" else sys.stdout)
    sys.exit(1)
if name in case.get("hang", []):
    time.sleep(600)
if name == "nvidia-smi":
    print("NVIDIA Stand-in, 580.1, 1000 MiB")
elif name == "compute-sanitizer":
    print(case.get("sanitizer", ""))
    sys.exit(1 if "sanitizer" in case else 0)
elif name == "netc":
    program = pathlib.Path(option("-o")) / pathlib.Path(arguments[6]).stem
    program.parent.mkdir(parents=True, exist_ok=True)
    if not program.exists():
        program.symlink_to(pathlib.Path(__file__).resolve())
    print(case.get("note", ""), file=sys.stderr)
elif name == "python":
    print(json.dumps({"name": case.get("torch", "PyTorch 9.9, CUDA 13.0, cuDNN 91000")}), flush=True)
    for line in sys.stdin:
        way, model, task = json.loads(line)[:3]
        error = {"error": "RuntimeError: no compiler"}
        print(json.dumps(error if way in case.get("broken", []) else {"best_ms": case.get("peer", 12), "peak_bytes": 8e6}),
              flush=True)
elif name.endswith("_test"):
    print("[doctest] assertions: 40 | 40 passed | 0 failed |")
elif arguments[0] == "bench":
    precision = pathlib.Path(sys.argv[0]).parents[1].name
    print(json.dumps({"best_ms": {"tf32": 10, "f32": 30}[precision], "peak_bytes": 5e6}))
elif arguments[0] == "profile":
    kernel = {"name": "conv", "ms": 2, "gflop": 4, "gigabytes": 1}
    print(json.dumps({"free_ms": 3, "ms": 5, "kernels": [kernel, kernel]}))
elif arguments[0] == "train":
    short = "--limit" in arguments
    loss = case.get("loss", 2.0) if short and option("--device") == "cuda" else 2.0 if short else case.get("epoch", 0.5)
    log = pathlib.Path(option("--log"))
    log.mkdir(parents=True, exist_ok=True)
    (log / "metrics.jsonl").write_text(json.dumps({"loss": loss, "train_accuracy": 0.8, "test_accuracy": 0.8,
                                                   "examples_per_second": 9000}))
"""


class GpuCheck(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)
        stand_in = self.path / "stand_in"
        stand_in.write_text(STAND_IN)
        stand_in.chmod(0o755)
        for name in ("tools/nvidia-smi", "tools/compute-sanitizer", "tools/python", "build/bin/netc",
                     *(f"build/tests/{test}" for test in ("cuda_operators_test", "cuda_networks_test", "parity_test"))):
            self.link(name)
        for precision in ("tf32", "f32"):
            for model in ("resnet18", "lenet", "residual", "tensor_cores"):
                self.link(f"build/gpu_check/{precision}/{model}/{model}")

        (self.path / "build/gpu_check/data").mkdir()

    def link(self, name):
        link = self.path / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(self.path / "stand_in")

    def check(self, *options, prebuilt=True, **case):
        """The exit status, the report and what ran."""
        runs = self.path / "runs"
        runs.write_text("")
        environment = dict(os.environ, CASE=json.dumps(case), RUNS=str(runs),
                           PATH=f"{self.path / 'tools'}:{os.environ['PATH']}")
        command = [sys.executable, ROOT / "benchmarks/gpu_check.py", "--build", self.path / "build", "--python",
                   self.path / "tools/python", "--report", self.path / "report.md", "--models", "resnet18", "lenet",
                   *(["--prebuilt"] if prebuilt else []), *(options or ["--steps", *STEPS])]
        done = subprocess.run([str(part) for part in command], env=environment, capture_output=True, text=True)
        self.said = done.stderr
        return done.returncode, (self.path / "report.md").read_text(), runs.read_text().splitlines()

    def test_all_is_well(self):
        status, report, runs = self.check()
        self.assertEqual(status, 0, report + self.said)
        self.assertIn("**Complete**: ", report)
        self.assertIn(" 0 failed, 0 not done, 0 not available here.", report)
        self.assertIn("NVIDIA Stand-in, 580.1, 1000 MiB; ", report)
        self.assertIn("PyTorch 9.9, CUDA 13.0, cuDNN 91000.", report)
        self.assertIn("Training: PyTorch's best time / netc's is 1.20 in the geometric mean of 2 models; the goal of at least "
                      "1 is reached, in 2 of 2 models.", report)
        self.assertIn("| ResNet-18, 96x96 | train | 256 | 10.000 | 30.000 | 12.000 | 12.000 | 25,600 | **1.20** | 5 | 8 |",
                      report)
        self.assertIn("| LeNet, 28x28 | infer | 256 | 10.000 |  | 12.000 |  | 25,600 | **1.20** | 5 | 8 |", report)
        self.assertIn("| conv | 2 | 4.000 | 2.00 | 500 |", report)
        self.assertIn("- vgg11: passed, 40 of 40 comparisons", report)
        self.assertEqual(sum(run.startswith("python ") for run in runs), 1)  # loaded once
        order = [next(i for i, run in enumerate(runs) if run.startswith(what)) for what in
                 ("resnet18 train --epochs 1 --device cpu", "resnet18 bench", "cuda_networks_test", "cuda_operators_test",
                  "parity_test", "resnet18 bench --mode infer", "resnet18 profile", "compute-sanitizer")]
        self.assertEqual(order, sorted(order))

    def test_failures_are_shown_and_fail(self):
        status, report, _ = self.check(fail=["cuda_networks_test"], loss=2.03, epoch=None)
        self.assertEqual(status, 1)
        self.assertIn("**Complete, with failures**: ", report)
        self.assertIn("Failed: training: resnet18; training: lenet; epoch: ResNet-18; networks: ", report)
        self.assertIn("this went wrong", report)
        self.assertIn("- ResNet-18: **failed**, loss None", report)

    def test_losses_may_differ_by_what_rounding_does(self):
        for loss, precisions, expected in ((2.01, ["tf32"], 0), (2.01, ["f32"], 1), (2.001, ["f32"], 0), (None, ["f32"], 1)):
            status, report, _ = self.check("--steps", "training", "--precisions", *precisions, loss=loss)
            self.assertEqual(status, expected, report)

    def test_pytorch_may_be_missing(self):
        status, report, _ = self.check("--steps", "speed", fail=["python"])
        self.assertEqual(status, 0, report)
        self.assertIn("2 passed, 0 failed, 0 not done, 2 not available here.", report)
        self.assertIn("- resnet18, channels_last: not available here, PyTorch: ", report)
        self.assertNotIn("the goal", report)
        status, report, _ = self.check("--steps", "speed", torch=None)
        self.assertIn("PyTorch sees no GPU", report)
        status, report, _ = self.check("--steps", "speed", "compiled", broken=["compiled"])
        self.assertEqual(status, 0, report)
        self.assertIn("- lenet, compiled: not available here, RuntimeError: no compiler", report)

    def test_a_missed_goal_is_said_and_no_failure(self):
        status, report, _ = self.check("--steps", "speed", peer=8)
        self.assertEqual(status, 0)
        self.assertIn("is 0.80 in the geometric mean of 2 models; the goal of at least 1 is **missed**, in 0 of 2", report)

    def test_the_sanitizer_may_not_know_the_gpu(self):
        status, report, _ = self.check("--steps", "races", sanitizer="Error: Device not supported")
        self.assertEqual(status, 0, report)
        self.assertIn("- racecheck of lenet in tf32: not available here, compute-sanitizer does not support", report)
        status, report, _ = self.check("--steps", "races", sanitizer="Race reported")
        self.assertEqual(status, 1)
        self.assertIn("- memcheck of residual in f32: **failed**", report)

    def test_what_was_not_done_is_done_by_the_next_run(self):
        steps = ["--steps", "networks", "operators", "profile"]
        # So short that no share is a second: nothing begins before the others are tried again, in their order.
        status, report, runs = self.check(*steps, "--minutes", 0.08, hang=["cuda_operators_test"])
        self.assertEqual(status, 1)
        self.assertIn("**Incomplete**: ", report)
        self.assertIn("Not done: operators: all samples", report)
        first = [run.split()[0] for run in runs]
        self.assertEqual(first[:2], ["nvidia-smi", "cuda_networks_test"])
        status, report, runs = self.check(*steps, "--resume")
        self.assertEqual(status, 0, report)
        self.assertIn("**Complete**: 3 passed", report)
        self.assertNotIn("cuda_networks_test", [run.split()[0] for run in runs])
        self.assertEqual(runs[1], "cuda_operators_test")

    def test_no_time_is_no_success(self):
        status, report, runs = self.check("--steps", "networks", "--minutes", 1, "--spent", 61)
        self.assertEqual(status, 1)
        self.assertIn("**Incomplete**: 0 passed, 0 failed, 1 not done", report)
        self.assertNotIn("cuda_networks_test", runs)

    def test_programs_are_built_once(self):
        status, report, runs = self.check("--steps", "training", "speed", "inference", "--models", "lenet", prebuilt=False)
        self.assertEqual(status, 0, report)
        builds = [run for run in runs if run.startswith("netc ")]
        self.assertEqual(len(builds), 1)
        self.assertIn("--target cuda --native --precision tf32", builds[0])

    def test_kernels_without_tensor_cores_are_not_measured_as_if_they_had_them(self):
        note = "note: kernels for CUDA multiply f32: tf32 takes CUDA's nvcc"
        status, report, _ = self.check("--steps", "speed", "--models", "lenet", "--peers", prebuilt=False, note=note)
        self.assertIn("- lenet, tf32: not available here, no kernels in tf32: note: kernels for CUDA multiply f32", report)

    def test_a_missing_program_is_not_done(self):
        (self.path / "build/gpu_check/tf32/lenet/lenet").unlink()
        status, report, _ = self.check("--steps", "training")
        self.assertEqual(status, 1)
        self.assertIn("- lenet: not done, there is no ", report)


if __name__ == "__main__":
    unittest.main()
