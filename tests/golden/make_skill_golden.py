#!/usr/bin/env python3
"""Scores by pysteps (and numpy where pysteps has none): of small fields with the fields in skill.json, of radar frames without
them in skill_knmi.json.

Run with pysteps, numpy, scipy and h5py installed and the folder of the test data; the tests only read the results:
    python tests/golden/make_skill_golden.py DATA
"""
import json
import pathlib
import sys

import h5py
import numpy as np
from pysteps.utils.spectral import rapsd
from pysteps.verification.detcatscores import det_cat_fct
from pysteps.verification.detcontscores import det_cont_fct
from pysteps.verification.probscores import CRPS, reldiag_accum, reldiag_compute, reldiag_init
from pysteps.verification.spatialscores import fss
from scipy.ndimage import gaussian_filter, uniform_filter

ROWS, COLUMNS = 24, 20
THRESHOLDS = [0.105, 0.505, 1.005, 2.005, 5.005]  # no value lies on them: pysteps' events are > threshold


def rain(rng, rows, columns):
    field = np.exp(1.6 * gaussian_filter(rng.normal(size=(rows, columns)), 2) * 6 - 0.5)
    return np.round(np.where(field < 0.1, 0, field), 2)


def similarity(p, t, data_range):
    """Structural similarity with scikit-image 0.19's defaults, written with scipy's filter."""
    mean = lambda x: uniform_filter(x, size=7)
    sample = 49 / 48
    up, ut = mean(p), mean(t)
    vp, vt = sample * (mean(p * p) - up * up), sample * (mean(t * t) - ut * ut)
    vpt = sample * (mean(p * t) - up * ut)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    s = (2 * up * ut + c1) * (2 * vpt + c2) / ((up**2 + ut**2 + c1) * (vp + vt + c2))
    return s[3:-3, 3:-3].mean()


def write(name, out):
    path = pathlib.Path(__file__).with_name(name)
    path.write_text(json.dumps(out, indent=None, separators=(",", ":")).replace("],", "],\n") + "\n")


def frame(data, minute):
    """KNMI's five-minute sums as mm/h, NaN where missing."""
    name = f"radar/knmi/rap_20100826/RAD_NL25_RAP_5min_201008260{minute // 60}{minute % 60:02}.h5"
    with h5py.File(data / name) as file:
        codes = file["image1/image_data"][:]
    return np.where(codes == 65535, np.nan, (codes * 0.12).astype(np.float32)).astype(float)


def radar(data):
    """The frame of 05:00 as the forecast of the one of 05:15; five frames until 05:00 as members."""
    forecast, truth = frame(data, 300), frame(data, 315)
    valid = np.isfinite(forecast) & np.isfinite(truth)
    thresholds = [0.1, 0.5, 1, 2, 5, 10]
    out = {"thresholds": thresholds, "categorical": [], "fss": [], "valid": int(valid.sum())}
    for threshold in thresholds:
        scores = det_cat_fct(forecast[valid], truth[valid], threshold, ["CSI", "POD", "FAR", "HSS", "GSS", "BIAS"])
        out["categorical"].append({k.lower(): float(v) for k, v in scores.items()})
    scores = det_cont_fct(forecast[valid], truth[valid], ["MSE", "MAE", "ME", "RMSE", "corr_p"])
    out["continuous"] = {k.lower(): float(v) for k, v in scores.items()}
    for threshold in (0.5, 5):
        for scale in (4, 20, 64):
            out["fss"].append({"threshold": threshold, "scale": scale, "fss": float(fss(forecast, truth, threshold, scale))})
    window = [np.nan_to_num(x)[200:500, 200:500] for x in (forecast, truth)]
    out["spectra"] = [rapsd(x, fft_method=np.fft).tolist() for x in window]
    members = np.stack([frame(data, minute) for minute in range(280, 301, 5)])
    everywhere = valid & np.isfinite(members).all(axis=0)
    some, true = members[:, everywhere], truth[everywhere]
    out["members"] = int(everywhere.sum())
    out["crps"] = float(CRPS(some + 0.0005, true))  # pysteps leaves the interval next to a tie out of its integral
    probability = (some > 0.5).mean(axis=0) * 0.9 + 0.03
    diagram = reldiag_init(0.5, n_bins=10, min_count=0)
    reldiag_accum(diagram, probability, true)
    centre, frequency = reldiag_compute(diagram)
    out["reliability"] = {"forecast": [None if np.isnan(x) else float(x) for x in centre],
                          "observed": [None if np.isnan(x) else float(x) for x in frequency],
                          "pixels": [int(x) for x in diagram["num_idx"]], "brier": float(np.mean((probability - (true > 0.5)) ** 2))}
    return out


def main():
    rng = np.random.default_rng(20100826)
    truth = rain(rng, ROWS, COLUMNS)
    forecast = np.round(0.7 * np.roll(truth, 1, 1) + 0.3 * rain(rng, ROWS, COLUMNS), 2)
    valid = rng.random((ROWS, COLUMNS)) > 0.15
    p, t = np.where(valid, forecast, np.nan), np.where(valid, truth, np.nan)
    out = {"rows": ROWS, "columns": COLUMNS, "truth": truth.ravel().tolist(), "forecast": forecast.ravel().tolist(),
           "valid": valid.ravel().astype(int).tolist(), "thresholds": THRESHOLDS, "categorical": [], "fss": []}
    for threshold in THRESHOLDS:
        # pysteps takes NaN for a correct negative, so that only valid pixels may be handed over
        scores = det_cat_fct(forecast[valid], truth[valid], threshold, ["CSI", "POD", "FAR", "HSS", "GSS", "BIAS"])
        out["categorical"].append({k.lower(): float(v) for k, v in scores.items()})
    scores = det_cont_fct(p.ravel(), t.ravel(), ["MSE", "MAE", "ME", "RMSE", "corr_p"])
    out["continuous"] = {k.lower(): float(v) for k, v in scores.items()}
    for threshold in (0.505, 2.005):
        for scale in (1, 3, 4, 7, 16):
            out["fss"].append({"threshold": threshold, "scale": scale, "fss": float(fss(p, t, threshold, scale))})
    square = {}
    for side in (20, 15, 14):
        square[side] = [rapsd(x[:side, :side], fft_method=np.fft).tolist() for x in (forecast, truth)]
    out["spectra"] = [{"side": k, "forecast": v[0], "truth": v[1]} for k, v in square.items()]
    # No member equals the truth: pysteps leaves the interval next to a tie out of its integral.
    members = 0.0005 + np.round(np.stack([np.roll(truth, s, 0) * f for s, f in ((0, 1.1), (1, 0.8), (2, 1.3), (-1, 0.5), (3, 1.0))]), 2)
    out["members"] = members.reshape(len(members), -1).tolist()
    out["crps"] = float(CRPS(members.reshape(len(members), -1), truth.ravel()))
    probability = np.round((members > 1.005).mean(axis=0) * 0.9 + 0.03, 4)
    diagram = reldiag_init(1.005, n_bins=10, min_count=0)
    reldiag_accum(diagram, probability, truth)
    centre, frequency = reldiag_compute(diagram)
    out["reliability"] = {"threshold": 1.005, "probability": probability.ravel().tolist(),
                          "forecast": [None if np.isnan(x) else float(x) for x in centre],
                          "observed": [None if np.isnan(x) else float(x) for x in frequency],
                          "pixels": [int(x) for x in diagram["num_idx"]],
                          "brier": float(np.mean((probability - (truth > 1.005)) ** 2))}
    small = [np.clip(x / 8, 0, 1).astype(np.float32).astype(float) for x in (forecast, truth)]
    out["similarity"] = {"scale": 0.125, "range_1": float(similarity(*small, 1)), "range_2": float(similarity(*small, 2))}
    write("skill.json", out)
    write("skill_knmi.json", radar(pathlib.Path(sys.argv[1])))


if __name__ == "__main__":
    main()
