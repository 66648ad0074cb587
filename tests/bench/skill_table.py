#!/usr/bin/env python3
"""Prints scores of `raincell verify --json` as a Markdown table: a row a forecaster and lead.

  python3 tests/bench/skill_table.py scores.json --pixel-km 1 --leads 5,15,30,60 [--fss-km 20]

MSE, then CSI (frequency bias) at 0.5, 1 and 5 mm/h, the bootstrap interval of CSI at 1 mm/h where cases do not all overlap, FSS at 5 mm/h over
squares of --fss-km, and the mean ratio of power to the truth's between 8 and 16 km.
"""
import argparse
import json
import pathlib

THRESHOLDS = (0.5, 1.0, 5.0)


def number(value, digits=3):
    return "-" if value is None else f"{value:.{digits}f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.{digits}f}"


def pick(rows, **wanted):
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return found[0] if found else None


def power_ratio(rows, name, lead, pixel_km):
    spectrum = pick(rows, forecaster=name, lead_minutes=lead)
    if spectrum is None:
        return None
    inside = [ratio for length, ratio in zip(spectrum["wavelength_pixels"], spectrum["power_ratio"])
              if ratio is not None and 8 <= length * pixel_km <= 16]
    return sum(inside) / len(inside) if inside else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", type=pathlib.Path)
    parser.add_argument("--pixel-km", type=float, required=True)
    parser.add_argument("--leads", required=True, help="minutes, for example 5,15,30,60")
    parser.add_argument("--fss-km", type=float, default=20)
    options = parser.parse_args()
    scores = json.loads(options.scores.read_text())
    names = list(dict.fromkeys(row["forecaster"] for row in scores["continuous"]))
    print(f"{scores['cases']} cases\n")
    print("| min | forecaster | MSE | CSI (bias) 0.5 | 1 | 5 mm/h | 95 % of CSI 1 | FSS 5 | power |")
    print("|---|---|---|---|---|---|---|---|---|")
    for lead in (float(text) for text in options.leads.split(",")):
        for name in names:
            table = [pick(scores["scores"], forecaster=name, lead_minutes=lead, threshold_mm_h=t) for t in THRESHOLDS]
            mean = pick(scores["continuous"], forecaster=name, lead_minutes=lead)
            if mean is None:
                continue
            interval = pick(scores["intervals"], forecaster=name, lead_minutes=lead, score="csi", threshold_mm_h=1.0)
            low, high = (interval["low"], interval["high"]) if interval else (None, None)
            fss = pick(scores["fss"], forecaster=name, lead_minutes=lead, threshold_mm_h=5.0,
                       scale_pixels=round(options.fss_km / options.pixel_km))
            csi = " | ".join(f"{number(row['csi'])} ({number(row['bias'], 2)})" for row in table)
            print(f"| {lead:g} | {name} | {number(mean['mse'])} | {csi} | {'-' if low is None else number(low) + ' to ' + number(high)} | "
                  f"{number(fss['fss'] if fss else None)} | {number(power_ratio(scores['spectra'], name, lead, options.pixel_km), 2)} |")


if __name__ == "__main__":
    main()
