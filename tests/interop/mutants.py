#!/usr/bin/env python3
"""Damages good radar files in thousands of ways and looks at what raincell makes of them.

  python3 tests/interop/mutants.py --reader build/asan/bin/read_files --data DATA [--flips 10000] [--cuts 1000] [--seed 1]

Every mutant must be refused, or be read to the pixels that h5py or netCDF4 read in it: what raincell holds for missing may be
more (a damaged chunk costs its own pixels). The reader must never crash or hang. DATA is the folder of the test data
(RAINCELL_TEST_DATA). Needs Python with h5py, netCDF4 and numpy. Exit code 0: so it is.
"""
import argparse
import multiprocessing
import pathlib
import random
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import radar_files

GOOD = {  # small real files of every format and kind of storage
    "odim/single/knmi_curacao_dbzh_20220830.h5": radar_files.read_odim,
    "odim/single/rmi_radclim_acrr5min_20200303.hdf": radar_files.read_odim,
    "odim/single/dwd_rw_20250922.hdf5": radar_files.read_odim,
    "odim/quirks/composite_with_radarindex.h5": radar_files.read_odim,
    "knmi/rap_20100826/RAD_NL25_RAP_5min_201008260400.h5": radar_files.read_knmi,
    "cf/bom_cscn_20180616/2_20180616_130000.prcp-cscn.nc": lambda path, read=None: radar_files.read_cf(path, "precipitation", read=read),
}


def by_chunks(variable):
    """The array chunk by chunk; those that cannot be read are full of zeros, which raincell must hold for missing."""
    dataset = variable if isinstance(variable, h5py.Dataset) else None
    if dataset is None or dataset.chunks is None:
        return np.asarray(variable[()] if dataset is not None else variable[:])
    out = np.zeros(dataset.shape, dataset.dtype)
    for part in dataset.iter_chunks():
        try:
            out[part] = dataset[part]
        except OSError:
            pass
    return out


def independent(task):
    path, name = task
    read = GOOD[name]
    try:
        fields = read(path)
    except OSError:
        fields = read(path, read=by_chunks)
    return np.concatenate([field.rain_mm_h().reshape(-1) for field in fields])


def mutants(names, data, flips, cuts, seed, folder):
    rng = random.Random(seed)
    for i in range(flips + cuts):
        name = names[i % len(names)]
        bytes_ = bytearray((data / name).read_bytes())
        if i < flips:
            for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
                bytes_[rng.randrange(len(bytes_))] ^= 1 << rng.randrange(8) if rng.random() < 0.5 else rng.randrange(1, 256)
        else:
            del bytes_[rng.randrange(len(bytes_)):]
        path = folder / f"{i}{pathlib.Path(name).suffix}"
        path.write_bytes(bytes_)
        yield path, name


def judge(path, name, said, pool, counts):
    if said.startswith("refused "):
        counts["refused"] += 1
        return None
    rain = np.fromfile(str(path) + ".rain", np.float32)
    try:
        expected = pool.apply_async(independent, ((path, name),)).get(timeout=60)
    except multiprocessing.TimeoutError:
        return "read, but h5py hangs"
    except Exception as error:
        return f"read, but h5py and netCDF4 cannot: {type(error).__name__}: {error}"
    if rain.shape != expected.shape:
        return f"{rain.size} pixels, h5py and netCDF4 read {expected.size}"
    seen = ~np.isnan(rain)
    with np.errstate(invalid="ignore"):
        same = np.isclose(rain[seen], expected[seen], rtol=1e-5, atol=1e-6)
    if not same.all():
        at = np.flatnonzero(seen)[~same][0]
        return f"{(~same).sum()} pixels differ; pixel {at} is {rain[at]}, h5py and netCDF4 read {expected[at]}"
    counts["read"] += 1
    counts["more missing"] += int((np.isnan(rain) & ~np.isnan(expected)).any())
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reader", required=True, help="the program read_files")
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--flips", type=int, default=10000)
    parser.add_argument("--cuts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=pathlib.Path, help="folder for mutants that were judged wrong")
    options = parser.parse_args()
    counts = {"refused": 0, "read": 0, "more missing": 0}
    wrong = 0
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as temporary, context.Pool(1, maxtasksperchild=200) as pool:
        folder = pathlib.Path(temporary)
        batch = []

        def finish():
            nonlocal wrong
            done = subprocess.run([options.reader, *(str(path) for path, _ in batch)], capture_output=True, text=True,
                                  timeout=600, errors="replace")
            lines = done.stdout.splitlines()
            if done.returncode != 0 or len(lines) != len(batch):
                raise SystemExit(f"the reader ended with {done.returncode} after {len(lines)} of {len(batch)} files: {done.stderr[-2000:]}")
            for (path, name), said in zip(batch, lines):
                why = judge(path, name, said, pool, counts)
                if why is not None:
                    wrong += 1
                    print(f"{path.name} of {name}: {why}")
                    if options.keep:
                        options.keep.mkdir(parents=True, exist_ok=True)
                        (options.keep / path.name).write_bytes(path.read_bytes())
                path.unlink()
                pathlib.Path(str(path) + ".rain").unlink(missing_ok=True)
            batch.clear()

        for mutant in mutants(list(GOOD), options.data / "radar", options.flips, options.cuts, options.seed, folder):
            batch.append(mutant)
            if len(batch) == 100:
                finish()
        if batch:
            finish()
    print(f"{options.flips} damaged and {options.cuts} cut files: {counts['refused']} refused, {counts['read']} read "
          f"({counts['more missing']} of them with further missing pixels), {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
