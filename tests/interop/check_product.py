#!/usr/bin/env python3
"""Opens product files in the programs that users have: xarray, CDO, GDAL, pysteps, the IOOS compliance checker.

  product_samples FOLDER && python3 tests/interop/check_product.py FOLDER     the samples, with known corners
  python3 tests/interop/check_product.py FILE.nc                              any product: what holds for all of them

Needs Python with numpy, xarray, netCDF4, pyproj, pysteps, compliance-checker, and the programs cdo, gdalinfo and
gdallocationinfo. Exit code 0: everything holds. It is no part of the fast tests.
"""
import json
import pathlib
import re
import subprocess
import sys

import netCDF4
import numpy as np
import pyproj
import xarray

# Projection as its provider writes it, and what a pixel is there: independent of what raincell wrote.
KNMI = "+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378.137 +b=6356.752 +x_0=0 +y_0=0 +no_defs"
SAMPLES = {  # name: provider's projection, unit in m, columns, rows, x0, y0, dx, dy (m or degrees)
    "knmi": (KNMI, 1000, 700, 765, 0, -3650000, 1000.0035, 1000.0048),
    "opera": ("+proj=laea +lat_0=55.0 +lon_0=10.0 +x_0=1950000.0 +y_0=-2100000.0 +ellps=WGS84", 1, 1900, 2200, 0, 0, 2000, 2000),
    "bom": ("+proj=aea +lat_1=-26.2 +lat_2=-29.3 +lon_0=153.24 +lat_0=-27.7178 +ellps=GRS80", 1, 512, 512, -128000, 128000, 500, 500),
    "rmi": ("+proj=lcc +lat_1=49.83333333333334 +lat_2=51.16666666666666 +lat_0=50.797815 +lon_0=4.359215833333333 "
            "+x_0=649328 +y_0=665262 +ellps=GRS80", 1, 700, 700, 300000, 1000000, 1000, 1000),
    "utm": ("+proj=tmerc +lat_0=0 +lon_0=9 +k=0.9996 +x_0=500000 +y_0=0 +ellps=WGS84", 1, 120, 100, 400000, 5600000, 1000, 1000),
    "mercator": ("+proj=merc +lon_0=0 +k=1 +ellps=WGS84", 1, 120, 100, 400000, 5600000, 2000, 2000),
    "longlat": (None, 1, 200, 100, 5, 52, 0.01, 0.01),
}
# Corners as published: longitude, latitude of the outer corner of the upper left pixel.
PUBLISHED_UPPER_LEFT = {"knmi": (0.0, 55.974), "opera": (-39.5357864125034, 67.0228327624372),
                        "bom": (151 + 57 / 60 + 18.63 / 3600, -(26 + 33 / 60 + 24.95 / 3600)),
                        "rmi": (-0.9254649843189054, 53.692855918413244)}

failures = 0


def expect(good, what):
    global failures
    if not good:
        failures += 1
    print(("  ok    " if good else "  FAIL  ") + what)


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout if done.returncode == 0 else done.stdout + done.stderr


def check_xarray(path):
    with xarray.open_dataset(path) as data:
        field = data["precip_intensity"]
        raw = netCDF4.Dataset(path)
        leads = np.asarray(raw["time"][:])
        reference = data["forecast_reference_time"].values
        expect(field.dims == ("time", "y", "x"), "xarray: precip_intensity(time, y, x)")
        expect(((data["time"].values - reference) / np.timedelta64(1, "s") == leads).all(),
               f"xarray: valid times are {reference} + lead")
        periods = data["forecast_period"].values
        seconds = periods / np.timedelta64(1, "s") if periods.dtype.kind == "m" else periods
        expect((seconds == leads).all(), "xarray: forecast_period equals time - reference")
        expect(float(field.min()) >= 0.0, "xarray: no value below 0, fill values masked")
        if "observed_mask" in data:
            expect(set(np.unique(data["observed_mask"].values)) <= {0, 1}, "xarray: observed_mask is 0 or 1")
        return field.values


def check_cdo(path, leads):
    code, out = run("cdo", "-s", "ntime", str(path))
    expect(code == 0 and out.split()[:1] == [str(leads)], f"CDO: {leads} times ({out.strip()[-100:]})")
    code, out = run("cdo", "-s", "infon", "-selname,precip_intensity", str(path))
    expect(code == 0 and "precip_intensity" in out, "CDO: reads precip_intensity")


def check_gdal(path, name):
    source = f"NETCDF:{path}:precip_intensity"
    code, out = run("gdalinfo", "-json", source)
    expect(code == 0, "GDAL: opens")
    info = json.loads(out[out.index("{"):out.rindex("}") + 1])
    transform = info["geoTransform"]
    expect(bool(info["coordinateSystem"]["wkt"]), "GDAL: has a coordinate system")
    expect(info["bands"][0]["noDataValue"] == -32768, "GDAL: no-data value")
    if name not in SAMPLES:
        return
    projection, unit, columns, rows, x0, y0, dx, dy = SAMPLES[name]
    expect(info["size"] == [columns, rows], f"GDAL: {columns}x{rows} pixels")
    expect(np.allclose(transform, [x0, dx, 0, y0, 0, -dy], rtol=1e-9, atol=1e-6), f"GDAL: transform {transform}")
    place = pyproj.Proj(projection) if projection else None
    shift = {}
    for marker, (column, row) in {10: (0, 0), 20: (columns - 1, 0), 30: (0, rows - 1), 40: (columns - 1, rows - 1)}.items():
        x, y = (x0 + (column + 0.5) * dx) / unit, (y0 - (row + 0.5) * dy) / unit
        lon, lat = place(x, y, inverse=True) if place else (x, y)
        code, out = run("gdallocationinfo", "-valonly", "-b", "1", "-wgs84", source, str(lon), str(lat))
        shift[marker] = out.strip()
    expect(all(shift[marker] == str(marker * 100) for marker in shift), f"GDAL: corner markers at their longitude and latitude {shift}")
    if name in PUBLISHED_UPPER_LEFT:
        lon, lat = PUBLISHED_UPPER_LEFT[name]
        gdal_lon, gdal_lat = info["wgs84Extent"]["coordinates"][0][0]
        expect(abs(gdal_lon - lon) < 2e-3 and abs(gdal_lat - lat) < 2e-3,
               f"GDAL: upper left {gdal_lon:.4f}, {gdal_lat:.4f} as published {lon:.4f}, {lat:.4f}")


def check_pysteps(path, name, values):
    from pysteps.io.nowcast_importers import import_netcdf_pysteps
    field, metadata = import_netcdf_pysteps(str(path), onerror="raise", dtype="single")
    expect(np.allclose(field, values, atol=1e-6, equal_nan=True), f"pysteps: the same values, shape {field.shape}")
    raw = netCDF4.Dataset(path)
    expect(np.allclose(metadata["leadtimes"], np.asarray(raw["forecast_period"][:]) / 60), f"pysteps: leads {list(metadata['leadtimes'][:3])} min")
    expect(metadata["unit"] == "mm/h", "pysteps: mm/h")
    if name == "knmi":
        crs = pyproj.Proj(metadata["projection"])
        expect("stere" in metadata["projection"] and np.allclose(crs(10.856, 55.389), (700000, -3650000), atol=2000),
               f"pysteps: projection {metadata['projection']}")
    if name in SAMPLES:
        _, _, columns, rows, x0, y0, dx, dy = SAMPLES[name]
        box = [metadata[key] for key in ("x1", "y1", "x2", "y2")]
        expect(np.allclose(box, [x0, y0 - rows * dy, x0 + columns * dx, y0], rtol=1e-9, atol=1e-6), f"pysteps: box {box}")


def check_values(name, values):
    if name not in SAMPLES:
        return
    for lead in range(values.shape[0]):
        corners = [values[lead, 0, 0], values[lead, 0, -1], values[lead, -1, 0], values[lead, -1, -1]]
        expect(np.allclose(corners, [10 + lead, 20 + lead, 30 + lead, 40 + lead]), f"values: corners of lead {lead}")
    expect(np.isnan(values[0]).sum() == 9, "values: 9 missing pixels")
    expect((values[0] == 0).sum() > values[0].size // 2, "values: dry is 0")


def check_ioos(path):
    program = pathlib.Path(sys.executable).with_name("compliance-checker")
    code, out = run(str(program), "--test=cf:1.11", "--criteria=strict", str(path))
    # The checker takes Mercator's required attribute apart letter by letter ("l is a required attribute"): its bug.
    wrong = [line for line in out.splitlines()
             if line.startswith("* ") and not re.match(r"\* . is a required attribute for grid mapping mercator", line)]
    checked = "All tests passed!" in out or "grid mapping mercator" in out
    expect(checked and not wrong, "IOOS compliance checker: cf:1.11" + ("" if checked and not wrong else "\n" + out))


def main():
    target = pathlib.Path(sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__))
    paths = sorted(target.glob("*.nc")) if target.is_dir() else [target]
    expect(bool(paths), f"product files in {target}")
    if target.is_dir():
        expect(set(SAMPLES) <= {path.stem for path in paths}, "all samples are there")
    for path in paths:
        print(path.name)
        name = path.stem if target.is_dir() else ""
        values = check_xarray(path)
        check_values(name, values)
        check_cdo(path, values.shape[0])
        check_gdal(path, name)
        check_pysteps(path, name, values)
        check_ioos(path)
    print(f"{failures} failures" if failures else "everything holds")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
