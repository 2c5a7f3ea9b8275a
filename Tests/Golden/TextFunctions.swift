import Foundation
import VTok

/// `tokenizer.table`
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
  }
]
