#!/usr/bin/env python3
"""Prints how fast batches come from an archive, against what training steps ask for.

  python3 tests/bench/loader.py --raincell build/cpu/bin/raincell

An archive is simulated. On the CPU the loader may take 5 % of a step; a GPU whose step of ref-train (16 x 20 frames of 128x128) takes
80 ms asks for 4000 frames a second.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile

CASES = ("cpu-small", "ref-train")  # of configs/bench; of the first the step is timed as well
GPU_FRAMES_A_SECOND = 16 * 20 / 0.080


def run(*command):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {result.returncode}: {result.stderr.strip()}")
    return result.stdout


def bench(options, workload, measure, *more):
    return json.loads(run(options.raincell, "bench", workload, "--only", measure, "--json", "--threads", options.threads, *more))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raincell", required=True, help="the program")
    parser.add_argument("--threads", type=int, default=2, help="of the step")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", default="512x512", help="of the archive's frames")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", type=pathlib.Path, help="the table as a file")
    options = parser.parse_args()
    rows, step_ms = [], []
    with tempfile.TemporaryDirectory() as folder:
        radar, archive = pathlib.Path(folder) / "radar", pathlib.Path(folder) / "archive.nc"
        run(options.raincell, "simulate", "--output", radar, "--frames", options.frames, "--size", options.size)
        run(options.raincell, "pack", radar, "--output", archive)
        loads = {(case, workers): [] for case in CASES for workers in options.workers}
        for _ in range(options.rounds):
            for (case, workers), found in loads.items():
                found.append(bench(options, case, "loader", "--set", f"data.archive={archive}", "--set", f"data.workers={workers}",
                                   "--set", "data.validation=0"))
            step_ms.append(bench(options, CASES[0], "step", "--repetitions", 3)["median_ms"])
    step = statistics.median(step_ms)
    for (case, workers), found in loads.items():
        batch = statistics.median(one["median_ms"] for one in found)
        rate = statistics.median(one["frames_per_s"] for one in found)
        rows.append({"workload": case, "workers": workers, "batch_ms": batch, "frames_per_s": rate})
        share = f", {100 * batch / step:.2f} % of a step of {step:.0f} ms" if case == CASES[0] else f", {rate / GPU_FRAMES_A_SECOND:.1f} x what an H200 asks for"
        print(f"{case:<10} {workers} worker{'s' if workers > 1 else ' '}  {batch:8.3f} ms a batch, {rate:9.0f} frames/s{share}")
    if options.json:
        options.json.write_text(json.dumps({"step_ms": step, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
