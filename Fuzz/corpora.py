#!/usr/bin/env python3
"""Writes what the fuzzing targets start from: files of this repository, and small ones made here.

usage: corpora.py OUT     OUT/seeds/TARGET/... and OUT/models/...

../shared (test data of the developers) is read where it is there; nothing depends on it.
"""
import base64
import hashlib
import io
import json
import pathlib
import pickle
import shutil
import struct
import sys
import tarfile
import zipfile
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
TESTS = ROOT / "Tests"
GOLDEN = TESTS / "Golden" / "Cases"
SHARED = ROOT.parent / "shared"
LARGEST = 34_000  # bytes of a seed: larger ones make every step slow


def contents(*patterns, root=ROOT, most=LARGEST):
    """The bytes of the files that match, but for the large ones."""
    for pattern in patterns:
        for path in sorted(root.glob(pattern)) if root.is_dir() else []:
            if path.is_file() and path.stat().st_size <= most:
                yield path.read_bytes()


# Pictures


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_file(width, height, depth, colour, interlaced, extra=b""):
    """Plain content: what the reader does depends on the header."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    if interlaced:
        sizes = [
            ((width - x + dx - 1) // dx, (height - y + dy - 1) // dy)
            for x, y, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
        ]
    else:
        sizes = [(width, height)]
    rows = b"".join(
        (bytes([(y + w) % 5]) + bytes((7 * i + y) % 256 for i in range((w * depth * channels + 7) // 8)))
        for w, h in sizes if w > 0
        for y in range(h)
    )
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    palette = chunk(b"PLTE", bytes(range(3 * 2 ** min(depth, 4)))) if colour == 3 else b""
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def png():
    depths = {0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16]}
    for colour, all_depths in depths.items():
        for depth in all_depths:
            for interlaced in [False, True]:
                yield png_file(9, 7, depth, colour, interlaced)
    for colour, length in [(0, 2), (2, 6), (3, 2)]:
        yield png_file(9, 7, 8, colour, False, chunk(b"tRNS", bytes(length)))
    exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    yield png_file(9, 7, 8, 2, False, chunk(b"eXIf", exif))
    yield png_file(9, 7, 8, 6, True, chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"tEXt", b"Comment\0hello"))
    yield from contents("Tests/ImageTests/Malformed/*", "Tests/ImageTests/Kinds/*.png", "Images/*.png")
    yield from contents("data/faults/images/*.png", root=SHARED)


def jpeg():
    yield from contents("Tests/ImageTests/Malformed/*.jp*g", "Tests/ImageTests/Kinds/*.jp*g", "Images/*.jpg")
    yield from contents("data/faults/images/*.jp*g", root=SHARED)


def webp():
    """The ones of the tests, and every picture of another format, which are told from these by their first bytes."""
    yield from contents("Tests/ImageTests/Kinds/*.webp")
    yield from contents("Tests/ImageTests/Kinds/*", most=2000)


# Weights


def safetensors_file(tensors, metadata=None):
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, (kind, shape, content) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def safetensors():
    sizes = {"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "U32": 4, "I32": 4, "U64": 8, "I64": 8}
    sizes |= {"F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "F16": 2, "BF16": 2, "F32": 4, "F64": 8, "C64": 8}
    for kind, size in sizes.items():
        yield safetensors_file({"a": (kind, [2, 3], bytes(range(6 * size))), "b": (kind, [], bytes(size))})
    yield safetensors_file({}, {"format": "pt", "config": "{'a': (1, None)}"})
    yield safetensors_file({"x.0": ("F32", [0, 5], b""), "x.1": ("F16", [1, 1, 2], bytes(4))}, {"format": "pt"})
    yield from contents("Tests/**/*.safetensors", most=5000)


def pytorch():
    yield from contents("Tests/WeightsTests/PyTorch/*.pth")


def pickle_():
    for path in sorted((TESTS / "WeightsTests" / "PyTorch").glob("*.pth")):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield from (archive.read(name) for name in archive.namelist() if name.endswith("data.pkl"))
        else:
            yield path.read_bytes()[15:]  # behind the magic number
    for value in [{}, {"a": 1, "b": [1, 2.5, None, True, (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)]}, {"x": {"y": {"z": -(2**40)}}}]:
        yield pickle.dumps(value, protocol=2)
    # A tensor of two by three, as torch.save describes it.
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x10tQ"
    yield b"\x80\x02}(X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0K\x02K\x03\x86K\x03K\x01\x86\x89}tRu."


# Texts


def gguf():
    yield from contents("WeightsTests/GGUF/*.gguf", root=TESTS)

    def text(value):
        return struct.pack("<Q", len(value)) + value

    sizes = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84), 11: (256, 110)}
    sizes |= {12: (256, 144), 13: (256, 176), 14: (256, 210), 20: (32, 18), 23: (256, 136), 24: (1, 1), 28: (1, 8), 30: (1, 2)}
    for types in [[0, 2, 12], [1, 8, 14], [30, 3, 7], [6, 20, 28], [10, 11, 13], [23, 24]]:
        infos, data = b"", b""
        for kind in types:
            elements, size = sizes[kind]
            infos += text(b"blk.%d.w" % kind) + struct.pack("<IQQIQ", 2, elements, 2, kind, len(data))
            data += bytes((7 * i + kind) % 256 for i in range(2 * size))
            data += bytes(-len(data) % 32)
        head = b"GGUF" + struct.pack("<IQQ", 3, len(types), 3)
        head += text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")
        head += text(b"tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + text(b"<s>") + text("\u2581a".encode())
        head += text(b"general.alignment") + struct.pack("<II", 4, 32) + infos
        yield head + bytes(-len(head) % 32) + data


def json_():
    for text in ["null", "[1,-0,2.5e-7,1E400,9223372036854775808]", '{"a":{"b":[true,false,null]}}', '"\\ud83d\\ude00\\u00e9\\n"']:
        yield text.encode()
    for text in ["[NaN, Infinity, -Infinity]", "[" * 70, '{"a":1,"a":2}', "\ufeff{}"]:
        yield text.encode()
    yield ("{" + ",".join(f'"key{index}":{index}' for index in range(20)) + "}").encode()
    yield from contents("Tests/**/config.json", "Tests/**/*config.json", "Benchmarks/models/*/*config.json")
    yield from contents("data/faults/configs/*", root=SHARED)


def literal():
    for text in [
        "None", "-7", "+1e-05", ".5", "2.", "''", r"'\\ \' \n \t \x41 \u00e9 \U0001f600'", '"it\'s"', "[1, 2,]", "()", "(1,)",
        "{'a': {'b': [None, (2, 2)]}, \"c\": 1.5,}", "{'_target_': 'a.B', 'n': (1, -2.5e-3), 'l': [True, False]}", "(" * 70,
    ]:  # fmt: skip
        yield text.encode()


def tokenizer():
    yield from contents("Tests/**/*tokenizer.json", "Benchmarks/models/*/tokenizer.json")
    for model in ["gpt", "fallback"]:
        yield small_tokenizer(model)
    patterns = [
        r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)", "(a+)+b", "(?:a|ab)*+c",
        r"(?<=a)b|(?<!c)[[a-c]&&[^b]]|^ .$|(?>a?b)+?|\x{61}", "(?:a{1,3}){2,}",
    ]  # fmt: skip
    for pattern in patterns:
        split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        yield small_tokenizer("gpt", split)


def small_tokenizer(kind, pre_tokenizer=None):
    """Few tokens, so that a change meets a rule more often than a name."""
    vocabulary = {"<s>": 0, "</s>": 1, "<image>": 2}
    for letter in ("abcdeĠ " if kind == "gpt" else "▁abcde"):
        vocabulary.setdefault(letter, len(vocabulary))
    if kind != "gpt":
        vocabulary |= {f"<0x{byte:02X}>": len(vocabulary) + byte for byte in range(256)}
    vocabulary |= {"ab": len(vocabulary), "cd": len(vocabulary) + 1, "abcd": len(vocabulary) + 2}
    added = [
        {"id": vocabulary[name], "content": name, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True} for name in ["<s>", "</s>", "<image>"]
    ]  # fmt: skip
    model = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
        "fuse_unk": kind != "gpt", "byte_fallback": kind != "gpt", "ignore_merges": False, "vocab": vocabulary,
        "merges": ["a b", "c d", "ab cd"],
    }  # fmt: skip
    if kind == "gpt":
        parts = {
            "normalizer": None,
            "pre_tokenizer": pre_tokenizer
            or {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            "post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        }
    else:
        parts = {
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
            "pre_tokenizer": None,
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        }  # fmt: skip
    return json.dumps(
        {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added} | parts | {"model": model}, ensure_ascii=False
    ).encode()


def clip():
    folder = GOLDEN / "clip-tokenizer" / "mini_600"
    vocabulary, merges = (folder / "vocab.json").read_bytes(), (folder / "merges.txt").read_bytes()
    symbols = json.loads(vocabulary)
    yield json.dumps(symbols, ensure_ascii=False, separators=(",", ":")).encode() + b"\0" + merges
    pairs = [line.split() for line in merges.decode().splitlines() if not line.startswith("#") and line.strip()]
    for style in [pairs[:20], [" ".join(pair) for pair in pairs[:20]]]:
        model = {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": symbols, "merges": style}
        file = {"added_tokens": [{"id": 49407, "content": "<|endoftext|>"}], "model": model}
        yield json.dumps(file, ensure_ascii=False, separators=(",", ":")).encode()


# Pictures as tokens


def tokens():
    def packed(ids, bits):
        number, count = 0, bits * len(ids)
        for one in ids:
            number = number << bits | one
        return (number << (-count % 8)).to_bytes((count + 7) // 8, "big")

    def file(name, codebook, bits, pictures):
        out = b"vtokens\x01" + bytes([len(name)]) + name.encode() + bytes(32) + struct.pack("<II", codebook, len(pictures))
        for title, width, height, ids in pictures:
            out += struct.pack("<H", len(title)) + title.encode() + struct.pack("<HHI", width, height, len(ids)) + packed(ids, bits)
        return out + struct.pack("<I", zlib.crc32(out))

    yield file("klt", 1024, 10, [("a.jpg", 64, 48, list(range(1, 65))), ("b", 1, 1, [1023])])
    yield file("klt", 1024, 10, [("cat.jpg", 32, 32, [index * 37 % 1024 for index in range(1024)])])
    yield file("flextok", 64000, 16, [("ä", 256, 256, [63999, 0, 5])])
    yield file("two", 2, 1, [("x", 8, 8, [1, 0, 1])])
    yield file("none", 2**32 - 1, 32, [])


# Configurations

MODELS = {
    **{name: f"vit-runtime/{name}" for name in [
        "timm_deit_distilled", "timm_dinov2_reg4", "timm_mae_avg_fcnorm", "hf_clip_vision_p14_interp", "hf_siglip_vision_interp",
        "hf_dinov2_registers", "hf_deit_teacher"]},
    **{name: f"lvlm/{name}" for name in ["llava15-tiny-a", "llavanext-tiny-d", "idefics3-tiny-a", "qwen2vl-tiny-a", "qwen25vl-tiny-a"]},
}  # fmt: skip


def lay_out(out):
    """Folders of models, whole ones and such without tokenizer and processor."""
    shutil.rmtree(out, ignore_errors=True)
    sources = {name: GOLDEN / path for name, path in MODELS.items()}
    sources |= {name: ROOT / "Benchmarks" / "models" / name for name in ["vqa-small", "vqa-tiles"]}
    for name, source in sources.items():
        (out / name).mkdir(parents=True)
        for path in source.iterdir():
            if path.suffix in [".json", ".safetensors"] and path.name != "result.json":
                shutil.copyfile(path, out / name / path.name)
    processors = {"timm_deit_distilled": None, "hf_siglip_vision_interp": "hf_siglip", "hf_deit_teacher": "hf_vit", "hf_clip_vision_p14_interp": "hf_clip"}
    for name, processor in processors.items():
        if processor:
            source = GOLDEN / "vit-preprocess" / processor / "preprocessor_config.json"
            shutil.copyfile(source, out / name / source.name)


def config(models):
    for folder in sorted(models.iterdir()):
        for path in sorted(folder.glob("*.json")):
            if path.name != "tokenizer.json" and path.stat().st_size <= LARGEST:
                yield f"{folder.name} {path.name}\n".encode() + path.read_bytes()
    files = {"t": "timm_deit_distilled", "d": "hf_dinov2_registers", "q": "vqa-small", "n": "vqa-tiles"}
    for path in sorted((SHARED / "data/faults/configs").glob("cfg-*.json")) if SHARED.is_dir() else []:
        yield f"{files[path.name.split('-')[1]]} config.json\n".encode() + path.read_bytes()


def template():
    for text in [
        "{% for m in messages %}<|{{ m.role }}|>{{ m['content'] | trim }}{{ eos_token }}{% endfor %}",
        "{%- set ns = namespace(i=0) -%}{% for x in range(3) recursive %}{% set ns.i = ns.i + x %}{{ loop.index }}{% endfor %}{{ ns.i }}",
        "{% macro f(a, b='x') %}{{ a ~ b }}{% endmacro %}{{ f(1) }}{% call f(2) %}{% endcall %}",
        "{{ messages[1:] | selectattr('role', 'equalto', 'user') | map(attribute='content') | list | tojson(indent=2) }}",
        "{% if messages is iterable and messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% elif x is not defined %}{% endif %}",
        "{{ 'a,b'.split(',')[-1].upper().replace('B', 'c') }}{{ [1, 2.5, none, {'k': (1,)}] }}{{ 7 // 2 ** 3 % 4 }}{{ strftime_now('%d %b %Y') }}",
        "{# note #}{%- raw %}{{ x }}{% endraw -%}{% filter upper %}a{% endfilter %}{% with a = 1 %}{{ a }}{% endwith %}",
        "{{ '%s and %05.2f' | format('x', 2.5) }}{{ 'a' * 3 }}{{ dict(a=1).items() | list }}{% set x %}b{% endset %}{{ x if x else 'n' }}",
    ]:  # fmt: skip
        yield text.encode()
    yield from contents("golden/chat-template/*.jinja", root=SHARED)


# Data


def tar():
    """Every form, with names that need each kind of header."""
    names = ["a.jpg", "000000001.txt", "folder/\u00fc.png", "deep/" * 15 + "b.webp", "long" * 50 + ".jpg"]
    for form in [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as archive:
            for name in names[: 4 if form == tarfile.USTAR_FORMAT else 5]:
                entry = tarfile.TarInfo(name)
                entry.size = len(name)
                archive.addfile(entry, io.BytesIO(name.encode()[: len(name)]))
            link = tarfile.TarInfo("link.jpg")
            link.type, link.linkname = tarfile.SYMTYPE, "a.jpg"
            archive.addfile(link)
        yield out.getvalue()
    yield from contents("data/faults/**/*.tar", root=SHARED)


def data():
    """The pictures are named by the paths of folders that are always there."""
    questions = [
        {"image": "/dev/null", "question": "what?", "answers": ["a", "b"], "metric": "exact"},
        {"image": ["/dev/null", "/dev/zero"], "question": "which?", "answers": "B", "metric": "multiple-choice", "choices": ["x", "y"]},
        {"image": "/dev/null", "question": "is it?", "answers": ["yes"], "metric": "yes-no", "group": "g"},
    ]
    yield b"questions\n" + b"\n".join(json.dumps(q).encode() for q in questions)
    yield b"messages\n" + json.dumps([
        {"role": "system", "content": "short"},
        {"role": "user", "content": [{"type": "image", "image": "/dev/null"}, {"type": "text", "text": "what?"}]},
        {"role": "assistant", "content": "a cat"}, {"role": "user", "content": "sure?"},
    ]).encode()
    picture = base64.b64encode(png_file(9, 7, 8, 2, False)).decode()
    yield b"stream\n" + json.dumps({"id": 7, "bytes": picture, "name": "a.png", "prompt": "what?"}).encode()
    yield b"stream\n" + json.dumps({"image": ["a.jpg", "b.jpg"]}).encode()
    yield b"stream\na.jpg"
    picture = "/dev/null"
    yield b"pope\n" + json.dumps({"question_id": 1, "image": picture, "text": "Is there a cat?", "label": "yes"}).encode()
    yield b"textvqa\n" + json.dumps({"data": [
        {"question_id": 1, "image_id": picture, "question": "what?", "answers": ["a"] * 10}], "dataset_type": "val"}).encode()
    yield b"vqav2\n" + json.dumps({"questions": [{"image_id": 1, "question": "what?", "question_id": 3}], "data_subtype": "val2014"}).encode() \
        + b"\0" + json.dumps({"annotations": [{"question_id": 3, "image_id": 1, "answers": [{"answer": "a"}] * 10, "question_type": "what"}]}).encode()
    yield b"gqa\n" + json.dumps({"1": {"imageId": picture, "question": "what?", "answer": "a", "types": {"structural": "query"}}}).encode()
    yield b"scienceqa\n" + json.dumps({"1": {
        "question": "which?", "choices": ["a", "b"], "answer": 1, "hint": "look", "image": "image.png", "split": "test", "subject": "x"}}).encode()
    yield b"chartqa\n" + json.dumps([{"imgname": picture, "query": "how many?", "label": "3"}]).encode()
    yield b"ocrbench\n" + json.dumps([{"image_path": picture, "question": "what?", "answers": ["a"], "type": "x", "dataset_name": "y"}]).encode()
    rows = [["index", "question", "A", "B", "answer", "category", "image"], ["1", "which?", "x", "y", "B", "c", base64.b64encode(b"x" * 99).decode()]]
    yield b"tsv\n" + "\n".join("\t".join(row) for row in [*rows, ["2", "who?", "x", "y", "A", "c", "1"]]).encode()
    yield from (b"pope\n" + text for text in contents("Tests/**/*.jsonl", most=4000))


def main():
    out = pathlib.Path(sys.argv[1])
    lay_out(out / "models")
    seeds = {
        "png": png(), "jpeg": jpeg(), "webp": webp(), "safetensors": safetensors(), "pytorch": pytorch(), "pickle": pickle_(), "gguf": gguf(), "json": json_(),
        "literal": literal(), "tokenizer": tokenizer(), "clip": clip(), "tokens": tokens(), "config": config(out / "models"),
        "template": template(), "tar": tar(), "data": data(),
    }  # fmt: skip
    for target, files in seeds.items():
        folder = out / "seeds" / target
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        found = [path.read_bytes() for path in sorted((TESTS / "Fuzzed" / target).glob("*"))]
        for content in [*files, *found]:
            (folder / hashlib.sha1(content).hexdigest()).write_bytes(content)


if __name__ == "__main__":
    main()
