"""A small Qwen3-VL for training on a CPU: the arithmetic of transformers' Qwen3-VL, laid out for many questions a page.

As in `small_llava`, all questions about a page share one copy of its visual tokens and see nothing of each other. Pages of one
batch have one size, so that nothing is padded but the questions.
"""
import functools
import json
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

import small_llava
from small_llava import TEMPLATES, rotate

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def tokenizer_json(words):
    """Qwen's byte-level tokenizer. Whole words stand in the vocabulary, with and without a space before them, all else is
    read byte by byte, so that no merges are needed."""
    from tokenizers import pre_tokenizers
    every = sorted(pre_tokenizers.ByteLevel.alphabet()) + [mark + word for word in words for mark in ("\u0120", "")]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(every))}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": token, **flags} for i, token in enumerate(SPECIAL, len(vocabulary))],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False}, level]},
        "post_processor": level, "decoder": level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": True,
                  "vocab": vocabulary, "merges": []},
    }


class Text(small_llava.Text):
    """Prompts as token ids, cut as in `small_llava`; an answer is a list of tokens."""

    def __init__(self, words, questions):
        super().__init__(words, questions, TEMPLATES["qwen3_vl"], tokenizer_json(words), "<|image_pad|>", "<|endoftext|>")
        self.end = self.tokenizer.token_to_id("<|im_end|>")

    def answer(self, word):
        return self.tokenizer.encode(word, add_special_tokens=False).ids


# MARK: Tower

@functools.cache
def places(rows, columns):
    """Row and column of every patch, cells of 2 x 2 one behind the other: [rows * columns] each."""
    row, column = (torch.arange(n).view(-1, 2) for n in (rows, columns))
    shape = rows // 2, columns // 2, 2, 2
    return row[:, None, :, None].expand(shape).flatten(), column[None, :, None, :].expand(shape).flatten()


@functools.cache
def resampling(rows, columns, side):
    """How the rows of a table [side * side] are blended for every patch, by bilinear weights with the corners in the corners."""
    def axis(at, count):
        x = at * (side - 1) / max(count - 1, 1)
        low = x.floor().long()
        weights = torch.zeros(len(at), side)
        weights.scatter_add_(1, low[:, None], (1 - (x - low))[:, None])
        weights.scatter_add_(1, (low + 1).clamp(max=side - 1)[:, None], (x - low)[:, None])
        return weights
    row, column = places(rows, columns)
    return (axis(row, rows)[:, :, None] * axis(column, columns)[:, None, :]).flatten(1)


@functools.cache
def turns(rows, columns, head):
    """Rotary positions of a tower's heads: a quarter of their channels turns with the row, a quarter with the column."""
    frequencies = 10000.0 ** (-torch.arange(0, head // 2, 2) / (head // 2))
    angle = torch.cat([at[:, None] * frequencies for at in places(rows, columns)], 1)
    return angle.cos(), angle.sin()


def attention(q, k, v, mask=None):
    """What torch's own gives. Short rows of bfloat16 are quicker by plain products, backwards three times."""
    if q.dtype != torch.bfloat16 or k.shape[2] > 400:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = q * q.shape[-1] ** -0.5 @ k.mT
    return (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(-1) @ v


class TowerBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, rotation):
        b, n, w = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        a = attention(rotate(q, rotation), rotate(k, rotation), v)
        x = x + self.out(a.transpose(1, 2).reshape(b, n, w))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x)), approximate="tanh"))


class Merger(nn.Module):
    """Four patches of a cell to one token. The mergers of DeepStack norm behind the joining, the last one before."""

    def __init__(self, width, out, joined):
        super().__init__()
        self.joined = joined
        self.norm = nn.LayerNorm(4 * width if joined else width, 1e-6)
        self.fc1, self.fc2 = nn.Linear(4 * width, 4 * width), nn.Linear(4 * width, out)

    def forward(self, x):
        b, n, w = x.shape
        cells = (b, n // 4, 4 * w)
        x = self.norm(x.view(cells)) if self.joined else self.norm(x).view(cells)
        return self.fc2(F.gelu(self.fc1(x)))


class Tower(nn.Module):
    def __init__(self, patch, width, blocks, heads, side, stacked, out):
        super().__init__()
        self.patch, self.side, self.stacked = patch, side, stacked
        self.embed = nn.Linear(3 * patch * patch, width)
        self.position = nn.Parameter(0.02 * torch.randn(side * side, width))
        self.blocks = nn.ModuleList(TowerBlock(width, heads) for _ in range(blocks))
        self.merger = Merger(width, out, joined=False)
        self.mergers = nn.ModuleList(Merger(width, out, joined=True) for _ in stacked)

    def forward(self, pixels):
        """Of pixels [batch, 3, height, width] in -1...1: the tokens [batch, cells, out], and what is added to them behind
        the first layers of the language model."""
        p, (b, _, height, width) = self.patch, pixels.shape
        rows, columns = height // p, width // p
        x = pixels.view(b, 3, rows // 2, 2, p, columns // 2, 2, p).permute(0, 2, 5, 3, 6, 1, 4, 7)
        x = self.embed(x.reshape(b, rows * columns, -1)) + resampling(rows, columns, self.side) @ self.position
        rotation = turns(rows, columns, x.shape[-1] // self.blocks[0].heads)
        added = []
        for index, block in enumerate(self.blocks):
            x = block(x, rotation)
            if index in self.stacked:
                added.append(self.mergers[len(added)](x))
        return self.merger(x), added


# MARK: Language model

class DecoderLayer(nn.Module):
    def __init__(self, width, heads, shared, head, hidden, epsilon):
        super().__init__()
        self.heads, self.shared, self.head = heads, shared, head
        self.norm1, self.norm2 = nn.RMSNorm(width, epsilon), nn.RMSNorm(width, epsilon)
        self.q_norm, self.k_norm = nn.RMSNorm(head, epsilon), nn.RMSNorm(head, epsilon)
        self.q = nn.Linear(width, heads * head, bias=False)
        self.k, self.v = (nn.Linear(width, shared * head, bias=False) for _ in range(2))
        self.out = nn.Linear(heads * head, width, bias=False)
        self.gate_up, self.down = nn.Linear(width, 2 * hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x, rotation, mask, rows=None):
        """`rows` [batch, r]: those that are still needed behind this layer; keys and values are made of all."""
        b, n, w = x.shape
        h = self.norm1(x)
        k, v = (part(h).view(b, n, self.shared, self.head) for part in (self.k, self.v))
        cos, sin = rotation
        k = rotate(self.k_norm(k.float()).transpose(1, 2), rotation).to(v.dtype)
        if rows is not None:
            at = rows[..., None]
            x, h = (t.gather(1, at.expand(-1, -1, w)) for t in (x, h))
            cos, sin = (t.gather(2, at[:, None].expand(-1, -1, -1, self.head // 2)) for t in (cos, sin))
            mask = mask.gather(2, at[:, None].expand(-1, -1, -1, n))
        q = self.q(h).view(b, -1, self.heads, self.head).float()
        q = rotate(self.q_norm(q).transpose(1, 2), (cos, sin)).to(v.dtype)
        repeated = self.heads // self.shared
        a = attention(q, *(t.repeat_interleave(repeated, 1) for t in (k, v.transpose(1, 2))), mask)
        x = x + self.out(a.transpose(1, 2).reshape(b, -1, self.heads * self.head))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class SmallQwen3VL(nn.Module):
    """Tower with DeepStack and a Qwen3 decoder. `classes`: outputs of a head on the visual tokens that trains the tower and is
    not written."""
    THETA, EPSILON, SECTIONS = 10000.0, 1e-6, [6, 5, 5]

    def __init__(self, text, patch, tower, blocks, tower_heads, side, stacked, width, layers, heads, shared, head, hidden, classes):
        super().__init__()
        self.text = text
        self.width, self.hidden = width, hidden
        self.tower = Tower(patch, tower, blocks, tower_heads, side, stacked, width)
        self.embed = nn.Embedding(text.size, width)
        self.layers = nn.ModuleList(DecoderLayer(width, heads, shared, head, hidden, self.EPSILON) for _ in range(layers))
        self.norm, self.head = nn.RMSNorm(width, self.EPSILON), nn.Linear(width, text.size, bias=False)
        self.classes = nn.Linear(width, classes)
        for name, p in self.named_parameters():
            if p.dim() == 2 and name != "tower.position":
                nn.init.normal_(p, std=0.02 if name.startswith(("embed", "head")) else 0.7 / math.sqrt(p.shape[1]))
        for part in [*self.tower.blocks, *self.layers]:
            part.out.weight.data *= 0.5
        for layer in self.layers:
            layer.down.weight.data *= 0.5

    def positions(self, rows, columns, own):
        """Time, row and column of every token [3, batch, n], of an image of rows x columns cells and what lies around it."""
        before, after = len(self.text.before), len(self.text.after)
        image = torch.stack([torch.zeros(rows, columns), *torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")])
        behind = before + max(rows, columns)
        seen = torch.cat([torch.arange(before).expand(3, -1), before + image.flatten(1),
                          (behind + torch.arange(after)).expand(3, -1)], 1)
        return torch.cat([seen[:, None].expand(-1, len(own), -1), (behind + after + own).expand(3, -1, -1)], 2)

    def rotation(self, positions):
        head = self.layers[0].head
        frequencies = self.THETA ** (-torch.arange(0, head, 2) / head)
        axis = torch.tensor([j % 3 if j < 3 * self.SECTIONS[j % 3] else 0 for j in range(head // 2)])
        angle = positions[axis].permute(1, 2, 0)[:, None] * frequencies
        return angle.cos(), angle.sin()

    def read(self, pixels):
        """Class logits of the visual tokens alone, without the language model."""
        return self.classes(self.tower(pixels)[0])

    def forward(self, pixels, packed):
        """Answer logits [batch, rows, vocabulary] and class logits of the visual tokens."""
        visual, added = self.tower(pixels)
        b, count = visual.shape[:2]
        before = len(self.text.before)
        ids, own, segment, rows = packed
        fixed = self.embed(torch.tensor(self.text.before + self.text.after))
        x = torch.cat([fixed[:before].expand(b, -1, -1), visual, fixed[before:].expand(b, -1, -1), self.embed(ids)], 1)
        seen = x.shape[1] - ids.shape[1]
        cell = 2 * self.tower.patch
        rotation = self.rotation(self.positions(pixels.shape[2] // cell, pixels.shape[3] // cell, own))
        kind = torch.cat([torch.zeros(b, seen, dtype=torch.long), segment], 1)
        n = kind.shape[1]
        mask = ((kind[:, None, :] == 0) | (kind[:, None, :] == kind[:, :, None])) & torch.ones(n, n).tril().bool()
        for index, layer in enumerate(self.layers):
            x = layer(x, rotation, mask[:, None], seen + rows if index == len(self.layers) - 1 else None)
            if index < len(added):
                x = x + F.pad(added[index], (0, 0, before, n - before - count))
        return self.head(self.norm(x)), self.classes(visual)
