#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Finds the weights of a downloaded folder. Order of preference: `model.safetensors`, `model.safetensors.index.json`
/// with its shards, the only other `*.safetensors`; then the same for PyTorch's format.
struct CheckpointFiles {
  var shards: [any TensorFile] = []
  /// Which shard holds a tensor.
  var home: [ExactString: Int] = [:]

  init(directory: String) throws(WeightError) {
    let names = try Self.names(in: directory)
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

  init(_ file: any TensorFile) throws(WeightError) {
    try add(file)
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
    let index = try readJSON(path, dialect: .strict)
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

  private static func names(in directory: String) throws(WeightError) -> [String] {
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

func readJSON(_ path: String, dialect: JSON.Dialect) throws(WeightError) -> JSON {
  try MappedFile(path: path).withBytes { bytes throws(WeightError) in try parseJSON(bytes, path, dialect: dialect) }
}

func readJSONIfPresent(_ path: String) throws(WeightError) -> JSON? {
  do {
    return try readJSON(path, dialect: .python)
  } catch  where error.kind == .missingFile {
    return nil
  }
}

func parseJSON(_ bytes: UnsafeRawBufferPointer, _ path: String, dialect: JSON.Dialect) throws(WeightError) -> JSON {
  do {
    return try JSON(parsing: bytes, dialect: dialect)
  } catch {
    throw WeightError(
      .malformedJSON, path, found: "a file that is \(error)", expected: "JSON",
      fix: damagedFile)
  }
}
