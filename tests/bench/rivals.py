#!/usr/bin/env python3
"""Scores raincell's forecasters beside those of pysteps, on the same cases and pixels.

  python3 -m venv DIR && DIR/bin/pip install pysteps netCDF4 opencv-python-headless scikit-image
  DIR/bin/python tests/bench/rivals.py --raincell build/cpu/bin/raincell --input DATA/radar/knmi/rap_20100826 \\
      --from 2010-08-26T05:00Z --to 2010-08-26T07:35Z [--model best.safetensors] --json scores.json

Every case of the range is forecast by pysteps from the frames that raincell reads: `extrapolation` (dense Lucas-Kanade and backward semi-Lagrangian),
`sprog`, `anvil`, and `linda` without perturbations. The forecasts are written as product files, which `raincell verify --products` scores beside
its own forecasters. Files are kept with --keep DIR, and what lies there already is not computed again.
"""
import argparse
import datetime
import pathlib
import subprocess
import sys
import tempfile
import time

import netCDF4
import numpy as np

FILL = -32768
STARTED = datetime.datetime(1970, 1, 1)
DRY_DB, WET_MM_H = -15.0, 0.1  # as pysteps' examples turn rain rates into decibels


def run(*command):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {result.returncode}: {result.stderr.strip()}")
    return result.stdout


def seconds_of(text):
    return (datetime.datetime.fromisoformat(text.replace("Z", "")) - STARTED).total_seconds()


class Frames:
    """The frames of a packed archive: rain rates in mm/h, NaN where missing."""

    def __init__(self, path):
        self.file = netCDF4.Dataset(path)
        self.field = self.file["precip_intensity"]
        self.field.set_auto_maskandscale(False)
        self.times = np.asarray(self.file["time"][:], dtype=float)
        self.step = float(np.median(np.diff(self.times)))
        self.x, self.y = self.file["x"][:], self.file["y"][:]
        self.projection = self.file.raincell_projection

    def rain(self, index):
        codes = self.field[index]
        return np.where(codes == FILL, np.nan, codes * np.float64(0.01))

    def before(self, reference, count):
        """The `count` frames that end at a time, oldest first; None where one is missing."""
        indices = [np.flatnonzero(self.times == reference - k * self.step) for k in range(count - 1, -1, -1)]
        return None if any(len(found) == 0 for found in indices) else np.stack([self.rain(found[0]) for found in indices])


def decibels(rain):
    wet = rain >= WET_MM_H
    return np.where(wet, 10.0 * np.log10(np.where(wet, rain, 1.0)), DRY_DB)


def rates(db):
    return np.where(db >= 10.0 * np.log10(WET_MM_H), 10.0 ** (db / 10.0), 0.0)


class Rivals:
    """pysteps' deterministic forecasters: past rain rates and motion to rain rates of the leads."""

    def __init__(self, step_s, kilometres):
        from pysteps import motion, nowcasts

        self.step_s, self.kilometres = step_s, kilometres
        self.lucas_kanade = motion.get_method("LK")
        self.method = nowcasts.get_method

    def motion(self, past):
        return self.lucas_kanade(decibels(np.nan_to_num(past[-3:])))

    def extrapolation(self, past, motion, leads):
        return self.method("extrapolation")(past[-1], motion, leads)

    def sprog(self, past, motion, leads):
        forecast = self.method("sprog")(decibels(np.nan_to_num(past[-3:])), motion, leads, precip_thr=10.0 * np.log10(WET_MM_H))
        return np.where(np.isnan(forecast), np.nan, rates(forecast))

    def anvil(self, past, motion, leads):
        return self.method("anvil")(np.nan_to_num(past[-4:]), motion, leads, ar_window_radius=50)

    def linda(self, past, motion, leads):
        return self.method("linda")(np.nan_to_num(past[-3:]), motion, leads, add_perturbations=False, kmperpixel=self.kilometres,
                                    timestep=self.step_s / 60.0)


def write_product(path, frames, reference, forecast, name):
    temporary = path.with_suffix(".part")
    with netCDF4.Dataset(temporary, "w") as file:
        file.Conventions = "CF-1.11"
        file.forecaster = file.title = name
        for dimension, size in (("time", len(forecast)), ("y", len(frames.y)), ("x", len(frames.x))):
            file.createDimension(dimension, size)
        for axis, values in (("y", frames.y), ("x", frames.x)):
            variable = file.createVariable(axis, "f8", (axis,))
            variable.units = "m"
            variable[:] = values
        when = file.createVariable("forecast_reference_time", "f8", ())
        when.units = "seconds since 1970-01-01 00:00:00"
        when[...] = reference
        period = file.createVariable("forecast_period", "i4", ("time",))
        period.units = "s"
        period[:] = [round((k + 1) * frames.step) for k in range(len(forecast))]
        file.createVariable("crs", "i4", ()).proj4 = frames.projection
        field = file.createVariable("precip_intensity", "i2", ("time", "y", "x"), zlib=True, complevel=1, fill_value=FILL)
        field.units, field.scale_factor, field.add_offset, field.grid_mapping = "mm h-1", np.float32(0.01), np.float32(0.0), "crs"
        field.set_auto_maskandscale(False)
        with np.errstate(invalid="ignore"):
            field[:] = np.where(np.isfinite(forecast), np.rint(np.clip(forecast, 0.0, 327.67) * 100.0), FILL).astype(np.int16)
    temporary.rename(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raincell", required=True, type=pathlib.Path)
    parser.add_argument("--input", required=True, type=pathlib.Path, help="folder of radar files")
    parser.add_argument("--from", required=True, dest="first", help="UTC, as for raincell verify")
    parser.add_argument("--to", required=True, dest="last")
    parser.add_argument("--methods", default="extrapolation,sprog,anvil", help="of extrapolation, sprog, anvil, linda")
    parser.add_argument("--horizon", type=int, default=60, help="minutes")
    parser.add_argument("--past", type=int, default=5, help="frames that every forecast may start from")
    parser.add_argument("--model", help="weights that forecast rain rates: scores convlstm and blend as well")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the product files")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--report", type=pathlib.Path)
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE for pack and verify")
    options = parser.parse_args()
    settings = [f"--set={setting}" for setting in options.set]
    of_source = [setting for setting in settings if setting.startswith("--set=source.")]
    methods = options.methods.split(",")
    unknown = [method for method in methods if method not in ("extrapolation", "sprog", "anvil", "linda")]
    if unknown:
        parser.error(f"--methods {options.methods}: {unknown[0]} is none of extrapolation, sprog, anvil, linda")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or pathlib.Path(temporary)
        archive = pathlib.Path(temporary) / "frames.nc"
        run(options.raincell, "pack", options.input, "--output", archive, *of_source)
        frames = Frames(archive)
        leads = round(options.horizon * 60 / frames.step)
        rivals = Rivals(frames.step, abs(float(frames.x[1] - frames.x[0])) / 1000.0)
        first, last = seconds_of(options.first), seconds_of(options.last)
        references = [t for t in frames.times if first + (options.past - 1) * frames.step <= t <= last - leads * frames.step]
        took = dict.fromkeys(methods, 0.0)
        for reference in references:
            past = frames.before(reference, options.past)
            missing = [m for m in methods if not (folder / m / f"{int(reference)}.nc").exists()]
            if past is None or not missing:
                continue
            motion = rivals.motion(past)
            for method in missing:
                begin = time.perf_counter()
                forecast = getattr(rivals, method)(past, motion, leads)
                took[method] += time.perf_counter() - begin
                (folder / method).mkdir(parents=True, exist_ok=True)
                write_product(folder / method / f"{int(reference)}.nc", frames, reference, np.asarray(forecast), method)
        for method, seconds in took.items():
            print(f"pysteps {method}: {seconds / max(1, len(references)):.2f} s a forecast, without the motion", file=sys.stderr)
        command = [options.raincell, "verify", "--input", options.input, "--from", options.first, "--to", options.last,
                   "--past", options.past, "--horizon", f"{options.horizon}min", *settings]
        command += ["--forecasters", "persistence,advection" + (",convlstm,blend" if options.model else "")]
        command += ["--model", options.model] if options.model else []
        for method in methods:
            command += ["--products", f"{method}={folder / method}"]
        for name in ("json", "report"):
            if getattr(options, name):
                command += [f"--{name}", getattr(options, name)]
        print(run(*command), end="")


if __name__ == "__main__":
    main()
