#!/usr/bin/env python3
"""Compares what a rolling service published with what the commands say of the same frames.

Every product (or each n-th) is compared with `raincell nowcast --at` of its time, in every variable and attribute but
the history; the ledger's scores with `raincell verify` of the same cases. Needs netCDF4 and numpy.

    raincell watch watch.yaml --replay radar --speed 600x
    python3 tests/interop/check_watch.py OUTPUT radar --raincell build/cpu/bin/raincell --every 8 \
        --from 2010-08-26T02:00Z --to 2010-08-26T04:00Z
"""
import argparse
import datetime
import json
import pathlib
import subprocess
import sys
import tempfile

import netCDF4
import numpy


def attributes(item):
    return {name: str(item.getncattr(name)) for name in item.ncattrs() if name not in ("history", "date_created")}


def differences(ours, theirs):
    """What two netCDF files do not share, one line each."""
    with netCDF4.Dataset(ours) as a, netCDF4.Dataset(theirs) as b:
        a.set_auto_maskandscale(False)
        b.set_auto_maskandscale(False)
        if set(a.variables) != set(b.variables):
            yield f"variables: {sorted(set(a.variables) ^ set(b.variables))}"
            return
        for name, value in attributes(a).items():
            if attributes(b).get(name) != value:
                yield f"attribute {name}: {value} and {attributes(b).get(name)}"
        for name in set(attributes(b)) - set(attributes(a)):
            yield f"attribute {name} is missing"
        for name, variable in a.variables.items():
            other = b.variables[name]
            if attributes(variable) != attributes(other):
                yield f"attributes of {name}"
            if variable.shape != other.shape or not numpy.array_equal(variable[...], other[...]):
                yield f"values of {name}"


def check_products(arguments):
    wrong = 0
    products = sorted(pathlib.Path(arguments.output, "products").glob("nowcast_*.nc"))
    compared = 0
    for product in products[:: arguments.every]:
        with netCDF4.Dataset(product) as file:
            if file.status != "OK":
                print(f"{product.name}: {file.status}, not compared")
                continue
            forecaster = file.forecaster
        stamp = product.stem.split("_")[1]
        at = datetime.datetime.strptime(stamp, "%Y%m%dT%H%MZ").strftime("%Y-%m-%dT%H:%MZ")
        with tempfile.TemporaryDirectory() as folder:
            theirs = pathlib.Path(folder, "nowcast.nc")
            subprocess.run([arguments.raincell, "nowcast", "--input", arguments.radar, "--at", at, "--output", theirs,
                            "--forecaster", forecaster, "--accumulate", arguments.accumulate], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            found = list(differences(product, theirs))
        compared += 1
        for line in found:
            print(f"{product.name}: {line}")
        wrong += bool(found)
    print(f"products: {compared} of {len(products)} compared, {wrong} differ")
    return wrong


def seconds_of(time):
    return int(datetime.datetime.strptime(time, "%Y-%m-%dT%H:%MZ").replace(tzinfo=datetime.timezone.utc).timestamp())


def check_scores(arguments):
    """Counts of each forecaster, lead and threshold over the cases of a range."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder, "verify.json")
        subprocess.run([arguments.raincell, "verify", "--input", arguments.radar, "--from", arguments.first, "--to",
                        arguments.last, "--forecasters", "persistence,advection,convlstm", "--json", report], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        verified = json.loads(report.read_text())
    past, leads, step = 5, max(s["lead_minutes"] for s in verified["scores"]) * 60, arguments.step
    first, last = seconds_of(arguments.first) + (past - 1) * step, seconds_of(arguments.last) - leads
    sums = {}
    for text in pathlib.Path(arguments.output, "ledger/scores.jsonl").read_text().splitlines():
        line = json.loads(text)
        case = seconds_of(line["case"])
        if not first <= case <= last:
            continue
        for score in line["scores"]:
            for threshold, table in zip(line["thresholds_mm_h"], score["tables"]):
                key = (score["forecaster"], line["lead_s"] / 60, threshold)
                sums[key] = [a + b for a, b in zip(sums.get(key, [0] * 4), table)]
    wrong = compared = 0
    for score in verified["scores"]:
        key = (score["forecaster"], score["lead_minutes"], score["threshold_mm_h"])
        counts = [score[name] for name in ("hits", "misses", "false_alarms", "correct_negatives")]
        compared += 1
        if sums.get(key) != counts:
            wrong += 1
            print(f"{key}: ledger {sums.get(key)}, verify {counts}")
    print(f"scores: {compared} tables of {verified['cases']} cases compared, {wrong} differ")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output")
    parser.add_argument("radar")
    parser.add_argument("--raincell", default="build/cpu/bin/raincell")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--accumulate", default="60min")
    parser.add_argument("--step", type=int, default=300)
    parser.add_argument("--from", dest="first")
    parser.add_argument("--to", dest="last")
    arguments = parser.parse_args()
    wrong = check_products(arguments)
    if arguments.first:
        wrong += check_scores(arguments)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
