#!/usr/bin/env python3
"""Gives vqa-small a connector that makes a few tokens of a picture with regard to the question: QueCC.

    python3 Benchmarks/training/quecc.py [--stride 4] [--data DIR] [--model DIR] [--output DIR] [--smoke]

arXiv 2411.03312; locuslab/llava-token-compression. A square of STRIDE x STRIDE of the 256 patches becomes one token: 64 with
2, 16 with 4. Trained: connector, projector and language model; the tower stays vqa-small's. Different from the official
module in two numbers: the tower has five blocks, so keys and values are made of what its first four leave, not of states 12,
16, 22 and 23 of CLIP-L; and the question's vector has the 192 numbers of this language model.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import needs

needs.packages("numpy", "torch", "PIL", "safetensors", "tokenizers", "transformers")
import torch
import torch.nn as nn
import torch.nn.functional as F

import checkpoint
import loop
import vqa_small
from small_llava import SmallLlava, pack

STATES = [1, 2, 3, 4]  # hidden states of the tower; the last is what the projector of vqa-small reads
HEADS, EPSILON = 8, 1e-6
EPOCHS = 4


def mlp(width, inner):
    return nn.Sequential(nn.Linear(inner, width), nn.GELU(), nn.Linear(width, width), nn.LayerNorm(width, EPSILON))


class Connector(nn.Module):
    """One query a square, attending to the patches of that square."""

    def __init__(self, width, text, stride):
        super().__init__()
        self.stride = stride
        self.q_proj = mlp(width, width)
        self.k_proj, self.v_proj = (mlp(width, len(STATES) * width) for _ in range(2))
        self.text_projection = nn.Sequential(nn.Linear(text, width), nn.LayerNorm(width, EPSILON))
        self.q_downsample = nn.Conv2d(width, width, stride, stride, groups=width)
        self.clip_attn = nn.MultiheadAttention(width, HEADS, batch_first=True)
        with torch.no_grad():  # starts as the mean of a square
            self.q_downsample.weight.fill_(1 / stride ** 2)
            self.q_downsample.bias.zero_()

    def squares(self, x):
        """[n, grid * grid, c] as [n, squares, stride * stride, c]."""
        n, patches, c = x.shape
        grid, s = round(patches ** 0.5), self.stride
        x = x.view(n, grid // s, s, grid // s, s, c).transpose(2, 3)
        return x.reshape(n, (grid // s) ** 2, s * s, c)

    def forward(self, states, question, owner):
        """`states`: four of [pictures, patches, c]; `question` [questions, text]; `owner`: its picture.
        Tokens [questions, squares, c].
        """
        x, all_ = states[-1], torch.cat(states, -1)
        n, grid = len(owner), round(x.shape[1] ** 0.5)
        asked = self.q_proj(x[owner] + self.text_projection(question)[:, None])
        q = self.q_downsample(asked.transpose(1, 2).reshape(n, -1, grid, grid)).flatten(2).transpose(1, 2)
        # The module's attention written out: keys and values are a picture's, whatever is asked about it.
        c = x.shape[2]
        weight, bias = self.clip_attn.in_proj_weight, self.clip_attn.in_proj_bias
        q = F.linear(q, weight[:c], bias[:c])
        k = self.squares(F.linear(self.k_proj(all_), weight[c:2 * c], bias[c:2 * c]))[owner]
        v = self.squares(F.linear(self.v_proj(all_), weight[2 * c:], bias[2 * c:]))[owner]
        heads = lambda t: t.unflatten(-1, (HEADS, c // HEADS)).transpose(2, 3)
        mixed = F.scaled_dot_product_attention(heads(q[:, :, None]), heads(k), heads(v))
        return self.clip_attn.out_proj(mixed.transpose(2, 3).flatten(3)[:, :, 0])


class AskedLlava(SmallLlava):
    def connect(self, stride):
        self.compressor = Connector(self.tower.cls.numel(), self.width, stride)
        self.tower.requires_grad_(False)

    def pack(self, pictures):
        """Every question has visual tokens of its own, so each is a sequence of its own."""
        flat = [(picture, pair) for picture, pairs in enumerate(pictures) for pair in pairs]
        packed, targets = pack(self.text, [[pair] for _, pair in flat])
        return (torch.tensor([picture for picture, _ in flat]), [question for _, (question, _) in flat], packed), targets

    @torch.no_grad()
    def read(self, questions):
        """The language model's last row, normed, behind each question alone [questions, width]."""
        different = sorted(set(questions))
        ids = [self.text.tokenizer.encode(question).ids for question in different]
        longest = max(map(len, ids))
        x = self.embed(torch.tensor([row + [0] * (longest - len(row)) for row in ids]))
        angle = torch.arange(longest)[:, None] * self.THETA ** (
            -torch.arange(0, self.width // self.heads, 2) / (self.width // self.heads))
        mask = torch.ones(longest, longest).tril().bool()
        for layer in self.layers:
            x = layer(x, (angle.cos(), angle.sin()), mask)
        last = self.norm(x[torch.arange(len(ids)), torch.tensor([len(row) - 1 for row in ids])])
        return last[torch.tensor([different.index(question) for question in questions])]

    def forward(self, pixels, packed):
        owner, questions, packed = packed
        with torch.no_grad():
            states = self.tower.states(pixels)
            named = self.tower.name(states[-1])
        tokens = self.compressor([states[i][:, 1:] for i in STATES], self.read(questions), owner)
        return self.decode(self.project(tokens), packed), self.classes(named)


def write(model, source, folder):
    """The layout of the official code: the connector is `mm_projector.0`, the projector's layers are 1 and 3."""
    stride = model.compressor.stride
    settings = {"model_type": "llava_llama", "architectures": ["LlavaLlamaForCausalLM"],
                "mm_vision_token_compression_type": "quecc", "mm_vision_token_compression_kernel_size": stride,
                "mm_vision_token_compression_stride": stride, "mm_vision_output_text_embedding_size": model.width,
                "mm_vision_token_compression_states": STATES}
    places = {"multi_modal_projector.linear_1.": "model.mm_projector.1.",
              "multi_modal_projector.linear_2.": "model.mm_projector.3."}
    weights = {}
    for name, tensor in checkpoint.published(model).items():
        for ours, theirs in places.items():
            name = name.replace(ours, theirs)
        weights[name] = tensor
    weights |= {"model.mm_projector.0." + name: tensor for name, tensor in model.compressor.state_dict().items()}
    checkpoint.write_own(source, folder, settings, weights)


def main():
    parser = needs.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--stride", type=int, default=4, choices=(2, 4, 8, 16), help="patches along the edge of a square")
    vqa_small.add_options(parser, "vqa-small-quecc-TOKENS")
    arguments = parser.parse_args()
    loop.start(arguments, f"vqa-small-quecc-{(16 // arguments.stride) ** 2}")
    data = vqa_small.EasyVQA(arguments)
    model = vqa_small.build(data, AskedLlava)
    checkpoint.start_from(model, arguments.model)
    model.connect(arguments.stride)
    rows = vqa_small.train(arguments, data, model, EPOCHS)
    if rows is not None:
        vqa_small.finish(arguments, data, model, rows, lambda folder: write(model, arguments.model, folder))


if __name__ == "__main__":
    main()
