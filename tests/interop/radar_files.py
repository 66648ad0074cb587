"""Radar files read by h5py and netCDF4 alone, for scripts that check raincell's reading against them.

Written from the formats' rules, not from raincell's readers: three states by the stored codes, then gain and offset.
"""
import datetime
import re

import h5py
import netCDF4
import numpy as np

MISSING, DRY, VALUED = 0, 1, 2
RAIN = {"RATE": "mm/h", "ACRR": "mm", "DBZH": "dBZ", "DBZ": "dBZ", "TH": "dBZ"}


class Field:
    """One frame: stored numbers, their states and physical values in the file's unit; seconds of its window."""

    def __init__(self, states, physical, unit, time, window_s=0, zr=(200.0, 1.6)):
        self.states, self.physical, self.unit, self.time, self.window_s, self.zr = states, physical, unit, time, window_s, zr

    def rain_mm_h(self):
        """float32, NaN where missing, 0 where dry."""
        values = self.physical
        if self.unit == "dBZ":
            values = (10.0 ** (values / 10.0) / self.zr[0]) ** (1.0 / self.zr[1])
        elif self.unit in ("mm", "kg m-2"):
            values = values * 3600.0 / self.window_s
        elif self.unit == "m":
            values = values * 1000.0 * 3600.0 / self.window_s
        elif self.unit == "m s-1":
            values = values * 3.6e6
        elif self.unit not in ("mm/h", "mm h-1"):
            raise ValueError(f"unit {self.unit}")
        rain = np.where(self.states == VALUED, np.maximum(values, 0.0), np.where(self.states == DRY, 0.0, np.nan))
        return rain.astype(np.float32)


def _text(value):
    value = value[0] if isinstance(value, np.ndarray) else value
    return value.decode() if isinstance(value, bytes) else str(value)


def _number(value):
    return float(np.asarray(value).reshape(-1)[0])


def _in_type(code, dtype):
    """The code as the array stores it, or None where it cannot occur."""
    if np.issubdtype(dtype, np.floating):
        return dtype.type(code)
    if not np.isfinite(code) or code != np.floor(code):
        return None
    info = np.iinfo(dtype)
    return dtype.type(int(code)) if info.min <= code <= info.max else None


def states_of(raw, missing, dry):
    """Missing before dry; NaN is missing, an infinity that is no code as well."""
    states = np.full(raw.shape, VALUED, np.uint8)
    if np.issubdtype(raw.dtype, np.floating):
        states[np.isinf(raw)] = MISSING
    for codes, state in ((dry, DRY), (missing, MISSING)):
        for code in codes:
            code = _in_type(code, raw.dtype)
            if code is not None and not (np.issubdtype(raw.dtype, np.floating) and np.isnan(code)):
                states[raw == code] = state
    if np.issubdtype(raw.dtype, np.floating):
        states[np.isnan(raw)] = MISSING
    return states


def _utc(date, time):
    return datetime.datetime.strptime(date + time.ljust(6, "0"), "%Y%m%d%H%M%S").replace(tzinfo=datetime.timezone.utc)


def has(file, path):
    """Whether the links of a path are there; h5py's own `in` wants statistics of each group as well, which damage may take away."""
    parts = path.strip("/").split("/")
    return all(file.id.links.exists("/".join(parts[:i + 1]).encode()) for i in range(len(parts)))


class _Attributes:
    """Of the first of some groups that has one: a later group is opened only when it is needed."""

    def __init__(self, file, groups):
        self.file, self.groups = file, groups

    def get(self, name, otherwise=None):
        for group in self.groups:
            if has(self.file, group) and name in self.file[group].attrs:
                return self.file[group].attrs[name]
        return otherwise


def read_odim(path, read=lambda dataset: dataset[()]):
    with h5py.File(path, "r") as file:
        found = []
        for n in range(1, 65):
            for m in range(1, 65):
                name = f"dataset{n}/data{m}"
                if not has(file, name):
                    break
                attributes = _Attributes(file, (f"{name}/what", f"dataset{n}/what"))
                found.append((n, m, _text(attributes.get("quantity", "")), attributes))
        for quantity in RAIN:
            matches = [entry for entry in found if entry[2] == quantity]
            if matches:
                break
        n, m, quantity, attributes = matches[0]
        raw = read(file[f"dataset{n}/data{m}/data"])
        raw = raw.astype(raw.dtype.newbyteorder("="))
        missing = [_number(code) for code in (attributes.get("nodata"),) if code is not None]
        dry = [_number(code) for code in (attributes.get("undetect"),) if code is not None]
        states = states_of(raw, missing, dry)
        gain, offset = _number(attributes.get("gain", 1.0)), _number(attributes.get("offset", 0.0))
        what = file["what"].attrs
        window = 0
        if quantity == "ACRR":
            start, end = (_utc(_text(attributes.get(f"{which}date")), _text(attributes.get(f"{which}time"))) for which in ("start", "end"))
            window = (end - start).total_seconds()
        zr = (200.0, 1.6)
        for group in (f"dataset{n}/data{m}/how", f"dataset{n}/how", "how"):
            if has(file, group) and "zr_a" in file[group].attrs and "zr_b" in file[group].attrs:
                zr = (_number(file[group].attrs["zr_a"]), _number(file[group].attrs["zr_b"]))
                break
        return [Field(states, offset + gain * raw.astype(np.float64), RAIN[quantity], _utc(_text(what["date"]), _text(what["time"])),
                      window, zr)]


def _knmi_time(text):
    return datetime.datetime.strptime(text.title(), "%d-%b-%Y;%H:%M:%S.%f").replace(tzinfo=datetime.timezone.utc)


def read_knmi(path, read=lambda dataset: dataset[()]):
    with h5py.File(path, "r") as file:
        image = file["image1"]
        calibration = image["calibration"].attrs
        raw = read(image["image_data"])
        raw = raw.astype(raw.dtype.newbyteorder("="))
        formula = re.match(r"\s*GEO\s*=\s*([-+0-9.eE]+)\s*\*\s*PV\s*([+-])\s*([-+0-9.eE]+)", _text(calibration["calibration_formulas"]))
        gain, offset = float(formula[1]), float(formula[3]) * (-1 if formula[2] == "-" else 1)
        out = _number(calibration["calibration_out_of_image"]) if "calibration_out_of_image" in calibration else None
        none = _number(calibration["calibration_missing_data"]) if "calibration_missing_data" in calibration else None
        missing = [code for code in (out, none if none == out or out is None else None) if code is not None]
        dry = [none] if none is not None and out is not None and none != out else []
        states = states_of(raw, missing, dry)
        physical = offset + gain * raw.astype(np.float64)
        amount = _text(image.attrs["image_geo_parameter"]).startswith("ACCUMULATED")
        if amount:
            states[(states == VALUED) & (physical == 0)] = DRY
        overview = file["overview"].attrs
        start, end = (_knmi_time(_text(overview[f"product_datetime_{which}"])) for which in ("start", "end"))
        return [Field(states, physical, "mm" if amount else "dBZ", end, (end - start).total_seconds() if amount else 0)]


def read_cf(path, name, unit=None, window_s=None, read=None):
    """A variable [time, y, x] or [y, x]; rows turned so that the first is in the north."""
    with netCDF4.Dataset(path) as file:
        variable = file[name]
        variable.set_auto_maskandscale(False)
        raw = np.asarray(variable[:]) if read is None else read(variable)
        attributes = {key: variable.getncattr(key) for key in variable.ncattrs()}
        if str(attributes.get("_Unsigned", "")).lower() == "true" and np.issubdtype(raw.dtype, np.signedinteger):
            raw = raw.view(raw.dtype.str.replace("i", "u"))
        missing = [float(x) for key in ("missing_value",) if key in attributes for x in np.atleast_1d(attributes[key])]
        if "_FillValue" in attributes:
            missing.append(float(attributes["_FillValue"]))
        elif raw.dtype.itemsize > 1:
            missing.append(float(netCDF4.default_fillvals[variable.dtype.str[1:]]))
        states = states_of(raw, missing, [])
        low, high = -np.inf, np.inf
        if "valid_range" in attributes:
            low, high = (float(x) for x in attributes["valid_range"])
        low, high = float(attributes.get("valid_min", low)), float(attributes.get("valid_max", high))
        compare = raw.astype(np.float64)
        with np.errstate(invalid="ignore"):
            states[(compare < np.float64(raw.dtype.type(low) if np.isfinite(low) else low))
                   | (compare > np.float64(raw.dtype.type(high) if np.isfinite(high) else high))] = MISSING
        physical = compare * float(attributes.get("scale_factor", 1.0)) + float(attributes.get("add_offset", 0.0))
        unit = unit or attributes["units"]
        if unit != "dBZ":
            states[(states == VALUED) & (physical == 0)] = DRY
        if window_s is None and "start_time" in file.variables and "valid_time" in file.variables:
            window_s = float(file["valid_time"][...]) - float(file["start_time"][...])
        y = next((file[d] for d in variable.dimensions if d in file.variables and d.lower() in ("y", "ny", "lat", "latitude",
                                                                                          "projection_y_coordinate")), None)
        ascends = y is not None and y.shape[0] > 1 and y[1] > y[0]
        states, physical = (a.reshape(-1, *a.shape[-2:]) for a in (states, physical))
        if ascends:
            states, physical = states[:, ::-1], physical[:, ::-1]
        return [Field(s, p, unit, None, window_s) for s, p in zip(states, physical)]
