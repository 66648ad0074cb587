#!/usr/bin/env python3
"""Prints what `raincell plan` predicts beside what `raincell train` and `raincell nowcast` then take: peak memory, time of a step.

  python3 tests/bench/plan_accuracy.py --raincell build/cpu/bin/raincell
  python3 tests/bench/plan_accuracy.py --raincell build/cpu/bin/raincell --work /var/tmp/plans hko7 cpu-small

Archives are simulated, into --work or a folder that is removed at the end. Measured memory is the peak of the process's resident
pages (VmHWM), the mapped archive's among them; the time of a step is that of the last steps of the run, loading included.
Standard library alone.
"""
import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CASES = {  # config, columns x rows and number of the frames, first time, --set, steps of the training
    "quickstart": ("quickstart.yaml", "128x128", 120, "2024-06-01T00:00Z", [], 100),
    "knmi": ("knmi.yaml", "700x765", 40, "2010-08-26T00:00Z", [], 30),
    "radar": ("radar.yaml", "256x256", 60, "2024-06-01T00:00Z", ["training.batch=2", "schedule.warmup_steps=0", "data.validation=0"], 50),
    "moving-mnist": ("paper-mnist.yaml", "64x64", 60, "2024-06-01T00:00Z", ["training.batch=4"], 12),
    "hko7": ("hko7.yaml", "480x480", 40, "2024-06-01T00:00Z", ["training.batch=1", "data.validation=0"], 12),
    "ref-train": ("bench/ref-train.yaml", "128x128", 40, "2024-06-01T00:00Z", ["training.batch=1", "data.crop=64x64", "data.validation=0"], 12),
    "cpu-small": ("bench/cpu-small.yaml", "64x64", 40, "2024-06-01T00:00Z", [], 22),
    "cpu-5x5": ("bench/cpu-5x5.yaml", "64x64", 40, "2024-06-01T00:00Z", [], 12),
}
MIB = 1 << 20


def measured(command, log):
    """Peak of the resident pages in bytes, and seconds. What the program says is appended to the log."""
    begin = time.perf_counter()
    with open(log, "a") as text:
        text.write("$ " + " ".join(map(str, command)) + "\n")
        text.flush()
        child = subprocess.Popen([str(word) for word in command], stdout=text, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {child.returncode}; see {log}")
    return usage.ru_maxrss * 1024, time.perf_counter() - begin


def frames_of(program, work, size, frames, start, log):
    name = f"{size}-{frames}-{start[:10]}"
    radar, archive = work / f"radar-{name}", work / f"archive-{name}.nc"
    if not archive.exists():
        measured([program, "simulate", "--output", radar, "--frames", frames, "--size", size, "--start", start], log)
        measured([program, "pack", radar, "--output", archive], log)
    return radar, archive


def planned(command):
    begin = time.perf_counter()
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {result.returncode}: {result.stderr.strip()}")
    return json.loads(result.stdout), time.perf_counter() - begin


def last_step_seconds(run, batch, accumulation=1):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rate = [line["samples_per_s"] for line in lines if "samples_per_s" in line][-1]
    return batch * accumulation / rate


def compare(name, options, work):
    config, size, frames, start, settings, steps = CASES[name]
    log = work / f"{name}.log"
    radar, archive = frames_of(options.raincell, work, size, frames, start, log)
    sets = [word for setting in [*settings, f"data.archive={archive}"] for word in ("--set", setting)]
    threads = ["--threads", options.threads]
    file = ROOT / "configs" / config
    run = work / f"run-{name}"
    shortened = [word for setting in (f"training.steps={steps}", f"training.checkpoint_every={steps}",
                                      f"training.validate_every={steps}") for word in ("--set", setting)]
    training, plan_s = planned([options.raincell, "plan", file, "--json", *threads, *sets, *shortened])
    train_bytes, _ = measured([options.raincell, "train", file, "--run", run, "--fresh", *threads, *sets, *shortened], log)
    step_s = last_step_seconds(run, training["batch"])
    nowcast_bytes, nowcast_s = measured([options.raincell, "nowcast", "--model", run / "last.safetensors", "--input", radar,
                                         "--output", work / f"{name}.nc", *threads], log)
    return {"config": name, "batch": training["batch"], "crop": f"{training['columns']}x{training['rows']}", "frames": size,
            "plan_s": plan_s, "train_bytes": [training["host_bytes"], train_bytes],
            "nowcast_bytes": [training["forecast_host_bytes"], nowcast_bytes],
            "step_s": [training["step_seconds_estimate"], step_s], "nowcast_s": nowcast_s}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--raincell", required=True, type=pathlib.Path, help="the program")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--work", type=pathlib.Path, help="folder for archives and runs, kept and used again")
    parser.add_argument("--json", type=pathlib.Path, help="the table as a file")
    options = parser.parse_args()
    for case in options.cases:
        if case not in CASES:
            parser.error(f"there is no case '{case}'; expected some of {', '.join(CASES)}")
    rows = []
    print(f"{'config':<13} {'batch':>5} {'crop':>9} {'frames':>9} {'plan':>6}   {'training MiB':>22}   {'nowcast MiB':>22}"
          f"   {'step ms':>24}      predicted / measured, ratio")
    with tempfile.TemporaryDirectory(dir=options.work and options.work.parent) as temporary:
        work = options.work or pathlib.Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for name in options.cases or CASES:
            row = compare(name, options, work)
            rows.append(row)
            pair = lambda values, unit: f"{values[0] / unit:9.1f} {values[1] / unit:9.1f} {values[0] / values[1]:5.2f}"
            print(f"{name:<13} {row['batch']:>5} {row['crop']:>9} {row['frames']:>9} {row['plan_s']:>4.1f} s  "
                  f"{pair(row['train_bytes'], MIB)}  {pair(row['nowcast_bytes'], MIB)}  {pair(row['step_s'], 1e-3)}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"threads": options.threads, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
