#!/usr/bin/env python3
"""Pages of docs/ are what benchmarks/ make of the figures beside them; and the logic of measuring, with stand-ins in
place of programs."""
import contextlib
import io
import pathlib
import sys
import tempfile
import types
import unittest
from unittest import mock

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "benchmarks"))
import costs  # noqa: E402
import layers  # noqa: E402
import page  # noqa: E402
import performance  # noqa: E402

CASE = {"model": "lenet", "task": "train", "precision": "f32", "batch": 256, "threads": 2, "machine": "one"}
OPTIONS = types.SimpleNamespace(rounds=2, seconds=1)


def figures(best, day=None, **more):
    dated = {"date": day} if day else {}
    return {"best_ms": best, "median_ms": best + 1, "process_peak_bytes": 1e6, **dated, **more}


def row(**sides):
    ours = figures(1, gflop=1, machine_gflops=200)
    return {**CASE, "sides": {"netc": ours, **sides}}


class Pages(unittest.TestCase):
    def test_pages_are_what_is_kept(self):
        kept = {performance: performance.load(), costs: page.load(costs.KEPT, {}), layers: layers.load()}
        for program, found in kept.items():
            self.assertEqual(program.page_of(found), program.PAGE.read_text(), f"{program.__name__}.py --page-only")

    def test_nothing_is_written_of_nothing(self):
        for program in (performance, costs, layers):
            with tempfile.TemporaryDirectory() as name, mock.patch.object(sys, "argv", ["", "--page-only"]):
                folder = pathlib.Path(name)
                with mock.patch.multiple(program, KEPT=folder / "kept", PAGE=folder / "page"), \
                        self.assertRaisesRegex(SystemExit, "nothing is measured yet"):
                    program.main()
                self.assertEqual(list(folder.iterdir()), [])

    def test_another_machine_replaces_no_figures(self):
        with mock.patch.object(page, "load", lambda *_: {"machine": "another"}):
            with self.assertRaisesRegex(SystemExit, "another machine"):
                costs.load(types.SimpleNamespace(page_only=False))

    def test_a_page_says_when_its_rows_were_measured(self):
        sides = {"eager": figures(3, "2026-01-02", version="PyTorch 1.0"),
                 "compiled": figures(2, version="PyTorch 2.0")}
        self.assertIn("Measured on 2026-01-02, some figures earlier. Peers: PyTorch 1.0, PyTorch 2.0.",
                      " ".join(performance.page_of({"rows": [row(**sides)]}).split()))

    def test_medians_and_huge_pages_may_be_missing(self):
        eager = {"best_ms": 3, "process_peak_bytes": 2e6, "version": "PyTorch"}
        text = performance.page_of({"rows": [row(eager=eager)]})
        self.assertIn("| LeNet, 28x28 | 256 | 1.000 | 500% | 3.000 |  | **3.00** |  | 2.000 |  | 1 | 2 |", text)


class Measuring(unittest.TestCase):
    def measure(self, steps, rates, usual=200):
        """What `measure` gives where the sides take these times, and fail at None."""
        def run(times):
            time = times.pop(0)
            if time is None:
                raise RuntimeError("this went wrong")
            return figures(time)

        def profile(*_):
            return {"machine_gflops": rates.pop(0), "kernels": [{"gflop": 1}, {"gflop": 2}]}

        sides = {side: lambda times=times: run(times) for side, times in steps.items()}
        mocked = {"sides_of": lambda *_: sides, "stamped": lambda side, result: result}
        with mock.patch.multiple(performance, **mocked), mock.patch.object(page, "figures_of", profile), \
                contextlib.redirect_stderr(io.StringIO()) as self.said:
            return performance.measure("program", CASE, OPTIONS, usual)

    def test_the_least_of_all_rounds_counts(self):
        best, failed = self.measure({"netc": [3, 2], "eager": [5, 7]}, [200])
        self.assertEqual([best[side]["best_ms"] for side in best], [2, 5])
        self.assertEqual([best[side]["median_ms"] for side in best], [3, 6])
        self.assertEqual((best["netc"]["gflop"], best["netc"]["machine_gflops"], failed), (3, 200, set()))
        self.assertNotIn("warning", self.said.getvalue())

    def test_a_busy_machine_is_measured_again_but_not_for_ever(self):
        best, _ = self.measure({"netc": [5, 4, 3, 2], "eager": [9, 8, 7, 6]}, [150, 190])
        self.assertEqual([best[side]["best_ms"] for side in best], [2, 6])
        self.assertEqual(best["netc"]["machine_gflops"], 190)
        self.assertIn("the machine did 150 GFLOP/s in place of 200", self.said.getvalue())
        steps = {"netc": [7, 6, 5, 4, 3, 2]}
        self.measure(steps, [150, 150, 150])
        self.assertEqual(steps["netc"], [])
        self.assertIn("kept all the same", self.said.getvalue())

    def test_a_peer_that_fails_is_left_out(self):
        best, failed = self.measure({"netc": [3, 3], "eager": [5, None], "compiled": [None]}, [200])
        self.assertEqual((list(best), failed), (["netc"], {"eager", "compiled"}))
        with self.assertRaises(RuntimeError):
            self.measure({"netc": [None]}, [200])

    def test_sides_that_were_not_measured_stay(self):
        kept = {"rows": [row(eager=figures(3, "2026-01-02"), compiled=figures(4, "2026-01-02"))]}
        with mock.patch.object(page, "save"):
            performance.keep(kept, row(channels_last=figures(5, "2026-03-04")), {"compiled"})
        self.assertEqual({side: result.get("date") for side, result in kept["rows"][0]["sides"].items()},
                         {"netc": None, "eager": "2026-01-02", "channels_last": "2026-03-04"})

    def test_older_rows_have_the_versions_of_all_sides_in_one_list(self):
        older = row(compiled=figures(3), onnxruntime=figures(4)) | {"peers": ["PyTorch 2.0", "ONNX Runtime 1.0"]}
        del older["precision"]
        with mock.patch.object(page, "load", lambda *_: {"rows": [older]}):
            loaded = performance.load()["rows"][0]
        self.assertEqual([loaded["sides"][side]["version"] for side in ("compiled", "onnxruntime")],
                         ["PyTorch 2.0", "ONNX Runtime 1.0"])
        self.assertEqual(loaded["precision"], "f32")

    def test_steps_that_are_few_are_profiled_twice(self):
        def profile(times, **more):
            return {"ms": sum(times), "machine_gflops": 200, "kernels": [{"ms": time} for time in times], **more}

        for first, second, least in (((10, 20), (12, 15), [10, 15]), ((1, 2), None, [1, 2])):
            profiles = [profile(times) for times in (first, second) if times]
            with mock.patch.object(page, "figures_of", lambda *_: profiles.pop(0)):
                found = layers.profile("program", "train", 8, 0.1)
            self.assertEqual(([kernel["ms"] for kernel in found["kernels"]], profiles), (least, []))


if __name__ == "__main__":
    unittest.main()
