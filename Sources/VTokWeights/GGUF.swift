import VTokFiles
import VTokTensor

/// One GGUF file: metadata, and tensors of plain or block types. Opening checks all of its header and touches no tensor.
/// (`ggml/docs/gguf.md`, versions 2 and 3.)
public struct GGUFFile: TensorFile {
  public let file: MappedFile
  /// Shapes are row-major, outermost axis first: the reverse of what the file says.
  public let entries: [TensorEntry]
  public let values: GGUFMetadata
  public let version: Int
  private let index: [ExactString: Int]

  public init(path: String) throws(WeightError) {
    try self.init(MappedFile(path: path))
  }

  public init(_ file: MappedFile) throws(WeightError) {
    let header = try file.withBytes { bytes throws(WeightError) in try GGUFHeader(bytes, of: file) }
    self.file = file
    entries = header.entries
    values = header.metadata
    version = header.version
    index = Dictionary(uniqueKeysWithValues: header.entries.enumerated().map { (ExactString($1.name), $0) })
  }

  public func entry(_ name: String) -> TensorEntry? { index[ExactString(name)].map { entries[$0] } }

  /// Those values that are text.
  public var metadata: [String: String] {
    values.reduce(into: [:]) { texts, entry in texts[entry.key] = entry.value.text }
  }
}

/// A model in GGUF, in one file or in several: `NAME-00001-of-00003.gguf` and its neighbours.
public struct GGUF: Sendable {
  public static let ending = ".gguf"

  /// The parts in order.
  public let files: [GGUFFile]
  private let homes: [ExactString: Int]

  /// Opens a file and, if it is the first of several, the others beside it.
  /// - Throws: `WeightError` of a file that is damaged, of a type that is not read, or of parts that do not fit together.
  public init(path: String) throws(WeightError) {
    let first = try GGUFFile(path: path)
    let count = try Self.whole("split.count", of: first, below: 100_000) ?? 1
    var files = [first]
    if count > 1 {
      let paths = try Self.parts(of: path, count, number: Self.whole("split.no", of: first, below: count))
      for (number, path) in paths.enumerated().dropFirst() {
        files.append(try Self.part(path, number, of: count, first: paths[0]))
      }
    }
    try self.init(files)
    guard count > 1 else { return }
    let (total, promised) = (homes.count, first.values["split.tensors.count"])
    guard promised?.int == total else {
      let text = promised?.int.map(String.init) ?? (promised == nil ? "missing" : "no whole number")
      throw Self.refuse(path, "\(total) tensors in all parts with split.tensors.count \(text)", "as many as it says")
    }
  }

  /// A model that is whole in one file.
  public init(_ file: GGUFFile) throws(WeightError) { try self.init([file]) }

  private init(_ files: [GGUFFile]) throws(WeightError) {
    var homes: [ExactString: Int] = [:]
    for (number, file) in files.enumerated() {
      for entry in file.entries {
        if let other = homes.updateValue(number, forKey: ExactString(entry.name)) {
          throw WeightError(
            .index, file.file.path, tensor: entry.name, found: "the same tensor in \(files[other].file.path)",
            expected: "each tensor in one part", fix: "Fetch all parts of one revision of the model again.")
        }
      }
    }
    self.files = files
    self.homes = homes
  }

  /// Of the first part.
  public var path: String { files[0].file.path }
  /// The metadata of the model: those of the first part.
  public var values: GGUFMetadata { files[0].values }
  /// All tensors, part by part in the order of their bytes.
  public var entries: [TensorEntry] { files.flatMap(\.entries) }
  public func entry(_ name: String) -> TensorEntry? { home(name)?.entry(name) }

  /// A tensor as float32, as `TensorFile.tensor`.
  public func tensor(_ name: String) throws(WeightError) -> Tensor { try (home(name) ?? files[0]).tensor(name) }
  /// A matrix of plain floats, as `TensorFile.weight`.
  public func weight(_ name: String) throws(WeightError) -> Weight { try (home(name) ?? files[0]).weight(name) }
  /// A matrix in blocks, as `TensorFile.blocks`.
  public func blocks(_ name: String) throws(WeightError) -> BlockWeight { try (home(name) ?? files[0]).blocks(name) }

  private func home(_ name: String) -> GGUFFile? { homes[ExactString(name)].map { files[$0] } }

  // MARK: Parts

  /// A whole number of the metadata; nil where the key is absent.
  private static func whole(_ key: String, of file: GGUFFile, below end: Int) throws(WeightError) -> Int? {
    guard let value = file.values[key] else { return nil }
    guard let number = value.int, (0..<end).contains(number) else {
      let found = value.int.map { "\(key) \($0)" } ?? "another value than a whole number under \(key)"
      throw refuse(file.file.path, found, "a number below \(end)")
    }
    return number
  }

  /// The paths of all parts, by the name of the first one.
  private static func parts(of path: String, _ count: Int, number: Int?) throws(WeightError) -> [String] {
    func ending(_ number: Int) -> String { "-\(fiveDigits(number + 1))-of-\(fiveDigits(count))\(Self.ending)" }
    let place = number.map { "part \($0 + 1) of \(count)" } ?? "a part of \(count) without split.no"
    let own = number ?? 0
    guard path.utf8.count > ending(own).utf8.count, path.hasSuffix(ending(own)) else {
      throw refuse(
        path, "\(place) under this name", "a name that ends in `\(ending(own))`, as the parts are found by name")
    }
    let stem = path.dropLast(ending(own).count)
    guard number == 0 else {
      let first = FileName.split(stem + ending(0)).name
      throw refuse(path, place, "the first part, `\(first)`", fix: "Give that file: the others are found by it.")
    }
    return (0..<count).map { stem + ending($0) }
  }

  private static func part(
    _ path: String, _ number: Int, of count: Int, first: String
  ) throws(WeightError) -> GGUFFile {
    let file: GGUFFile
    do {
      file = try GGUFFile(path: path)
    } catch  where error.kind == .missingFile {
      throw WeightError(
        .missingFile, path, found: "nothing", expected: "part \(number + 1) of \(count) beside \(first)",
        fix: "The download is incomplete: fetch this file too.")
    }
    let (own, all) = (
      try whole("split.no", of: file, below: 100_000), try whole("split.count", of: file, below: 100_000)
    )
    guard own == number, all == count else {
      let found = "split.no \(own.map(String.init) ?? "missing") and split.count \(all.map(String.init) ?? "missing")"
      throw refuse(path, found, "\(number) and \(count), as its name says")
    }
    return file
  }

  private static func fiveDigits(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
  }

  private static func refuse(
    _ path: String, _ found: String, _ expected: String,
    fix: String = "Fetch all parts of one revision of the model again, and leave their names."
  ) -> WeightError {
    WeightError(.index, path, found: found, expected: expected, fix: fix)
  }
}
