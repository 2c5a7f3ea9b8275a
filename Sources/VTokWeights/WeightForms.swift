// Weights that are not those of a model as it runs: changes to another model, and numbers that need scales or tables.

extension CheckpointFiles {
  /// Refuses adapters (LoRA and its relatives) by the names of their tensors.
  func refuseAdapter() throws(WeightError) {
    for shard in shards {
      guard let entry = shard.entries.first(where: { Self.isAdapter($0.name) }) else { continue }
      throw Self.adapter(shard.file.path, tensor: entry.name, found: "a change to another model")
    }
  }

  /// The same by the files that PEFT writes, before any weights are opened: such a folder often holds several.
  static func refuseAdapter(_ directory: String, _ names: [String]) throws(WeightError) {
    guard
      let name = names.first(where: { $0 == "adapter_config.json" })
        ?? names.first(where: { $0.hasPrefix("adapter_model.") })
    else { return }
    // The file's own words help; whether it can be read does not matter here.
    let config = try? JSON(contentsOf: directory + "/adapter_config.json")
    let type = config?["peft_type"]?.string.map { " of type \(shortened($0))" } ?? ""
    let base = config?["base_model_name_or_path"]?.string.map { " to `\(shortened($0))`" } ?? ""
    throw adapter(directory + "/" + name, tensor: nil, found: "an adapter\(type)\(base)")
  }

  private static func adapter(_ path: String, tensor: String?, found: String) -> WeightError {
    WeightError(
      .adapter, path, tensor: tensor, found: found, expected: "the weights of a whole model",
      fix: "It is an adapter: merge it first, in Python `PeftModel.from_pretrained(base, DIR).merge_and_unload()"
        + ".save_pretrained(OUT)` with the package peft, and give OUT.")
  }

  /// PEFT's prefix, and the parts of LoRA, DoRA, LoHa, LoKr and IA3.
  private static func isAdapter(_ name: String) -> Bool {
    name.hasPrefix("base_model.model.")
      || name.split(separator: ".").contains { part in
        part == "lora" || ["lora_", "hada_", "lokr_", "ia3_"].contains { part.hasPrefix($0) }
      }
  }
}

extension Checkpoint {
  /// Refuses weights that stand for others by scales, tables or packed codes: float8 with scales, bitsandbytes, GPTQ, AWQ,
  /// compressed-tensors and the like. Without their scales the numbers would be taken for the weights themselves.
  public func refuseQuantised() throws(WeightError) {
    func refuse(_ file: String, _ tensor: String?, _ found: String) -> WeightError {
      WeightError(
        .quantised, file, tensor: tensor, found: found, expected: "weights in F32, F16 or BF16",
        fix: "Use the checkpoint that it was quantised from, or let its own library dequantise and save it.")
    }
    let method = ["quantization_config", "text_config.quantization_config", "compression_config"].lazy
      .compactMap { config.value(at: $0) }.first { $0.object?.isEmpty == false }
    let name = method.map { " by \(shortened($0["quant_method"]?.string ?? "a method without name"))" } ?? ""
    if let (entry, scale) = scaled {
      let scale = scale.map { " with the scale `\(shortened($0))`" } ?? ""
      throw refuse(entry.file, entry.name, "elements of type \(entry.type.rawValue)\(scale), quantised\(name)")
    }
    if method != nil {
      throw refuse(path("config.json") ?? self.name, nil, "weights that are quantised\(name) (quantization_config)")
    }
  }

  /// The first tensor that is quantised, and the one that scales it.
  private var scaled: (TensorEntry, scale: String?)? {
    let scales = ["weight_scale", "weight_scale_inv", "scale_weight", "scales", "SCB", "weight.absmax"].map { "." + $0 }
    let codes = [".weight", ".qweight", ".weight_packed"]
    let entries = store.entries
    let marks = scales + codes.dropFirst()
    guard
      let found = entries.first(where: { entry in
        entry.type.isFloat8 || marks.contains { entry.name.hasSuffix($0) }
      })
    else { return nil }
    let ending = (marks + codes).first { found.name.hasSuffix($0) } ?? ""
    let owner = found.name.dropLast(ending.count)
    func part(_ endings: [String]) -> TensorEntry? {
      entries.first { entry in
        entry.name.hasPrefix(owner) && endings.contains(String(entry.name.dropFirst(owner.count)))
      }
    }
    return (part(codes) ?? found, part(scales)?.name)
  }
}

extension ElementType {
  fileprivate var isFloat8: Bool { [.f8e5m2, .f8e4m3, .f8e8m0].contains(self) }
}
