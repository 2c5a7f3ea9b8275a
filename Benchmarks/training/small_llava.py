"""A small LLaVA for training on a CPU: the arithmetic of transformers' LLaVA, laid out for many questions a picture.

All questions of a picture share one copy of its visual tokens. They lie behind it in one sequence, each sees the picture and
itself only, and each starts at the position it would have alone. So the tower and the visual prefix run once a picture, and
every number is the one that a prompt with a single question has.
"""
import ctypes
import json
import math
import os

import torch
import torch.nn as nn
import torch.nn.functional as F

UNKNOWN, START, END = 0, 1, 2
IGNORED = -100

# What each model type's prompts look like, by its checkpoints' own templates.
TEMPLATES = {
    "llava": "USER: <image>\n{prompt} ASSISTANT:",
    "llava_next": "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
    "detailed, and polite answers to the user's questions. USER: <image>\n{prompt} ASSISTANT:",
    "qwen3_vl": "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>{prompt}<|im_end|>\n<|im_start|>assistant\n",
}


# MARK: Tokenizer

def tokenizer_json(words):
    """Byte-fallback BPE as LLaVA-1.5 publishes it, whose merges spell whole words from the left.

    Merges of words with the mark of a space come first: then no word is taken from inside another.
    """
    spaced = ["USER:", "ASSISTANT:"] + [w for w in words if w.isalnum()]
    vocabulary = {"<unk>": UNKNOWN, "<s>": START, "</s>": END}
    for byte in range(256):
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    for character in "\u2581\nabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;?!'\"()-":
        vocabulary[character] = len(vocabulary)
    merges = []
    for group in (["\u2581" + word for word in spaced], words):
        steps = sorted({(word[:n - 1], word[n - 1]) for word in group for n in range(2, len(word) + 1)},
                       key=lambda step: (len(step[0]), step))
        for left, right in steps:
            merges.append([left, right])
            vocabulary.setdefault(left + right, len(vocabulary))
    image, pad = len(vocabulary), len(vocabulary) + 1
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    special = [(UNKNOWN, "<unk>"), (START, "<s>"), (END, "</s>"), (image, "<image>"), (pad, "<pad>")]
    template = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": text, **flags} for i, text in special],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing", "single": template,
            "pair": template + [{"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [START], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": vocabulary, "merges": merges},
    }


class Text:
    """Prompts as token ids, cut in three: before the image, behind it whatever the question, and the question's own."""

    def __init__(self, words, questions, template=TEMPLATES["llava"], tokenizer=None, image="<image>", pad="<pad>"):
        from tokenizers import Tokenizer
        self.json = tokenizer or tokenizer_json(words)
        self.tokenizer = Tokenizer.from_str(json.dumps(self.json))
        self.template = template
        self.image, self.pad, self.end = (self.tokenizer.token_to_id(t) for t in (image, pad, "</s>"))
        self.size = self.tokenizer.get_vocab_size()
        prompts = {question: self.prompt(question) for question in questions}
        at = next(iter(prompts.values())).index(self.image)
        self.before = next(iter(prompts.values()))[:at]
        tails = [ids[at + 1:] for ids in prompts.values()]
        common = os.path.commonprefix(tails)
        self.after = common
        self.own = {question: ids[at + 1 + len(common):] for question, ids in prompts.items()}

    def prompt(self, question):
        return self.tokenizer.encode(self.template.replace("{prompt}", question)).ids

    def answer(self, word):
        """The one token of an answer, as it stands behind the prompt."""
        [token] = self.tokenizer.encode(word, add_special_tokens=False).ids
        return token


# MARK: Model

class TowerBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, n, w = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, w))
        h = self.fc1(self.norm2(x))
        return x + self.fc2(h * torch.sigmoid(1.702 * h))


class Tower(nn.Module):
    """CLIP's vision tower. The language model reads what the last block but one leaves (`vision_feature_layer` -2)."""

    def __init__(self, side, patch, width, blocks, heads):
        super().__init__()
        self.side, self.patch, self.grid = side, patch, side // patch
        self.embed = nn.Linear(3 * patch * patch, width, bias=False)
        self.cls = nn.Parameter(0.02 * torch.randn(width))
        self.position = nn.Parameter(0.02 * torch.randn(self.grid ** 2 + 1, width))
        self.pre, self.post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(TowerBlock(width, heads) for _ in range(blocks))

    def states(self, pixels):
        """What enters every block, class token in front; the last is what the last block but one leaves."""
        b, g, p = len(pixels), self.grid, self.patch
        x = pixels.view(b, 3, g, p, g, p).permute(0, 2, 4, 1, 3, 5).reshape(b, g * g, 3 * p * p)
        x = self.embed(x) + self.position[1:]
        x = torch.cat([(self.cls + self.position[0]).expand(b, 1, -1).to(x.dtype), x], 1)
        found = [self.pre(x)]
        for block in self.blocks[:-1]:
            found.append(block(found[-1]))
        return found

    def forward(self, pixels):
        """What the last block but one leaves: of the patches, and with the class token in front."""
        x = self.states(pixels)[-1]
        return x[:, 1:], x

    def name(self, x):
        """The class token behind the last block, normed: what CLIP compares with texts."""
        return self.post(self.blocks[-1](x)[:, 0])


class DecoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, epsilon):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.RMSNorm(width, epsilon), nn.RMSNorm(width, epsilon)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.gate_up, self.down = nn.Linear(width, 2 * hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x, rotation, mask, rows=None, weights=None):
        """`rows` [batch, r]: those that are still needed behind this layer; keys and values are made of all. `weights`
        [batch, n, 1]: of every row's MLP branch.
        """
        b, n, w = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, rotation), rotate(k, rotation)
        if rows is not None:
            x = x.gather(1, rows[..., None].expand(-1, -1, w))
            q = q.gather(2, rows[:, None, :, None].expand(-1, self.heads, -1, w // self.heads))
            mask = mask.gather(2, rows[:, None, :, None].expand(-1, -1, -1, n))
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(a.transpose(1, 2).reshape(b, -1, w))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        branch = self.down(F.silu(gate) * up)
        if weights is not None:
            branch = branch * (weights if rows is None else weights.gather(1, rows[..., None]))
        return x + branch


def rotate(x, rotation):
    cos, sin = rotation
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


class SmallLlava(nn.Module):
    """Tower, two-layer projector and Llama decoder, with the fused matrices that train fastest.

    `rows_end`: a learned token ends every row of an image, LLaVA-NeXT's `image_newline`.
    """
    THETA, EPSILON = 10000.0, 1e-5

    def __init__(self, text, side, patch, tower, blocks, tower_heads, width, layers, heads, hidden, classes,
                 rows_end=False):
        super().__init__()
        self.text = text
        self.width, self.heads, self.hidden = width, heads, hidden
        self.tower = Tower(side, patch, tower, blocks, tower_heads)
        self.linear1, self.linear2 = nn.Linear(tower, width), nn.Linear(width, width)
        self.embed = nn.Embedding(text.size, width)
        self.layers = nn.ModuleList(DecoderLayer(width, heads, hidden, self.EPSILON) for _ in range(layers))
        self.norm, self.head = nn.RMSNorm(width, self.EPSILON), nn.Linear(width, text.size, bias=False)
        self.newline = nn.Parameter(0.02 * torch.randn(width)) if rows_end else None
        self.classes = nn.Linear(tower, classes)  # trains the class token, is not written
        for name, p in self.named_parameters():
            if p.dim() == 2 and name != "tower.position":
                nn.init.normal_(p, std=0.02 if name.startswith(("embed", "head")) else 0.7 / math.sqrt(p.shape[1]))
        for layer in self.layers:
            layer.out.weight.data *= 0.5
            layer.down.weight.data *= 0.5

    def project(self, features):
        return self.linear2(F.gelu(self.linear1(features)))

    def decode(self, visual, packed, stretch=None):
        """Logits at the rows that `packed` asks for. `stretch` [batch]: how far apart visual tokens are, 1 in truth."""
        b, count = visual.shape[:2]
        text, before = self.text, len(self.text.before)
        ids, own, segment, rows = packed
        fixed = self.embed(torch.tensor(text.before + text.after))
        x = torch.cat([fixed[:before].expand(b, -1, -1), visual, fixed[before:].expand(b, -1, -1), self.embed(ids)], 1)
        seen = before + count + len(text.after)
        position = torch.cat([torch.arange(seen).expand(b, -1), seen + own], 1)
        if stretch is not None:
            into = (position - before).clamp(0, count)
            position = position - into + (into * stretch[:, None]).long()
        inverse = self.THETA ** (-torch.arange(0, self.width // self.heads, 2) / (self.width // self.heads))
        angle = (position[:, None, :, None] * inverse).float()
        rotation = angle.cos(), angle.sin()
        kind = torch.cat([torch.zeros(b, seen, dtype=torch.long), segment], 1)
        n = kind.shape[1]
        mask = ((kind[:, None, :] == 0) | (kind[:, None, :] == kind[:, :, None])) & torch.ones(n, n).tril().bool()
        mask = mask[:, None]
        image = slice(before, before + count)
        for index in range(len(self.layers) - 1):
            x = self.layer(index, x, rotation, mask, image)
        x = self.layer(len(self.layers) - 1, x, rotation, mask, image, rows=seen + rows)
        return self.head(self.norm(x))

    def layer(self, index, x, rotation, mask, image, rows=None):
        """One layer, `image` being the visual rows: a subclass may have it compute some of them only."""
        return self.layers[index](x, rotation, mask, rows)

    def pack(self, pictures):
        """What `forward` takes of questions, and its targets; see `pack`."""
        return pack(self.text, pictures)

    def forward(self, pixels, packed):
        """Answer logits [batch, rows, vocabulary] and class logits."""
        features, all_ = self.tower(pixels)
        return self.decode(self.project(features), packed), self.classes(self.tower.name(all_))

    def forward_tiles(self, views, packed, thumbnail_only=False, stretch=None):
        """LLaVA-NeXT on 2x2 tiles: `views` [batch, 5, 3, side, side], the whole picture first. Answer logits, and class
        logits of every view. The rows of the tiles' common grid end in a newline token.
        """
        b, g = len(views), self.tower.grid
        features, all_ = self.tower(views.flatten(0, 1))
        visual = self.project(features).view(b, 5, g, g, -1)
        tiles = visual[:, 1:].reshape(b, 2, 2, g, g, -1).transpose(2, 3).reshape(b, 2 * g, 2 * g, -1)
        tiles = torch.cat([tiles, self.newline.to(tiles.dtype).expand(b, 2 * g, 1, -1)], 2)
        visual = torch.cat([visual[:, 0].flatten(1, 2), tiles.flatten(1, 2)], 1)
        if thumbnail_only:
            visual = visual[:, :g * g]
        return self.decode(visual, packed, stretch), self.classes(self.tower.name(all_)).view(b, 5, -1)


def pack(text, pictures):
    """Questions behind one picture each. `pictures`: per picture, (question, answer) pairs, an answer being its token or a list
    of tokens.

    Returns ids, positions within the question, segment numbers from 1 on, the rows whose logits count, and their targets:
    the answer behind the prompt, the end behind the answer.
    """
    ids, own, segment, rows, targets = [], [], [], [], []
    for pairs in pictures:
        i, o, s, r, t = [], [], [], [], []
        for number, (question, answer) in enumerate(pairs, 1):
            answer = [answer] if isinstance(answer, int) else answer
            tokens = text.own[question] + answer
            i += tokens
            o += range(len(tokens))
            s += [number] * len(tokens)
            r += range(len(i) - len(answer) - 1, len(i))
            t += answer + [text.end]
        ids.append(i), own.append(o), segment.append(s), rows.append(r), targets.append(t)

    def padded(lists, fill):
        longest = max(map(len, lists))
        return torch.tensor([x + [fill] * (longest - len(x)) for x in lists])

    return (padded(ids, 0), padded(own, 0), padded(segment, -1), padded(rows, 0)), padded(targets, IGNORED)


# MARK: Optimiser

class Muon(torch.optim.Optimizer):
    """Muon (Jordan 2024) for the matrices: momentum, made orthogonal by five Newton-Schulz steps. Fused ones are cut first."""

    def __init__(self, parameters, lr, momentum=0.95):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "parts": 1})

    @torch.no_grad()
    def step(self):
        shapes = {}
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                m = state.setdefault("momentum", torch.zeros_like(p))
                m.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(m, group["momentum"])
                for part, target in zip(update.chunk(group["parts"]), p.chunk(group["parts"])):
                    shapes.setdefault(part.shape, []).append((part, target, group["lr"]))
        for (rows, columns), all_ in shapes.items():
            stack = torch.stack([part for part, _, _ in all_]).bfloat16()
            if rows > columns:
                stack = stack.mT
            stack = stack / (stack.norm(dim=(1, 2), keepdim=True) + 1e-7)
            for _ in range(5):
                a = stack @ stack.mT
                stack = 3.4445 * stack + (-4.775 * a + 2.0315 * a @ a) @ stack
            if rows > columns:
                stack = stack.mT
            for update, (_, target, lr) in zip(stack.float(), all_):
                target.mul_(1 - lr * 0.01).add_(update, alpha=-lr * max(1, rows / columns) ** 0.5)


def keep_memory():
    """Has malloc keep what it got: pages handed back after every step and fetched again cost more than the arithmetic."""
    libc = ctypes.CDLL(None)
    trim_threshold, mmap_max = -1, -4
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, 2**31 - 1)


def optimisers(model, muon=0.01, adam=1e-3, routers=3e-5):
    single, fused, rest, routing = [], {2: [], 3: []}, [], []
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        if name.endswith(("qkv.weight", "in_proj_weight")):
            fused[3].append(p)
        elif name.endswith("gate_up.weight"):
            fused[2].append(p)
        elif name.startswith("routers."):
            routing.append(p)
        elif p.dim() == 2 and any(s in name for s in ("blocks.", "layers.", "linear", "compressor.")):
            single.append(p)
        else:
            rest.append(p)
    return [Muon([{"params": single}] + [{"params": ps, "parts": n} for n, ps in fused.items()], lr=muon),
            torch.optim.AdamW([{"params": rest}] + [{"params": routing, "lr": routers}] * bool(routing), lr=adam,
                              betas=(0.9, 0.98), weight_decay=0.01)]
