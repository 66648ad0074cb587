#!/usr/bin/env python3
"""Outputs, all gradients and ten Adam losses of small networks by PyTorch, stored as network_*.safetensors.

Run with torch and numpy installed; the tests only read the results:
    python tests/golden/make_golden.py [--ndrplz FOLDER] [--openstl FOLDER]
The folders hold convlstm.py of ndrplz/ConvLSTM_pytorch and convlstm_model.py of chengtan9907/OpenSTL (its
package `openstl.modules` beside it), whose outputs go to ndrplz.safetensors and openstl.safetensors.
Everything is computed in double from values rounded to float. The equations are written here a second time,
from model/README.md, with automatic differentiation instead of the product's backward pass.
"""
import argparse
import json
import pathlib
import struct
import sys

import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).parent
STEPS, RATE = 10, 1e-3


def save(path, tensors, metadata):
    header, offset, blobs = {"__metadata__": metadata}, 0, []
    for name, tensor in tensors.items():
        blob = tensor.detach().to(torch.float32).contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


class Network:
    """Parameters are made on first use, so that the first forward pass defines them."""

    def __init__(self, spec, generator):
        self.spec, self.generator, self.values = spec, generator, {}

    def parameter(self, name, shape):
        if name not in self.values:
            value = 0.4 * torch.rand(shape, generator=self.generator, dtype=torch.float64) - 0.2
            self.values[name] = value.float().double().requires_grad_()
        return self.values[name]

    def convolve(self, name, inputs, out, kernel, stride=1, padding=0, bias=True, up=False, named=()):
        total = None
        for i, (x, source) in enumerate(inputs):
            key = name + (f".{source}" if i else "") + ".weight"
            shape = (x.shape[1], out, kernel, kernel) if up else (out, x.shape[1], kernel, kernel)
            weight = self.parameter(key, shape)
            y = (F.conv_transpose2d if up else F.conv2d)(x, weight, None, stride, padding)
            total = y if total is None else total + y
        if bias:
            total = total + self.parameter(name + ".bias", (out,)).view(1, -1, 1, 1)
        return total

    def sampling(self, name, inputs, conv, up=False):
        y = self.convolve(name, inputs, conv["channels"], conv["kernel"], conv["stride"], conv["padding"],
                          conv["bias"], up)
        return F.leaky_relu(y, self.spec["sampling_slope"])

    def up_conv(self, i):
        stage = self.spec["stages"][i]
        if "up" in stage:
            return stage["up"]
        down = stage["down"]
        kernel = down["kernel"] + (down["kernel"] - down["stride"]) % 2
        channels = self.spec["stages"][i - 1]["layer"]["hidden"] if i else down["channels"]
        return {"channels": channels, "kernel": kernel, "stride": down["stride"],
                "padding": (kernel - down["stride"]) // 2, "bias": down["bias"]}

    def cell(self, name, i, inputs, state, size):
        spec, layer = self.spec, self.spec["stages"][i]["layer"]
        hidden, kind = layer["hidden"], spec["cell"]
        gates = {"convlstm": 4, "convgru": 3, "rnn": 1}[kind] * hidden
        h, c = state if state is not None else (torch.zeros(size, dtype=torch.float64),) * 2
        x = 0
        if inputs:
            x = self.convolve(name + ".input", inputs, gates, layer["input_kernel"],
                              padding=layer["input_kernel"] // 2, bias=False)
        weight = self.parameter(name + ".state.weight", (gates, hidden, layer["state_kernel"], layer["state_kernel"]))
        r = F.conv2d(h, weight, None, 1, layer["state_kernel"] // 2)
        if spec["bias"]:
            bias = self.parameter(name + ".bias", (gates,)).view(1, -1, 1, 1)
            if inputs:
                x = x + bias
            else:
                r = r + bias
        if kind == "rnn":
            h = torch.tanh(x + r)
            return h, h
        if kind == "convgru":
            x = torch.zeros_like(r) + x
            xz, xr, xn = x.split(hidden, 1)
            rz, rr, rn = r.split(hidden, 1)
            z, reset = torch.sigmoid(xz + rz), torch.sigmoid(xr + rr)
            n = torch.tanh(xn + reset * rn)
            h = (1 - z) * n + z * h
            return h, h
        a = x + r
        ai, af, ao, ag = a.split(hidden, 1)
        pi = pf = po = 0
        if spec["peephole"] == "per_channel":
            pi, pf, po = self.parameter(name + ".peephole", (3 * hidden,)).view(1, -1, 1, 1).split(hidden, 1)
        i_gate, f_gate = torch.sigmoid(ai + pi * c), torch.sigmoid(af + pf * c)
        c = f_gate * c + i_gate * torch.tanh(ag)
        o_gate = torch.sigmoid(ao + po * c)
        return o_gate * torch.tanh(c), c

    def size(self, n, divisor, hidden, shape):
        return (n, hidden, shape[0] // divisor, shape[1] // divisor)

    def ascend(self, part, inputs, states, n, shape):
        """One step of stages in the encoder's order; changes states, returns the hidden states."""
        hidden, divisor = [], 1
        for i, stage in enumerate(self.spec["stages"]):
            if "down" in stage:
                divisor *= stage["down"]["stride"]
                if inputs:
                    inputs = [(self.sampling(f"{part}.{i}.down", inputs, stage["down"]), "down")]
            size = self.size(n, divisor, stage["layer"]["hidden"], shape)
            states[i] = self.cell(f"{part}.{i}.layer", i, inputs, states[i], size)
            hidden.append(states[i][0])
            inputs = [(states[i][0], f"{part}.{i}.layer")]
        return hidden

    def head(self, inputs, fed):
        spec = self.spec
        if spec["head_skip"]:
            inputs = inputs + fed[:2]  # the guide frame and its mask
        for i, conv in enumerate(spec["head"]):
            inputs = [(self.sampling(f"head.{i}", inputs, conv), f"head.{i}")]
        return self.convolve("head.out", inputs, spec["channels"] * spec["patch"] ** 2, spec["head_kernel"],
                             padding=spec["head_kernel"] // 2, bias=spec["head_bias"])

    def ascending_head(self, part, hidden, fed=()):
        if self.spec["head_input"] == "all":
            return self.head([(h, f"{part}.{i}.layer") for i, h in enumerate(hidden)], list(fed))
        top = hidden[-1]
        for i in reversed(range(len(hidden))):
            if "down" in self.spec["stages"][i]:
                top = self.sampling(f"head.up.{i}", [(top, "")], self.up_conv(i), True)
        return self.head([(top, "")], list(fed))

    def descend(self, inputs, states, n, shape):
        """One step of the mirrored forecaster; returns the output."""
        stages, guide, at = self.spec["stages"], [], list(inputs)
        for i, stage in enumerate(stages):
            if at and "down" in stage:
                at = [(self.sampling(f"guide.{i}.down", at, stage["down"]), f"guide.{i}.down")]
            guide.append(list(at))
        below, hidden = [], []
        for i in reversed(range(len(stages))):
            states[i] = self.cell(f"forecaster.{i}.layer", i, below + guide[i], states[i], None)
            below = [(states[i][0], f"forecaster.{i}.layer")]
            hidden.append(below[0])
            if "down" in stages[i] and not (i == 0 and self.spec["head_input"] == "all"):
                below = [(self.sampling(f"forecaster.{i}.up", below, self.up_conv(i), True), f"forecaster.{i}.up")]
        return self.head(hidden if self.spec["head_input"] == "all" else below, list(inputs))

    def __call__(self, past, past_mask, guide, guide_mask, tendency=None):
        """[N,T,C,H,W] patched frames -> forecasts [N,T',C,H,W], and with `predict_input` those of the input."""
        spec, n, shape = self.spec, past.shape[0], past.shape[3:]
        masked, feed, shared = spec["mask_channel"], spec["feed"], spec["forecaster"] == "shared"
        states, outputs = [None] * len(spec["stages"]), []
        ones = torch.ones_like(past[:, 0])

        def frame(x, mask, with_mask):
            return [(x, "frames")] + ([(mask, "mask")] if with_mask else [])

        for t in range(past.shape[1]):
            hidden = self.ascend("encoder", frame(past[:, t], past_mask[:, t], masked), states, n, shape)
            if shared:
                outputs.append(self.ascending_head("encoder", hidden))
        if shared:
            for _ in range(spec["future"] - 1):
                hidden = self.ascend("encoder", frame(outputs[-1], ones, masked), states, n, shape)
                outputs.append(self.ascending_head("encoder", hidden))
            return torch.stack(outputs, 1)
        x, mask = past[:, -1], past_mask[:, -1]
        for lead in range(spec["future"]):
            if feed == "advection":
                x, mask = guide[:, lead], guide_mask[:, lead]
            fed = [] if feed == "none" else frame(x, mask, masked or feed == "advection")
            if spec["tendency"]:
                fed.append((tendency[:, lead], "tendency"))
            if spec["forecaster"] == "mirrored":
                y = self.descend(fed, states, n, shape)
            else:
                y = self.ascending_head("forecaster", self.ascend("forecaster", fed, states, n, shape), fed)
            if feed == "advection" and spec.get("output") != "sigmoid":
                y = y + x
            outputs.append(y)
            x, mask = y, ones
        return torch.stack(outputs, 1)


def patched(frames, p):
    """[N,T,C,H,W] -> [N,T,C*p*p,H/p,W/p], channel (c * p + row) * p + column."""
    n, t, c, h, w = frames.shape
    x = frames.reshape(n, t, c, h // p, p, w // p, p).permute(0, 1, 2, 4, 6, 3, 5)
    return x.reshape(n, t, c * p * p, h // p, w // p)


def unpatched(frames, p):
    n, t, c, h, w = frames.shape
    x = frames.reshape(n, t, c // p // p, p, p, h, w).permute(0, 1, 2, 5, 3, 6, 4)
    return x.reshape(n, t, c // p // p, h * p, w * p)


def loss_of(training, forecast, target, mask):
    d = forecast - target
    if training["loss"] == "mse":
        value = d * d
    elif training["loss"] == "bce":
        value = F.binary_cross_entropy_with_logits(forecast, target, reduction="none")
    elif training["loss"] == "huber":
        delta = training["huber_delta"]
        value = torch.where(d.abs() <= delta, 0.5 * d * d, delta * (d.abs() - 0.5 * delta))
    else:  # balanced
        bounds, weights = training["class_bounds"], torch.tensor(training["class_weights"], dtype=torch.float64)
        rain_class = sum((target >= bound).long() for bound in bounds)
        value = weights[rain_class] * (d * d + d.abs())
    value = value * (1 + training["target_weight"] * target)
    return (value * mask).sum() / mask.sum()


def stage(hidden, input_kernel=3, state_kernel=3, down=None, up=None):
    out = {"layer": {"hidden": hidden, "input_kernel": input_kernel, "state_kernel": state_kernel}}
    if down:
        out["down"] = dict(zip(("channels", "kernel", "stride", "padding", "bias"), down))
    if up:
        out["up"] = dict(zip(("channels", "kernel", "stride", "padding", "bias"), up))
    return out


MODEL = {"cell": "convlstm", "peephole": "none", "bias": True, "channels": 1, "mask_channel": False, "patch": 1,
         "sampling_activation": "leaky_relu", "sampling_slope": 0.2, "forecaster": "mirrored", "feed": "none",
         "head_input": "last", "head_skip": False, "tendency": False, "head": [], "head_kernel": 1, "head_bias": True, "past": 3, "future": 3}
TRAINING = {"loss": "mse", "huber_delta": 0.25, "target_weight": 0., "class_bounds": [], "class_weights": [],
            "clip_norm": 0., "predict_input": False}

CASES = {
    # the layout of the guided networks: strides, guide stack, guide added to the output
    "guided": ({"feed": "advection", "mask_channel": True, "peephole": "per_channel",
                "stages": [stage(3, down=(2, 5, 2, 2, True)), stage(4, 3, 3, down=(3, 3, 2, 1, True))]},
               {"loss": "huber", "target_weight": 4., "clip_norm": 0.05}),
    # the paper's layout: head over all states, patches, peepholes, no input into the forecaster
    "paper": ({"peephole": "per_channel", "patch": 2, "head_input": "all",
               "stages": [stage(4, 3, 5), stage(3, 5, 3)]}, {}),
    # the published HKO-7 layout in small, with a GRU
    "trajectory": ({"cell": "convgru",
                    "stages": [stage(3, down=(2, 3, 2, 1, True)), stage(4, down=(3, 3, 2, 1, True), up=(3, 4, 2, 1, True))],
                    "head": [dict(zip(("channels", "kernel", "stride", "padding", "bias"), (3, 3, 1, 1, True)))]},
                   {"loss": "balanced", "class_bounds": [0.25, 0.75], "class_weights": [1., 2., 5.]}),
    # one stack that goes on, OpenSTL's way
    "shared": ({"forecaster": "shared", "feed": "previous", "patch": 2, "bias": False, "head_bias": False,
                "stages": [stage(4), stage(4)]}, {"predict_input": True}),
    # an own stack fed with its own output
    "fed_back": ({"cell": "rnn", "forecaster": "same_order", "feed": "previous", "mask_channel": True,
                  "stages": [stage(4, 5, 3), stage(3)]}, {}),
    # intensities by cross-entropy on a sigmoid output, the paper's way on Moving MNIST; guided, but not added to
    "sigmoid": ({"peephole": "per_channel", "patch": 2, "head_input": "all", "output": "sigmoid",
                 "feed": "advection", "stages": [stage(3), stage(4)]}, {"loss": "bce"}),
    # the head looks at the guide as well
    "guided_skip": ({"feed": "advection", "head_skip": True,
                     "stages": [stage(3, down=(2, 5, 2, 2, True)), stage(4, 3, 3, down=(3, 3, 2, 1, True))],
                     "head": [dict(zip(("channels", "kernel", "stride", "padding", "bias"), (3, 3, 1, 1, True)))]}, {}),
    # what changed along the motion is fed as well, at the scale of every stage; the lower one has the frame's own
    "tendency": ({"feed": "advection", "head_skip": True, "tendency": True, "mask_channel": True, "patch": 2,
                  "stages": [stage(3), stage(4, 3, 3, down=(3, 3, 2, 1, True))]}, {}),
    # wide enough for convolutions by Winograd's transforms, of 3x3 and of 5x5
    "wide": ({"forecaster": "shared", "feed": "previous", "stages": [stage(16), stage(16, 3, 5)]},
             {"predict_input": True}),
}
SIZES = {"wide": 16}  # of frames; 8 for the rest


def make_case(name, model, training, seed):
    model, training = MODEL | model, TRAINING | training
    generator = torch.Generator().manual_seed(seed)
    network, p, size = Network(model, generator), model["patch"], SIZES.get(name, 8)

    def frames(steps):
        shape = (2, steps, model["channels"], size, size)
        mask = (torch.rand(shape, generator=generator, dtype=torch.float64) > 0.125).double()
        return (torch.rand(shape, generator=generator, dtype=torch.float64) * mask).float().double(), mask

    past, past_mask = frames(model["past"])
    future, future_mask = frames(model["future"])
    guide, guide_mask = frames(model["future"])
    inputs = [past, past_mask, guide, guide_mask]
    if model["tendency"]:
        inputs.append((torch.rand(guide.shape, generator=generator, dtype=torch.float64) - 0.5).float().double())

    def run():
        out = network(*(patched(x, p) for x in inputs))
        out = unpatched(out, p)
        target, mask = future, future_mask
        if training["predict_input"]:
            target, mask = torch.cat([past[:, 1:], future], 1), torch.cat([past_mask[:, 1:], future_mask], 1)
        return out[:, -model["future"]:], loss_of(training, out[:, -target.shape[1]:], target, mask)

    output, loss = run()
    tensors = {"past": past, "past_mask": past_mask, "future": future, "future_mask": future_mask, "guide": guide,
               "guide_mask": guide_mask, "output": output}
    if model["tendency"]:
        tensors["tendency"] = inputs[-1]
    if model.get("output") == "sigmoid":
        tensors["forecast"] = torch.sigmoid(output)
    for key, value in network.values.items():
        tensors["value." + key] = value.detach().clone()
    loss.backward()
    for key, value in network.values.items():
        tensors["gradient." + key] = value.grad.clone()
    optimizer, losses = torch.optim.Adam(network.values.values(), lr=RATE), []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = run()[1]
        loss.backward()
        if training["clip_norm"]:
            torch.nn.utils.clip_grad_norm_(network.values.values(), training["clip_norm"])
        optimizer.step()
        losses.append(loss.detach())
    tensors["losses"] = torch.stack(losses)
    metadata = {"model": json.dumps(model), "training": json.dumps(training)}
    save(HERE / f"network_{name}.safetensors", tensors, metadata)
    print(name, "parameters", sum(v.numel() for v in network.values.values()), "losses", float(losses[0]), float(losses[-1]))


def make_ndrplz(folder):
    sys.path.insert(0, folder)
    from convlstm import ConvLSTM  # of ndrplz/ConvLSTM_pytorch
    torch.manual_seed(5)
    stack = ConvLSTM(2, [3, 4], (3, 3), 2, batch_first=True, bias=True, return_all_layers=True)
    x = torch.rand(2, 4, 2, 6, 7)
    with torch.no_grad():
        outputs, states = stack(x)
    tensors = dict(stack.state_dict())
    tensors["input"] = x
    for i, (h, c) in enumerate(states):
        tensors[f"h.{i}"], tensors[f"c.{i}"] = h, c
    save(HERE / "ndrplz.safetensors", tensors, {})


def make_openstl(folder):
    sys.path.insert(0, folder)
    from convlstm_model import ConvLSTM_Model  # of chengtan9907/OpenSTL
    torch.manual_seed(6)
    configs = argparse.Namespace(in_shape=(3, 1, 8, 6), patch_size=2, filter_size=3, stride=1, layer_norm=0,
                                 pre_seq_length=3, aft_seq_length=4, reverse_scheduled_sampling=0)
    model = ConvLSTM_Model(2, [4, 3], configs)
    frames = torch.rand(2, 3, 1, 8, 6)
    channels_last = torch.zeros(2, 7, 4, 3, 4)  # [N,T,H,W,C], truth only for the past
    channels_last[:, :3] = patched(frames, 2).permute(0, 1, 3, 4, 2)
    with torch.no_grad():
        out, _ = model(channels_last, torch.zeros(2, 4, 4, 3, 4), return_loss=False)
    tensors = dict(model.state_dict())
    tensors["frames"], tensors["forecast"] = frames, unpatched(out.permute(0, 1, 4, 2, 3)[:, -4:], 2)
    save(HERE / "openstl.safetensors", tensors, {})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--ndrplz")
    parser.add_argument("--openstl")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for number, (case, (model_part, training_part)) in enumerate(CASES.items()):
        make_case(case, model_part, training_part, 100 + number)
    if arguments.ndrplz:
        make_ndrplz(arguments.ndrplz)
    if arguments.openstl:
        make_openstl(arguments.openstl)
