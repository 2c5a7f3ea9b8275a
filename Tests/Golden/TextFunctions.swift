import Foundation
import VTok

/// `tokenizer.table`, `prompt.*`
let textFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "tokenizer.table": { inputs in
    let file = inputs.file(inputs.config["file"]!.string!)
    let tokenizer = try TextTokenizer(JSON(parsing: [UInt8](FileManager.default.contents(atPath: file)!)))
    let rows = inputs.case.manifest["rows"]!.array!.map { row -> JSON in
      let text = row["text"]!.string!
      let plain = tokenizer.encode(text, special: false)
      return [
        "text": JSON(text), "ids": JSON(tokenizer.encode(text)), "ids_no_special": JSON(plain),
        "tokens": JSON(plain.compactMap(tokenizer.token)),
        "decoded": JSON(tokenizer.decode(plain, skipsSpecial: false)),
        "decoded_skip_special": JSON(tokenizer.decode(plain)),
      ]
    }
    return ["rows": GoldenValue(rows: rows)]
  },

  "prompt.template": { inputs in
    let rows = try inputs.case.manifest["rows"]!.array!.map { row -> JSON in
      var made = row.object!
      let name = row["name"]!.string!
      let families: [String: VisualText] = [
        "qwen2-vl": .qwen, "smolvlm": .idefics3, "idefics3": .idefics3, "internvl": .internVL,
        "internvl-image": VisualText(of: ["model_type": "internvl_chat"])!,
      ]
      let family = families[name] ?? .llava
      // The published template itself, and the one that stands in for it where a checkpoint has none.
      let texts = try [row["chat_template"]!.string!, name].map { given in
        try PromptTemplate(given, for: family).text(
          row["question"]!.string!, images: row["images"]!.int!, system: row["system"]?.string)
      }
      made["text"] = JSON(texts[0] == texts[1] ? texts[0] : "two texts: \(texts)")
      return .object(made)
    }
    return ["rows": GoldenValue(rows: rows)]
  },

  "prompt.placeholders": { inputs in
    let rows = try inputs.case.manifest["rows"]!.array!.map { row -> JSON in
      let file = inputs.file("tokenizers/" + row["tokenizer"]!.string!)
      let tokenizer = try TextTokenizer(JSON(parsing: [UInt8](FileManager.default.contents(atPath: file)!)))
      let images = row["images"]!.array!.map { ($0["rows"]!.int!, $0["columns"]!.int!, $0["spans"]!.ints!) }
      let text = try VisualText(of: ["model_type": row["model_type"]!])!.writtenOut(
        row["text"]!.string!, images: images)
      var made = row.object!
      (made["expanded"], made["ids"]) = (JSON(text), JSON(tokenizer.encode(text)))
      return .object(made)
    }
    return ["rows": GoldenValue(rows: rows)]
  },
]
