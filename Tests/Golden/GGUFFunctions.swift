import VTok

/// `gguf.*`
let ggufFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "gguf.dequantize": { inputs in
    ["values": GoldenValue(try file(inputs, "blocks").tensor("w"))]
  },

  "gguf.dot": { inputs in
    let weight = try file(inputs, "weights").blocks("w")
    let x = try inputs.tensor("activations")
    let rows = BlockRows(for: weight.type, x.values, x.rows, x.width, x.width)
    let block = try inputs.config.int("activation_block")
    var outputs = [
      "result": GoldenValue(weight.multiply(x, threads: 2)),
      "activation_quants": GoldenValue(rows.quants.map(Int.init), [x.rows, x.width]),
      "activation_scales": GoldenValue(rows.scales(block: block), [x.rows, x.width / block]),
    ]
    switch try inputs.config.string("activation_type") {
    case "Q8_1": outputs["activation_sums"] = GoldenValue(rows.sums, [x.rows, x.width / 32])
    case "Q8_K": outputs["activation_sums"] = GoldenValue(rows.groups.map(Int.init), [x.rows, x.width / 16])
    default: break
    }
    return outputs
  },

  // Float arithmetic with the weights as they are dequantised.
  "gguf.forward": { inputs in
    let checkpoint = try Checkpoint(
      gguf: inputs.file(inputs.config.string("model_file")), mmproj: inputs.file(inputs.config.string("mmproj_file"))
    ).at(.f32)
    let golden = try MultimodalCase(inputs, checkpoint)
    guard golden.model.placeholder == (try inputs.config.int("image_token_id")) else {
      throw GoldenError("the placeholder has the id \(golden.model.placeholder)")
    }
    var result = try golden.run()
    let generated = try golden.generated(&result, count: inputs.config.int("max_new_tokens"))
    return [
      "image_features": GoldenValue(result.visual), "hidden_states.last": GoldenValue(result.hidden.last!),
      "logits": result.logits, "generated_ids": GoldenValue(generated.ids, [generated.ids.count]),
      "generated_step_logits": generated.logits,
    ]
  },

  // llama.cpp's own logits of a text.
  "gguf.forward_integer": { inputs in
    let checkpoint = try Checkpoint(gguf: inputs.file(inputs.config.string("model_file")))
    let model = try LanguageModel.load(checkpoint)
    let ids = try inputs.integers("input_ids").map(Int.init)
    let tokens = TokenSequence(
      x: try model.embeddings(of: ids), kind: ids.map { _ in .text }, origin: Origin(ids.map { _ in nil }))
    var run = Run(.dense(Shape(tower: nil, decoder: model.shape)))
    let last = try model.prefill(tokens, run: &run).tokens.x
    return ["logits": GoldenValue(model.logits(model.normed(last)))]
  },

  "gguf.tokenize": { inputs in
    let model = try GGUF(path: inputs.file(inputs.config.string("model_file")))
    guard let vocabulary = try GGUFVocabulary(model.values, file: model.path) else {
      throw GoldenError("no tokenizer in the file")
    }
    let tokenizer = try TextTokenizer(vocabulary)
    let rows = try inputs.rows.map { row -> JSON in
      var made = row.object!
      let text = try row.string("text")
      (made["ids"], made["ids_no_special"]) = (
        JSON(tokenizer.encode(text)), JSON(tokenizer.encode(text, special: false))
      )
      return .object(made)
    }
    return ["rows": GoldenValue(rows: rows)]
  },
]

/// A GGUF file of one tensor `w` with the bytes of an input `[rows, bytes of a row]`.
private func file(_ inputs: Inputs, _ name: String) throws -> GGUFFile {
  let config = inputs.config
  let type = try config.string("type")
  guard let number = config["type_id"]?.int ?? BlockType(rawValue: type).map({ Int($0.number) }) else {
    throw GoldenError("no type of GGUF: \(type)")
  }
  var bytes = Array("GGUF".utf8)
  func add<Value: FixedWidthInteger>(_ value: Value) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
  add(UInt32(3))
  add(UInt64(1))
  add(UInt64(0))
  add(UInt64(1))
  bytes += "w".utf8
  add(UInt32(2))
  add(UInt64(try config.int("columns")))
  add(UInt64(try config.int("rows")))
  add(UInt32(number))
  add(UInt64(0))
  bytes += repeatElement(0, count: (32 - bytes.count % 32) % 32)
  bytes += try inputs.bytes(name)
  return try GGUFFile(bytes.withUnsafeBytes { MappedFile(copying: $0, name: "golden") })
}
