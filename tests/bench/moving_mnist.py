#!/usr/bin/env python3
"""Trains a config on Moving MNIST and scores it as OpenSTL does, beside forecasts that cost nothing.

  python3 tests/bench/moving_mnist.py --raincell build/cpu/bin/raincell --digits DATA/mnist --work DIR

Sequences are drawn from the digits of the training images to train, from the t10k images to test: this test set is an own draw, not the
published file, so that published figures stand beside these, not below them. MSE and MAE are sums over a frame's pixels, means over frames
and sequences. What lies in DIR already is used again; a training that was stopped goes on. Needs numpy and netCDF4.
"""
import argparse
import json
import pathlib
import subprocess
import time

import netCDF4
import numpy as np

SEQUENCE, PAST = 20, 10
FIELD = "field"  # of an archive of intensities


def run(*command):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {result.returncode}: {result.stderr.strip()}")
    return result.stdout


def sequences(options, name, digits, count, seed):
    """A packed archive of `count` sequences."""
    folder, archive = options.work / name, options.work / f"{name}.nc"
    if not archive.exists():
        run(options.raincell, "simulate", "--kind", "moving-mnist", "--digits", options.digits / digits, "--size", "64x64", "--frames",
            SEQUENCE * count, "--seed", seed, "--output", folder)
        run(options.raincell, "pack", folder, "--output", archive)
    return archive


def baselines(test, train):
    """MSE and MAE of an empty frame, of the mean frame of the training sequences, and of the last frame."""
    def frames(path, first, count):
        with netCDF4.Dataset(path) as file:
            field = file[FIELD]
            field.set_auto_maskandscale(False)
            return field[first:first + count].astype(np.float32) * np.float32(field.scale_factor)

    def length(path):
        with netCDF4.Dataset(path) as file:
            return len(file["time"])

    chunk = 50 * SEQUENCE
    climate = np.mean([frames(train, i, chunk).mean(axis=0) for i in range(0, min(length(train), 20 * chunk), chunk)], axis=0)
    sums, count = {}, 0
    for begin in range(0, length(test), chunk):
        some = frames(test, begin, chunk).reshape(-1, SEQUENCE, 64, 64)
        truth = some[:, PAST:]
        count += truth.shape[0] * truth.shape[1]
        for name, forecast in (("zeros", 0.0), ("mean image", climate), ("last frame", some[:, PAST - 1:PAST])):
            error = np.asarray(forecast - truth, dtype=np.float64)
            squared, absolute = sums.get(name, (0.0, 0.0))
            sums[name] = squared + np.square(error).sum(), absolute + np.abs(error).sum()
    return {name: {"mse": squared / count, "mae": absolute / count} for name, (squared, absolute) in sums.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raincell", required=True, help="the program")
    parser.add_argument("--digits", required=True, type=pathlib.Path, help="folder of train-images-idx3-ubyte.gz and t10k-images-idx3-ubyte.gz")
    parser.add_argument("--work", required=True, type=pathlib.Path, help="folder for archives and the run")
    parser.add_argument("--config", default="configs/mnist-small.yaml")
    parser.add_argument("--train", type=int, default=10000, help="sequences")
    parser.add_argument("--test", type=int, default=10000, help="sequences")
    parser.add_argument("--json", type=pathlib.Path, help="the table as a file")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    train = sequences(options, "train", "train-images-idx3-ubyte.gz", options.train, 1)
    test = sequences(options, "test", "t10k-images-idx3-ubyte.gz", options.test, 2)
    begin = time.monotonic()
    run(options.raincell, "train", options.config, "--run", options.work / "run", "--set", f"data.archive={train}")
    took = time.monotonic() - begin
    scores = json.loads(run(options.raincell, "verify", "--protocol", "openstl-mnist", "--model", options.work / "run/last.safetensors", "--input", options.work / "test",
                            "--from", "2000-01-01T00:00Z", "--to", "2100-01-01T00:00Z", "--forecasters", "persistence,convlstm", "--json", "-"))
    table = baselines(test, train)
    for row in scores["summary"]:
        if row["forecaster"] == "convlstm":
            table.setdefault("convlstm", {})[row["score"]] = row["value"]
    print(f"{options.config}: trained for {took / 60:.1f} min; own draw of {scores['cases']} test sequences")
    for name, values in table.items():
        print(f"  {name:<12}" + "".join(f"{score} {value:8.3f}  " for score, value in values.items()))
    if options.json:
        options.json.write_text(json.dumps({"config": options.config, "train_s": took, "cases": scores["cases"], "scores": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
