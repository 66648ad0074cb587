#!/usr/bin/env python3
"""Times raincell's advection against pysteps' extrapolation on the same frames.

  python3 -m venv DIR && DIR/bin/pip install pysteps netCDF4 opencv-python-headless
  DIR/bin/python tests/bench/advection_time.py --raincell build/cpu/bin/raincell --input DATA/radar/knmi/rap_20100826 \\
      --at 2010-08-26T05:30Z,2010-08-26T05:50Z,2010-08-26T06:10Z

Alternately, for each time and an hour ahead: dense Lucas-Kanade motion and backward semi-Lagrangian extrapolation of pysteps, in a process that
holds the frames and has both loaded; and `raincell nowcast --forecaster advection` as a whole, from reading its files to writing the product.
"""
import argparse
import contextlib
import datetime
import io
import pathlib
import statistics
import tempfile
import time

import rivals


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raincell", required=True, type=pathlib.Path)
    parser.add_argument("--input", required=True, type=pathlib.Path, help="folder of radar files")
    parser.add_argument("--at", required=True, help="UTC times of forecasts, with commas between")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        archive = pathlib.Path(temporary) / "frames.nc"
        rivals.run(options.raincell, "pack", options.input, "--output", archive)
        frames = rivals.Frames(archive)
        peer = rivals.Rivals(frames.step, abs(float(frames.x[1] - frames.x[0])) / 1000.0)
        theirs, ours = [], []
        for at in options.at.split(","):
            past = frames.before(rivals.seconds_of(at), 5)
            if past is None:
                parser.error(f"--at {at}: five frames until then are not there")
            with contextlib.redirect_stdout(io.StringIO()):
                begin = time.perf_counter()
                peer.extrapolation(past, peer.motion(past), round(3600 / frames.step))
                theirs.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            rivals.run(options.raincell, "nowcast", "--forecaster", "advection", "--input", options.input, "--at", at,
                       "--horizon", "60min", "--output", pathlib.Path(temporary) / "out.nc")
            ours.append(time.perf_counter() - begin)
    theirs, ours = statistics.median(theirs), statistics.median(ours)
    print(f"median of {len(options.at.split(','))}: pysteps {theirs:.2f} s, raincell {ours:.2f} s, {theirs / ours:.1f} times as fast")


if __name__ == "__main__":
    main()
