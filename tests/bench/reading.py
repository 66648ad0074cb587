#!/usr/bin/env python3
"""Prints how fast radar files and archives are read, beside the libraries alone.

  python3 tests/bench/reading.py --build build/cpu/bin --data DATA

DATA is the folder of the test data (RAINCELL_TEST_DATA). What is compared runs in turns; medians and ratios. pack is timed whole: start, reading,
writing, reading back.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

PACKS = {  # folder of files, array
    "BoM, a day of 512x512": ("cf/bom_c10_20201031", "precipitation"),
    "CIRRUS, 13 of 3800x4400": ("odim/opera_cirrus_20241126", "dataset1/data1/data"),
}


def run(*command):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {result.returncode}: {result.stderr.strip()}")
    return result.stdout


def timed(*command):
    begin = time.perf_counter()
    run(*command)
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, type=pathlib.Path, help="folder of raincell and reading_bench")
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of each run of crops")
    parser.add_argument("--json", type=pathlib.Path, help="what was measured as a file")
    options = parser.parse_args()
    raincell, bench = options.build / "raincell", options.build / "reading_bench"
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        archives = {}
        for name, (source, array) in PACKS.items():
            files = sorted((options.data / "radar" / source).iterdir())
            archives[name] = pathlib.Path(folder) / f"{len(archives)}.nc"
            pack, loop = [], []
            for _ in range(options.rounds):
                loop.append(float(run(bench, "loop", array, options.processes, *files)))
                archives[name].unlink(missing_ok=True)
                pack.append(timed(raincell, "pack", *files, "--output", archives[name], "--threads", options.processes))
            found[f"pack {name}"] = (statistics.median(pack), statistics.median(loop))
            print(f"pack {name}: {found[f'pack {name}'][0]:.2f} s, H5Dread in {options.processes} processes "
                  f"{found[f'pack {name}'][1]:.2f} s: {found[f'pack {name}'][0] / found[f'pack {name}'][1]:.2f} times", flush=True)
        frame = statistics.median(float(run(bench, "frame", 1024, 20)) for _ in range(options.rounds))
        found["frame"] = frame
        print(f"a frame of 1024x1024 through raincell-reader: {frame:.1f} ms", flush=True)
        folder = pathlib.Path(folder)
        day, days = archives["BoM, a day of 512x512"], folder / "days.nc"
        run(bench, "repeat", day, 10, days)
        for name, archive in (("a day", day), ("ten days", days)):
            deflated = folder / "deflated.nc"
            run(bench, "deflate", archive, deflated)
            rates = {"codes": [], "values": [], "0": [], "256": []}
            for _ in range(options.rounds):
                for kind in ("codes", "values"):
                    rates[kind].append(float(run(bench, kind, archive, options.seconds)))
                for cache in ("0", "256"):
                    rates[cache].append(float(run(bench, "netcdf", deflated, cache, options.seconds)))
            ours, values, default, large = (statistics.median(rate) for rate in rates.values())
            found[f"crops of {name}"] = (ours, values, default, large)
            print(f"crops of 25 x 128x128 of int16, {name}: {ours:.0f} a second ({values:.0f} as rain rates); netCDF-C "
                  f"{default:.0f} ({ours / default:.1f} times), with 256 MiB of cache {large:.0f} ({ours / large:.1f} times)", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"processes": options.processes, "found": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
