#!/usr/bin/env python3
"""The networks of configs/bench in PyTorch, and a process that times one of them for peer_torch.py.

Argument: what to time, as JSON. Each line on stdin asks for one round; the answer, as JSON a line on stdout, is the median of its
calls and the peak memory so far. The first line out says what the process took before the network was made.
"""
import contextlib
import importlib.util
import json
import pathlib
import statistics
import sys
import time
import types

import torch
from torch import nn


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


def torch_work(make, sizes, measure, options):
    batch, past, future, channels, size, layers, _ = sizes
    torch.manual_seed(1)
    device = torch.device(options.device)
    network = make(channels, layers, future).to(device)
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


def variant(name, sizes, measure, options):
    def eager(channels, layers, future):
        return Network(channels, layers, future).to(memory_format=torch.channels_last)

    def published(channels, layers, _):
        network = Published(options.ndrplz, channels, layers)
        return network.to(memory_format=torch.channels_last) if options.device == "cuda" else network

    make = {"eager": eager, "compiled": lambda *what: torch.compile(eager(*what)), "ndrplz": published}[name]
    return torch_work(make, sizes, measure, options)


def resident(key):
    """Bytes that /proc/self/status has under the key."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return 0


def main():
    options = types.SimpleNamespace(**json.loads(sys.argv[1]))
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = options.precision != "f32"
    device = torch.cuda.get_device_name() if options.device == "cuda" else f"{options.threads} threads"
    print(json.dumps({"torch": torch.__version__, "device": device, "imported_bytes": resident("VmHWM")}), flush=True)
    work = variant(options.variant, options.sizes, options.measure, options)
    for _ in sys.stdin:
        print(json.dumps({"median_ms": median_ms(work, options), "peak_bytes": resident("VmHWM")}), flush=True)


if __name__ == "__main__":
    main()
