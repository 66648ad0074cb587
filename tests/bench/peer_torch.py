#!/usr/bin/env python3
"""Times the reference workloads in raincell and in PyTorch, alternating, and prints one table of ratios.

  python3 tests/bench/peer_torch.py --raincell build/cpu/bin/raincell cpu-small
  python3 tests/bench/peer_torch.py --raincell build/cuda/bin/raincell --device cuda --precision bf16 \\
      ref-train ref-infer infer-128 ndrplz cpu-small --ndrplz DIR --json ratios.json

The PyTorch networks are those of configs/bench: the same layers, sizes, loss and optimizer. Variants: eager (channels-last; under
autocast with --precision bf16), compiled (torch.compile of the same), and with --ndrplz the module that its author published
(convlstm.py of ndrplz/ConvLSTM_pytorch in DIR) for the workloads that are its stack. Needs PyTorch; no part of the tests.
"""
import argparse
import contextlib
import importlib.util
import json
import pathlib
import statistics
import subprocess
import time

import torch
from torch import nn

WORKLOADS = {  # batch, past, future, channels, size, [(hidden, kernel)], measures
    "ref-train": (16, 10, 10, 1, 128, [(64, 5), (64, 3), (64, 3)], ["step"]),
    "ref-infer": (1, 10, 10, 1, 512, [(64, 5), (64, 3), (64, 3)], ["forecast"]),
    "infer-128": (1, 10, 10, 1, 128, [(64, 5), (64, 3), (64, 3)], ["forecast"]),
    "ndrplz": (32, 10, 1, 64, 128, [(16, 3)], ["forward", "step"]),
    "cpu-small": (4, 10, 1, 1, 64, [(64, 3), (64, 3)], ["forward", "step"]),
}


class Cell(nn.Module):
    """One ConvLSTM step without peepholes: all four gates from one convolution of [x, h]."""

    def __init__(self, inputs, hidden, kernel):
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Conv2d(inputs + hidden, 4 * hidden, kernel, padding=kernel // 2)

    def forward(self, x, h, c):
        i, f, o, g = self.gates(torch.cat([x, h], 1)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class Network(nn.Module):
    """Encoder and, for more than one future frame, a forecaster in the same order that is fed its own last output."""

    def __init__(self, channels, layers, future):
        super().__init__()
        def stack():
            sizes = [channels] + [hidden for hidden, _ in layers]
            return nn.ModuleList(Cell(sizes[i], hidden, kernel) for i, (hidden, kernel) in enumerate(layers))
        self.future = future
        self.encoder = stack()
        self.forecaster = stack() if future > 1 else None
        self.head = nn.Conv2d(layers[-1][0], channels, 1)

    @staticmethod
    def run(cells, x, states):
        for k, cell in enumerate(cells):
            states[k] = cell(x, *states[k])
            x = states[k][0]
        return x

    def forward(self, past):
        n, steps, _, height, width = past.shape
        states = [(past.new_zeros(n, cell.hidden, height, width),) * 2 for cell in self.encoder]
        frames = []
        for t in range(steps):
            top = self.run(self.encoder, past[:, t], states)
            if self.forecaster is None:
                frames.append(self.head(top))
        last = past[:, -1]
        for _ in range(self.future if self.forecaster is not None else 0):
            last = self.head(self.run(self.forecaster, last, states))
            frames.append(last)
        return torch.stack(frames, 1)


class Published(nn.Module):
    """The author's own stack with the same 1x1 head."""

    def __init__(self, folder, channels, layers):
        super().__init__()
        spec = importlib.util.spec_from_file_location("convlstm", pathlib.Path(folder) / "convlstm.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        hidden, kernels = [h for h, _ in layers], [(k, k) for _, k in layers]
        self.stack = module.ConvLSTM(channels, hidden, kernels, len(layers), batch_first=True, bias=True)
        self.head = nn.Conv2d(hidden[-1], channels, 1)

    def forward(self, past):
        outputs = self.stack(past)[0][0]
        n, t = outputs.shape[:2]
        return self.head(outputs.flatten(0, 1)).unflatten(0, (n, t))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="+", choices=WORKLOADS)
    parser.add_argument("--raincell", required=True, help="the program")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="f32", choices=["f32", "tf32", "bf16"])
    parser.add_argument("--threads", type=int, default=2, help="on the cpu, for both")
    parser.add_argument("--rounds", type=int, default=3, help="each times raincell and every variant once")
    parser.add_argument("--repetitions", type=int, default=5, help="timed calls a round")
    parser.add_argument("--ndrplz", help="folder with the published convlstm.py")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--json", help="the table as a file")
    return parser.parse_args()


def median_ms(work, options):
    for _ in range(2):
        work()
    times = []
    for _ in range(options.repetitions):
        if options.device == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        work()
        if options.device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(times)


def torch_work(make, workload, measure, options):
    batch, past, future, channels, size, layers, _ = WORKLOADS[workload]
    torch.manual_seed(1)
    device = torch.device(options.device)
    network = make(channels, layers, future).to(device, memory_format=torch.channels_last)
    frames = torch.rand(batch, past, channels, size, size, device=device)
    targets = past if future == 1 else future
    target = torch.rand(batch, targets, channels, size, size, device=device)
    cast = torch.autocast(options.device, torch.bfloat16) if options.precision == "bf16" else contextlib.nullcontext()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def forecast():
        with torch.inference_mode(), cast:
            network(frames).float().cpu()

    def forward():
        with cast:
            network(frames)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with cast:
            output = network(frames)
        nn.functional.mse_loss(output.float(), target).backward()
        optimizer.step()

    return {"forecast": forecast, "forward": forward, "step": step}[measure]


def variants(workload, measure, options):
    plain = lambda channels, layers, future: Network(channels, layers, future)
    made = {"eager": torch_work(plain, workload, measure, options)}
    if not options.no_compile:
        compiled = lambda *sizes: torch.compile(plain(*sizes))
        made["compiled"] = torch_work(compiled, workload, measure, options)
    if options.ndrplz and WORKLOADS[workload][2] == 1:
        published = lambda channels, layers, _: Published(options.ndrplz, channels, layers)
        made["ndrplz"] = torch_work(published, workload, measure, options)
    return made


def raincell_ms(workload, measure, options):
    command = [options.raincell, "bench", workload, "--only", measure, "--json", "--backend", options.device,
               "--repetitions", str(options.repetitions), "--set", f"precision={options.precision}"]
    if options.device == "cpu":
        command += ["--threads", str(options.threads)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit code {result.returncode}: {result.stderr.strip()}")
    return json.loads(result.stdout)["median_ms"]


def main():
    options = arguments()
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = options.precision != "f32"
    device = torch.cuda.get_device_name() if options.device == "cuda" else f"{options.threads} threads"
    print(f"PyTorch {torch.__version__}, {options.precision}, {device}, median of {options.rounds} rounds; ratio: PyTorch / raincell")
    rows = []
    for workload in options.workloads:
        for measure in WORKLOADS[workload][-1]:
            peers = variants(workload, measure, options)
            times = {name: [] for name in ["raincell", *peers]}
            for _ in range(options.rounds):
                times["raincell"].append(raincell_ms(workload, measure, options))
                for name, work in peers.items():
                    times[name].append(median_ms(work, options))
            medians = {name: statistics.median(values) for name, values in times.items()}
            rows.append({"workload": workload, "measure": measure, "median_ms": medians, "rounds_ms": times})
            text = "  ".join(f"{name} {value:.2f} ms ({value / medians['raincell']:.2f}x)" for name, value in medians.items() if name != "raincell")
            print(f"{workload:<10} {measure:<9} raincell {medians['raincell']:.2f} ms  {text}", flush=True)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps({"torch": torch.__version__, "device": device, "precision": options.precision,
                                                          "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
