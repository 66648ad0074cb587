#!/usr/bin/env python3
"""Compares what `raincell inspect --json` counts in real radar files with what h5py and netCDF4 read.

  python3 tests/interop/golden_numbers.py --raincell build/cpu/bin/raincell --data DATA

DATA is the folder of the test data (RAINCELL_TEST_DATA). Needs Python with h5py, netCDF4 and numpy. Exit code 0: all agree.
"""
import argparse
import json
import pathlib
import subprocess
import sys

import numpy as np
import radar_files

# CF files: variable, and what the file itself does not say.
CF = {
    "bom_": ("precipitation", {}, []),
    "nwcsaf": ("crr_intensity", {"unit": "mm/h"}, []),
    "ukmo_improver": (None, {}, []),  # whichever variable raincell chose: the files have one each
    "radolan_ry": ("RY", {"unit": "mm", "window_s": 300}, ["source.units=mm", "source.accumulation_s=300"]),
    "openmrg_20150827_packed": ("rainfall", {"unit": "mm/h"}, []),
    "openrainer": ("rainfall_amount", {"window_s": 900}, []),
}


def independent(path, relative, said):
    if relative.startswith("odim/"):
        return radar_files.read_odim(path)
    if relative.startswith("knmi/"):
        return radar_files.read_knmi(path)
    for part, (name, options, settings) in CF.items():
        if part in relative:
            if name is None and "quantity" in said:
                name, options = said["quantity"], {"window_s": said["window_minutes"] * 60}
            return radar_files.read_cf(path, name, **options)
    return None


def inspected(raincell, path, relative):
    settings = next((settings for part, (_, _, settings) in CF.items() if part in relative), [])
    command = [raincell, "inspect", str(path), "--json"]
    for setting in settings:
        command += ["--set", setting]
    return json.loads(subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raincell", required=True)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    options = parser.parse_args()
    root = options.data / "radar"
    compared = refused = wrong = 0
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        relative = str(path.relative_to(root))
        said = inspected(options.raincell, path, relative)
        if "error" in said:
            refused += 1
            continue
        fields = independent(path, relative, said)
        if fields is None:
            print(f"{relative}: read by raincell, not by this script")
            wrong += 1
            continue
        states = np.concatenate([f.states.reshape(-1) for f in fields])
        physical = np.concatenate([f.physical.reshape(-1) for f in fields])
        values = physical[states == radar_files.VALUED]
        rain = np.concatenate([f.rain_mm_h().reshape(-1) for f in fields])
        expected = {"missing": int((states == radar_files.MISSING).sum()), "dry": int((states == radar_files.DRY).sum()),
                    "valued": len(values), "max": values.max() if len(values) else None, "sum": values.sum(),
                    "max_mm_h": np.nanmax(rain)}
        compared += 1
        for key, value in expected.items():
            same = said[key] == value if isinstance(value, int) or value is None else np.isclose(said[key], value, rtol=1e-6, atol=1e-9)
            if not same:
                print(f"{relative}: {key} {said[key]}, h5py and netCDF4 say {value}")
                wrong += 1
    print(f"{compared} files compared, {refused} refused by raincell, {wrong} differences")
    return 1 if wrong or compared == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
