#!/usr/bin/env python3
"""Opens what a training writes with the programs of those who read it: TensorBoard, Prometheus' promtool, Chromium.

  DIR/bin/python tests/interop/check_run.py RUN      # a run's folder; needs tensorboard from PyPI

Every number of metrics.jsonl must be what TensorBoard shows, step by step, also after resumes and roll-backs; promtool must accept metrics.prom;
report.html must open without a network and without a word on the console. A program that is not installed is said and passed over.
"""
import json
import math
import pathlib
import shutil
import subprocess
import sys
import tempfile


def scalars(run):
    """tag -> {step: value} as metrics.jsonl has it."""
    tags = {}
    for text in (run / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        if "event" in line:
            continue
        for key, value in line.items():
            if key == "step" or isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            tag = "validation/" + key[11:] if key.startswith("validation_") else "training/" + key
            tags.setdefault(tag, {})[line["step"]] = value
    return tags


def check_tensorboard(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    wanted, shown = scalars(run), events.Tags()["scalars"]
    assert sorted(wanted) == sorted(shown), f"tags: {sorted(wanted)} against {sorted(shown)}"
    points = 0
    for tag, values in wanted.items():
        got = {event.step: event.value for event in events.Scalars(tag)}
        assert sorted(got) == sorted(values), f"{tag}: steps {sorted(got)} against {sorted(values)}"
        for step, value in values.items():
            assert math.isclose(got[step], value, rel_tol=1e-6, abs_tol=1e-30), f"{tag} at {step}: {got[step]} against {value}"
            points += 1
    print(f"TensorBoard: {len(wanted)} curves, {points} points as in metrics.jsonl")


def check_prometheus(run):
    if not shutil.which("promtool"):
        print("promtool is not installed (package prometheus): passed over")
        return
    with open(run / "metrics.prom") as text:
        result = subprocess.run(["promtool", "check", "metrics"], stdin=text, capture_output=True, text=True)
    assert result.returncode == 0 and not result.stderr, f"promtool: {result.stdout}{result.stderr}"
    print("promtool: accepts metrics.prom")


def check_report(run):
    browser = shutil.which("chromium")
    if not browser:
        print("chromium is not installed: passed over")
        return
    page = (run / "report.html").read_text()
    for outside in ("http://", "https://", "src=\"//"):
        assert outside not in page.replace("http://www.w3.org/", ""), f"report.html refers to {outside}"
    with tempfile.TemporaryDirectory() as folder:
        picture = pathlib.Path(folder) / "page.png"
        result = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
                                 "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder}/profile", f"--screenshot={picture}",
                                 (run / "report.html").resolve().as_uri()], capture_output=True, text=True, timeout=120)
        said = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
        assert picture.exists() and not said, f"chromium: {said or result.stderr}"
    print("Chromium: report.html opens offline, nothing on the console")


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    run = pathlib.Path(sys.argv[1])
    check_tensorboard(run)
    check_prometheus(run)
    check_report(run)


if __name__ == "__main__":
    main()
