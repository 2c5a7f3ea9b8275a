#!/usr/bin/env python3
"""Gives vqa-small routers and trains on: p-MoD, where ever fewer visual tokens enter deeper layers.

    python3 Benchmarks/training/pmod.py [--data DIR] [--model DIR] [--output DIR] [--smoke]

arXiv 2412.04449; MCG-NJU/p-MoD. Four layers compute all, 3/4, 1/4 and 15% of the visual tokens. All weights are trained on;
the routers slowly: where tanh saturates, weights are equal and chance picks the tokens. The last layer's router gets no
gradient, since nothing reads what leaves that layer at visual tokens: it stays at zero and the first tokens enter.
"""
import json
import math
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import needs

needs.packages("numpy", "torch", "PIL", "safetensors", "tokenizers", "transformers")
import torch
import torch.nn as nn

import checkpoint
import loop
import vqa_small
from small_llava import SmallLlava

TARGETS, MOST, LEAST, SCALE = "shiftedcos_decay_0.85_0.15", 0.85, 0.15, 0.2
EPOCHS = 1


def shares(layers):
    """Progressive ratio decay; nil: all."""
    raw = [math.cos(math.pi * i / (layers - 1)) / 2 + 0.5 for i in range(layers)]
    return [max(r, LEAST) if r <= MOST else None for r in raw]


class RoutedLlava(SmallLlava):
    """Layers with a router compute the visual rows of the largest weights; the weight scales the MLP branch of those, and the
    whole row of the others."""

    def route(self):
        self.shares = shares(len(self.layers))
        self.routers = nn.ModuleList(nn.Linear(self.width, 1) for _ in self.layers)
        for router in self.routers:
            nn.init.zeros_(router.weight), nn.init.zeros_(router.bias)

    def layer(self, index, x, rotation, mask, image, rows=None):
        share = self.shares[index]
        if share is None:
            return super().layer(index, x, rotation, mask, image, rows)
        b, n, w = x.shape
        weights = torch.ones(b, n, 1)
        visual = SCALE * torch.tanh(self.routers[index](x[:, image])).float() + 1
        weights = torch.cat([weights[:, :image.start], visual, weights[:, image.stop:]], 1)
        count = image.stop - image.start
        # Of equal weights (tanh ends in many) the first ones.
        order = visual[..., 0].sort(descending=True, stable=True).indices
        chosen = order[:, :int(count * share)].sort().values + image.start
        inside = torch.cat([torch.arange(image.start).expand(b, -1), chosen, torch.arange(image.stop, n).expand(b, -1)], 1)
        column = inside[..., None]
        own = x.gather(1, column.expand(-1, -1, w))
        cos, sin = (part.gather(2, column[:, None].expand(-1, -1, -1, part.shape[-1])) for part in (
            part.expand(b, -1, -1, -1) for part in rotation))
        own_mask = mask.gather(2, column[:, None].expand(-1, -1, -1, n)).gather(
            3, inside[:, None, None].expand(-1, -1, inside.shape[1], -1))
        if rows is not None:  # text only: rows behind the image move up by what passes the layer by
            passed = n - inside.shape[1]
            return self.layers[index](own, (cos, sin), own_mask, rows - passed, weights.gather(1, column))
        out = self.layers[index](own, (cos, sin), own_mask, None, weights.gather(1, column))
        return (x * weights).scatter(1, column.expand(-1, -1, w), out.to(x.dtype))


def write(model, source, folder):
    """The layout of the official code: a routed layer's own weights under `decoder_layer`."""
    settings = {"mod_target_layers": TARGETS, "mod_target_token_type": "vision_all", "mod_router_factor": 0.5,
                "mod_weight_norm": f"tanh_{SCALE}_1", "mod_bias_enabled": True, "mod_special_init": True}
    with open(os.path.join(source, "config.json")) as file:
        text = json.load(file)["text_config"]
    settings |= {"model_type": "pmod_llava_llama", "architectures": ["PModLlavaLlamaForCausalLM"],
                 "text_config": text | settings}
    weights = checkpoint.published(model)
    for index, share in enumerate(model.shares):
        if share is not None:
            layer = f"language_model.model.layers.{index}."
            weights = {name.replace(layer, layer + "decoder_layer."): tensor for name, tensor in weights.items()}
            router = model.routers[index]
            weights |= {layer + "router.router.weight": router.weight, layer + "router.router.bias": router.bias}
    checkpoint.write_own(source, folder, settings, weights)


def main():
    parser = needs.Parser(description=__doc__.split("\n")[0])
    vqa_small.add_options(parser, "vqa-small-pmod")
    arguments = parser.parse_args()
    loop.start(arguments, "vqa-small-pmod")
    data = vqa_small.EasyVQA(arguments)
    model = vqa_small.build(data, RoutedLlava)
    checkpoint.start_from(model, arguments.model)
    model.route()
    rows = vqa_small.train(arguments, data, model, EPOCHS, muon=0.002)
    if rows is not None:
        vqa_small.finish(arguments, data, model, rows, lambda folder: write(model, arguments.model, folder))


if __name__ == "__main__":
    main()
