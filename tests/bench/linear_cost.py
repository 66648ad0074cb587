#!/usr/bin/env python3
"""Prints what a forecast costs a pixel at growing sizes, and a frame at growing lengths: both should stay level, within 20 %.

  python3 tests/bench/linear_cost.py --raincell build/cpu/bin/raincell

Sizes and lengths take turns in every round, and medians count, so that what else runs on the machine meets all of them.
"""
import argparse
import json
import pathlib
import statistics
import subprocess

SIZES, LENGTHS = (128, 256, 512, 1024), (5, 10, 20)
SHORT, SMALL = 2, 128  # frames at growing sizes, size at growing lengths


def forecast_ms(options, size, frames):
    command = [options.raincell, "bench", options.workload, "--only", "forecast", "--json", "--size", f"{size}x{size}", "--repetitions",
               str(options.repetitions), "--backend", options.backend, "--set", f"data.past={frames}", "--set", "training.batch=1"]
    if options.threads:
        command += ["--threads", str(options.threads)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit code {result.returncode}: {result.stderr.strip()}")
    return json.loads(result.stdout)["median_ms"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raincell", required=True, help="the program")
    parser.add_argument("--workload", default="cpu-infer-256", help="a config, or a name of configs/bench")
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=3, help="timed calls a round")
    parser.add_argument("--json", type=pathlib.Path, help="the table as a file")
    options = parser.parse_args()
    points = [(size, SHORT) for size in SIZES] + [(SMALL, frames) for frames in LENGTHS]
    times = {point: [] for point in points}
    for _ in range(options.rounds):
        for point in points:
            times[point].append(forecast_ms(options, *point))
    cost = {(size, frames): 1e6 * statistics.median(values) / (size * size * frames) for (size, frames), values in times.items()}
    tables = (("size", points[:len(SIZES)], 0), ("frames", points[len(SIZES):], 1))
    for what, rows, index in tables:
        least = min(cost[point] for point in rows)
        print(f"{what:>8} {'ms':>12} {'ns a pixel and frame':>22} {'of the least':>13}")
        for point in rows:
            print(f"{point[index]:>8} {statistics.median(times[point]):>12.2f} {cost[point]:>22.2f} {cost[point] / least:>13.2f}")
    if options.json:
        options.json.write_text(json.dumps([{"size": size, "frames": frames, "rounds_ms": times[size, frames],
                                             "ns_a_pixel_and_frame": value} for (size, frames), value in cost.items()], indent=1) + "\n")


if __name__ == "__main__":
    main()
