#!/usr/bin/env python3
"""Times the reference workloads in raincell and in PyTorch, alternating, and prints one table of ratios: time and peak memory.

  python3 tests/bench/peer_torch.py --raincell build/cpu/bin/raincell cpu-small cpu-infer-256 cpu-5x5 --ndrplz DIR
  python3 tests/bench/peer_torch.py --raincell build/cuda/bin/raincell --device cuda --precision bf16 \\
      ref-train ref-infer infer-128 ndrplz cpu-small --ndrplz DIR --json ratios.json

The PyTorch networks are those of configs/bench: the same layers, sizes, loss and optimizer. Variants: eager (channels-last; under
autocast with --precision bf16), compiled (torch.compile of the same), and with --ndrplz the module that its author published
(convlstm.py of ndrplz/ConvLSTM_pytorch in DIR) for the workloads that are its stack. Needs PyTorch, see requirements.txt; no part
of the tests.

Every variant lives in a process of its own. Memory is the peak of its resident pages (VmHWM), and, in brackets, what of it came after
the import of PyTorch; raincell's is that of its whole process. Ratio: PyTorch / raincell for times, raincell / PyTorch for memory.
"""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys

WORKLOADS = {  # batch, past, future, channels, size, [(hidden, kernel)], measures
    "ref-train": (16, 10, 10, 1, 128, [(64, 5), (64, 3), (64, 3)], ["step"]),
    "ref-infer": (1, 10, 10, 1, 512, [(64, 5), (64, 3), (64, 3)], ["forecast"]),
    "infer-128": (1, 10, 10, 1, 128, [(64, 5), (64, 3), (64, 3)], ["forecast"]),
    "ndrplz": (32, 10, 1, 64, 128, [(16, 3)], ["forward", "step"]),
    "cpu-small": (4, 10, 1, 1, 64, [(64, 3), (64, 3)], ["forward", "step"]),
    "cpu-infer-256": (1, 10, 1, 1, 256, [(64, 3), (64, 3)], ["forecast"]),
    "cpu-5x5": (4, 10, 1, 1, 64, [(64, 5), (64, 5)], ["forward", "step"]),
}
ROOT = pathlib.Path(__file__).resolve().parents[2]
MIB = 1 << 20


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="+", choices=WORKLOADS)
    parser.add_argument("--raincell", required=True, help="the program")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="f32", choices=["f32", "tf32", "bf16"])
    parser.add_argument("--raincell-precision", choices=["f32", "tf32", "bf16"], help="default: that of --precision")
    parser.add_argument("--threads", type=int, default=2, help="on the cpu, for both")
    parser.add_argument("--rounds", type=int, default=3, help="each times raincell and every variant once")
    parser.add_argument("--repetitions", type=int, default=5, help="timed calls a round")
    parser.add_argument("--ndrplz", help="folder with the published convlstm.py")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--keep-malloc", action="store_true", help="let PyTorch's process keep freed memory: fewer page faults")
    parser.add_argument("--json", help="the table as a file")
    options = parser.parse_args()
    options.raincell_precision = options.raincell_precision or options.precision
    return options


class Peer:
    """A process with one variant in it, which times a round whenever it is asked."""

    def __init__(self, variant, workload, measure, options):
        what = {"variant": variant, "sizes": WORKLOADS[workload], "measure": measure, "device": options.device,
                "precision": options.precision, "threads": options.threads, "repetitions": options.repetitions,
                "ndrplz": options.ndrplz}
        environment = dict(os.environ)
        if options.keep_malloc:
            environment.update(MALLOC_MMAP_THRESHOLD_=str(1 << 30), MALLOC_TRIM_THRESHOLD_=str(1 << 34), MALLOC_TOP_PAD_=str(1 << 26))
        self.process = subprocess.Popen([sys.executable, str(ROOT / "tests/bench/peer_networks.py"), json.dumps(what)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.about = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a PyTorch process ended with exit code {self.process.wait()}")
        return json.loads(line)

    def round(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def raincell_round(workload, measure, options):
    command = [options.raincell, "bench", workload, "--only", measure, "--json", "--backend", options.device,
               "--repetitions", str(options.repetitions), "--set", f"precision={options.raincell_precision}"]
    if options.device == "cpu":
        command += ["--threads", str(options.threads)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit code {result.returncode}: {result.stderr.strip()}")
    return json.loads(result.stdout)


def measured(workload, measure, options):
    """One row of the table: alternating rounds of raincell and of every variant."""
    names = ["eager"] + ([] if options.no_compile else ["compiled"])
    if options.ndrplz and WORKLOADS[workload][2] == 1:
        names.append("ndrplz")
    peers = {name: Peer(name, workload, measure, options) for name in names}
    rounds = {name: [] for name in ["raincell", *names]}
    for _ in range(options.rounds):
        rounds["raincell"].append(raincell_round(workload, measure, options))
        for name, peer in peers.items():
            rounds[name].append(peer.round())
    for peer in peers.values():
        peer.close()
    own = rounds["raincell"][0]
    medians = {name: statistics.median(one["median_ms"] for one in all) for name, all in rounds.items()}
    row = {"workload": workload, "measure": measure, "median_ms": medians,
           "ratio": {name: medians[name] / medians["raincell"] for name in names},
           "rounds_ms": {name: [one["median_ms"] for one in all] for name, all in rounds.items()},
           "peak_bytes": {name: max(one["peak_bytes"] for one in all) for name, all in rounds.items()},
           "imported_bytes": {name: peer.about["imported_bytes"] for name, peer in peers.items()}}
    about = {**next(iter(peers.values())).about, "libraries": own["libraries"], "raincell_device": own["device"]}
    del about["imported_bytes"]
    return row, about


def text_of(row):
    peaks, own = row["peak_bytes"], row["median_ms"]["raincell"]
    words = [f"{row['workload']:<13} {row['measure']:<8} raincell {own:9.2f} ms {peaks['raincell'] / MIB:7.0f} MiB"]
    for name, ratio in row["ratio"].items():
        after = peaks[name] - row["imported_bytes"][name]
        words.append(f"{name} {row['median_ms'][name]:9.2f} ms {ratio:5.2f}x {peaks[name] / MIB:6.0f} MiB {peaks['raincell'] / peaks[name]:5.2f}x"
                     f" ({after / MIB:.0f} MiB {peaks['raincell'] / after:.2f}x)")
    return "  ".join(words)


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "processor"


def commit():
    def git(*words):
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True).stdout.strip()
    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def main():
    options = arguments()
    rows, about = [], {}
    for workload in options.workloads:
        for measure in WORKLOADS[workload][-1]:
            row, about = measured(workload, measure, options)
            if not rows:
                print(f"PyTorch {about['torch']}, raincell on {about['libraries']}, {options.precision}, {about['device']}, median of "
                      f"{options.rounds} rounds; time: PyTorch / raincell, memory: raincell / PyTorch (without its import)")
            rows.append(row)
            print(text_of(row), flush=True)
    if options.json:
        version = subprocess.run([options.raincell, "--version"], capture_output=True, text=True).stdout.strip()
        pathlib.Path(options.json).write_text(json.dumps({
            "machine": f"{processor()}, {os.cpu_count()} processors", "date": datetime.date.today().isoformat(), "commit": commit(),
            "command": "python3 tests/bench/peer_torch.py " + " ".join(sys.argv[1:]), "raincell": version,
            "python": sys.version.split()[0], **about, "precision": options.precision,
            "raincell_precision": options.raincell_precision, "threads": options.threads, "keep_malloc": options.keep_malloc,
            "load_average": os.getloadavg()[0], "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
