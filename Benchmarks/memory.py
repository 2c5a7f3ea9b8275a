#!/usr/bin/env python3
"""How far the predicted peak memory is off: small models with random weights, several precisions and sizes of picture.

    python3 Benchmarks/memory.py FOLDER [--threads N]

Writes into FOLDER, where they stay, models of Qwen3-VL's and InternVL3.5's architecture with 115 and 187 million random weights, asks each one question about a
picture, and holds what the system says of the process against `vtok flops`. Writes Benchmarks/results/memory.json. VTOK names the program.
"""
import datetime
import json
import os

import needs
import random_models
import today

HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = [(448, 336), (1024, 768)]


def main():
    parser = needs.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", help="where the models go (0.6 GB)")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    vtok = today.program()
    rows = []
    for family, (make, _) in random_models.FAMILIES.items():
        model = os.path.join(arguments.folder, f"{family}-small")
        if not os.path.exists(os.path.join(model, "model.safetensors")):
            make(model, "small")
        for size in SIZES:
            today.WIDTH, today.HEIGHT = size
            image = os.path.join(arguments.folder, "picture.png")
            today.picture(image)
            runs = today.Runs(vtok, image, arguments.threads, 2)
            for precision in ("f32", "bf16", "int8", "int4"):
                more = ["--precision", precision]
                answer = runs.call([vtok, "generate", "--model", model, "--image", image, "--prompt", today.QUESTION, "--threads",
                                    str(arguments.threads), "--max-tokens", "2", "--format", "json", "--quiet", *more], runs.wrapper)
                text = max(1, answer["tokens"]["prompt"] - answer["tokens"]["in"])
                found = runs.call([vtok, "flops", "--model", model, "--image-size", f"{size[0]}x{size[1]}", "--text-tokens", str(text),
                                   "--new-tokens", "2", "--threads", str(arguments.threads), "--format", "json", *more])
                rows.append({"family": family, "picture": list(size), "precision": precision,
                             "measured_mb": answer["peak_memory_mb"], "predicted_mb": found["memory"]["peak_mb"]})
                row = rows[-1]
                print(f"{family} {size[0]}x{size[1]} {precision}: predicted {row['predicted_mb']:.0f} MB, measured "
                      f"{row['measured_mb']:.0f}, {100 * (row['predicted_mb'] / row['measured_mb'] - 1):+.0f}%", flush=True)
    with open(os.path.join(HERE, "results", "memory.json"), "w") as out:
        json.dump({"schema": "vtok-memory/1", "date": datetime.date.today().isoformat(), "threads": arguments.threads, "rows": rows}, out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
