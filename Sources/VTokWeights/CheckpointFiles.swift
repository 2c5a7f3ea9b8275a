import VTokLibC

/// Finds the weights of a downloaded folder. Order of preference: `model.safetensors`, `model.safetensors.index.json`
/// with its shards, the only other `*.safetensors`; then the same for PyTorch's format.
struct CheckpointFiles {
  var shards: [any TensorFile] = []
  /// Which shard holds a tensor.
  var home: [ExactString: Int] = [:]

  init(directory: String) throws(WeightError) {
    let names = try Self.names(in: directory)
    try Self.refuseAdapter(directory, names)
    try find(directory, names)
    try refuseAdapter()
  }

  private mutating func find(_ directory: String, _ names: [String]) throws(WeightError) {
    for (whole, endings) in [("model.safetensors", [".safetensors"]), ("pytorch_model.bin", PyTorchFile.endings)] {
      let weights = names.filter { name in endings.contains { name.hasSuffix($0) } }
      if names.contains(whole) {
        try add(Self.open(directory + "/" + whole))
        return
      } else if names.contains(whole + ".index.json") {
        try addIndexed(directory, whole + ".index.json")
        return
      } else if weights.count == 1 {
        try add(Self.open(directory + "/" + weights[0]))
        return
      } else if weights.count > 1 {
        throw WeightError(
          .unsupportedFormat, directory,
          found: "\(weights.count) weight files and no index (\(shortened(weights[0])), ...)",
          expected: "\(whole), or \(whole).index.json with its shards",
          fix: "Fetch \(whole).index.json too, or leave one weight file in the folder.")
      }
    }
    throw Self.noWeights(directory, names)
  }

  /// - Returns: nil where the folder does not hold the main file.
  init?(directory: String, parts: WeightParts) throws(WeightError) {
    let names = try Self.names(in: directory)
    guard names.contains(parts.main) else { return nil }
    try add(Self.open(directory + "/" + parts.main))
    for part in parts.others where names.contains(part.file) {
      let file = try Self.open(directory + "/" + part.file)
      try add(PrefixedFile(file, prefix: part.prefix) { home[ExactString($0)] != nil })
    }
    try refuseAdapter()
  }

  init(_ file: any TensorFile) throws(WeightError) { try self.init([file]) }

  init(_ files: [any TensorFile]) throws(WeightError) {
    for file in files { try add(file) }
    try refuseAdapter()
  }

  static func open(_ path: String) throws(WeightError) -> any TensorFile {
    PyTorchFile.endings.contains { path.hasSuffix($0) } ? try PyTorchFile(path: path) : try Safetensors(path: path)
  }

  private mutating func add(_ shard: any TensorFile) throws(WeightError) {
    for entry in shard.entries {
      if let other = home.updateValue(shards.count, forKey: ExactString(entry.name)) {
        throw WeightError(
          .index, shard.file.path, tensor: entry.name, found: "the same tensor in \(shards[other].file.path)",
          expected: "each tensor in one file", fix: "Fetch all files of one revision of the checkpoint again.")
      }
    }
    shards.append(shard)
  }

  private mutating func addIndexed(_ directory: String, _ name: String) throws(WeightError) {
    let path = directory + "/" + name
    let index = try JSON(contentsOf: path, dialect: .strict)
    func refuse(_ tensor: String?, _ found: String, _ expected: String) -> WeightError {
      WeightError(
        .index, path, tensor: tensor, found: found, expected: expected,
        fix: "Fetch all files of one revision of the checkpoint again.")
    }
    guard let map = index["weight_map"]?.object, !map.isEmpty else {
      throw refuse(nil, "weight_map \(index["weight_map"]?.summary ?? "missing")", "an object of tensor and file names")
    }
    var order: [String: Int] = [:]
    for (tensor, value) in map {
      guard let name = value.string, isPlainName(name) else {
        throw refuse(tensor, value.summary, "the name of a file in this folder")
      }
      if order[name] == nil {
        order[name] = order.count
        do {
          try add(Self.open(directory + "/" + name))
        } catch  where error.kind == .missingFile {
          throw WeightError(
            .missingFile, directory + "/" + name, found: "nothing", expected: "a shard that \(path) names",
            fix: "The download is incomplete: fetch this file too.")
        }
      }
      if shards[order[name]!].entry(tensor) == nil {
        throw refuse(tensor, "no such tensor in \(name)", "the tensor that the index promises there")
      }
    }
  }

  static func names(in directory: String) throws(WeightError) -> [String] {
    guard let stream = opendir(directory) else {
      let code = errno
      let found = code == ENOENT ? "nothing" : code == ENOTDIR ? "a file" : String(cString: strerror(code))
      throw WeightError(
        code == EACCES ? .unreadableFile : .notADirectory, directory, found: found,
        expected: "the folder of a checkpoint as downloaded",
        fix: "Give the folder that holds config.json and the weights.")
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      names.append(name)
    }
    return names.sorted()
  }

  private static func noWeights(_ directory: String, _ names: [String]) -> WeightError {
    if let other = names.first(where: { name in [".h5", ".msgpack", ".gguf", ".npz"].contains { name.hasSuffix($0) } })
    {
      return WeightError(
        .unsupportedFormat, directory, found: "weights only as \(shortened(other))",
        expected: "model.safetensors or pytorch_model.bin, or an index with its shards",
        fix: "Fetch a revision with safetensors (many repositories have one as a pull request), or convert once in"
          + " Python: `AutoModel.from_pretrained(DIR).save_pretrained(OUT, safe_serialization=True)`.")
    }
    return WeightError(
      .missingFile, directory, found: "no weights", expected: "model.safetensors, or an index with its shards",
      fix: "Fetch the weight files of the checkpoint too.")
  }
}

/// A file name without a folder, so that a downloaded file cannot point out of its folder.
func isPlainName(_ name: String) -> Bool {
  !name.isEmpty && name != "." && name != ".." && !name.utf8.contains(UInt8(ascii: "/")) && !name.utf8.contains(0)
}

extension JSON {
  /// A JSON file. Non-finite numbers as Python writes them are read unless `dialect` says otherwise.
  /// - Parameter budget: nil: by the name of the file.
  /// - Throws: `WeightError` of a file that cannot be opened, is too large for its kind, or is not JSON.
  public init(contentsOf path: String, dialect: Dialect = .python, budget: ReadBudget? = nil) throws(WeightError) {
    let name = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[path.index(after: $0)...]) } ?? path
    let budget = budget ?? .named(name)
    self = try MappedFile(path: path).withBytes { bytes throws(WeightError) in
      try JSON(bytes, of: path, dialect: dialect, budget: budget)
    }
  }

  /// The same; nil where there is no such file.
  public static func ifPresent(_ path: String) throws(WeightError) -> JSON? {
    do {
      return try JSON(contentsOf: path)
    } catch  where error.kind == .missingFile {
      return nil
    }
  }

  init(
    _ bytes: UnsafeRawBufferPointer, of path: String, dialect: Dialect, budget: ReadBudget
  ) throws(WeightError) {
    try budget.check(bytes.count, path)
    do {
      self = try JSON(parsing: bytes, dialect: dialect, budget: budget)
    } catch {
      throw error.place == .limit
        ? WeightError(
          .budget, path, found: error.reason, expected: "fewer",
          fix: "The file is not what its name says: fetch it again.")
        : WeightError(.malformedJSON, path, found: "a file that is \(error)", expected: "JSON", fix: damagedFile)
    }
  }
}
