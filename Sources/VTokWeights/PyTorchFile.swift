import Synchronization

/// Weights as `torch.save` writes them (`pytorch_model.bin`, `.pth`), read without running any code: a zip archive with a
/// pickle that describes the tensors and one file of elements for each storage, or the format before PyTorch 1.6, one
/// pickle after the other with the storages behind them. (`torch/serialization.py`.)
///
/// Names of nested dictionaries are joined by dots. Where the outer dictionary holds no tensor itself, as in files with
/// `{"model": weights, "optimizer": ...}`, the dictionary under `ema` is taken, else that under `state_dict` or `model`: where
/// there are averaged weights, they are those that were published.
public struct PyTorchFile: TensorFile {
  /// Endings of files that are taken for this format.
  public static let endings = [".bin", ".pth", ".pt", ".ckpt", ".th"]

  public let file: MappedFile
  public let entries: [TensorEntry]
  private let index: [ExactString: Int]
  private let storages: CheckedStorages

  public init(path: String) throws(WeightError) {
    try self.init(MappedFile(path: path))
  }

  public init(_ file: MappedFile) throws(WeightError) {
    self.file = file
    let path = file.path
    let parser = try file.withBytes { bytes throws(WeightError) in try PyTorchParser(bytes, path: path) }
    entries = parser.entries
    index = Dictionary(uniqueKeysWithValues: parser.entries.enumerated().map { (ExactString($1.name), $0) })
    storages = CheckedStorages(parser.checksums)
  }

  public func entry(_ name: String) -> TensorEntry? { index[ExactString(name)].map { entries[$0] } }

  /// Compares the checksum that the archive has for the tensor's storage, once for each storage.
  public func verify(_ entry: TensorEntry) throws(WeightError) {
    guard !entry.range.isEmpty, let storage = storages.unchecked(entry.range) else { return }
    let sum = file.withBytes { crc32(UnsafeRawBufferPointer(rebasing: $0[storage.range])) }
    guard sum == storage.checksum else {
      throw WeightError(
        .checksum, file.path, tensor: entry.name, found: "bytes with another checksum than the archive says",
        expected: "the bytes that were saved", fix: damagedFile)
    }
    storages.passed(storage.range)
  }
}

/// Storages of an archive with their checksums, and which of them are known to be right.
private final class CheckedStorages: Sendable {
  private let storages: [ZipDirectory.Entry]  // by place
  private let passed = Mutex<Set<Int>>([])

  init(_ storages: [ZipDirectory.Entry]) { self.storages = storages }

  /// The storage that holds a range of the file, unless it was found right before.
  func unchecked(_ range: Range<Int>) -> ZipDirectory.Entry? {
    var (low, high) = (0, storages.count)
    while low < high {
      let middle = (low + high) / 2
      if storages[middle].range.upperBound < range.upperBound { low = middle + 1 } else { high = middle }
    }
    guard low < storages.count, storages[low].range.lowerBound <= range.lowerBound,
      passed.withLock({ !$0.contains(storages[low].range.lowerBound) })
    else { return nil }
    return storages[low]
  }

  func passed(_ range: Range<Int>) { passed.withLock { _ = $0.insert(range.lowerBound) } }
}

/// From the bytes of a file to its tensors.
private struct PyTorchParser {
  private(set) var entries: [TensorEntry] = []
  /// Storages of an archive by place.
  private(set) var checksums: [ZipDirectory.Entry] = []
  private let bytes: UnsafeRawBufferPointer, path: String

  init(_ bytes: UnsafeRawBufferPointer, path: String) throws(WeightError) {
    self.bytes = bytes
    self.path = path
    if bytes.starts(with: [0x50, 0x4B, 3, 4]) {
      try readArchive()
    } else if bytes.starts(with: Self.legacyMagic) {
      try readLegacy()
    } else {
      let isPointer = bytes.starts(with: "version https://git-lfs".utf8)
      throw WeightError(
        .unsupportedFormat, path, found: isPointer ? "a Git LFS pointer" : "a file that starts otherwise",
        expected: "a zip archive or a pickle of torch.save",
        fix: isPointer ? "Fetch the weights themselves with `git lfs pull` in that folder." : damagedFile)
    }
  }

  // MARK: Zip archive

  /// `NAME/data.pkl`, `NAME/data/KEY` for every storage, and little beside them.
  private mutating func readArchive() throws(WeightError) {
    let files = try ZipDirectory.entries(bytes, path: path)
    let pickles = files.filter { $0.name.hasSuffix("/data.pkl") }
    guard pickles.count == 1 else {
      throw damaged(.archive, "\(pickles.count) files data.pkl in the archive", "one, as torch.save writes it")
    }
    let folder = pickles[0].name.dropLast("data.pkl".count)
    let order = files.first { $0.name == folder + "byteorder" }
    if let order, !bytes[order.range].elementsEqual("little".utf8) {
      throw damaged(.unsupportedFormat, "big-endian numbers", "little-endian ones")
    }
    try ReadBudget.pickle.check(pickles[0].range.count, path)
    let text = UnsafeRawBufferPointer(rebasing: bytes[pickles[0].range])
    guard crc32(text) == pickles[0].checksum else {
      throw damaged(.checksum, "a data.pkl with another checksum than the archive says", "the bytes that were saved")
    }
    let prefix = folder + "data/"
    checksums = files.filter { $0.name.hasPrefix(prefix) }.sorted { $0.range.lowerBound < $1.range.lowerBound }
    let homes = Dictionary(checksums.map { ($0.name, $0.range) }) { first, _ in first }
    let pickle = try Pickle(text, path: path)
    try collect(pickle) { homes[prefix + $0] }
  }

  // MARK: Before PyTorch 1.6

  /// A pickle of the number 0x1950a86a20f9469cfc6c.
  private static let legacyMagic: [UInt8] = [
    0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E,
  ]

  /// Pickles of a magic number, the version, facts about the machine, the weights, and the order of the storages, which
  /// follow, each after its number of elements.
  private mutating func readLegacy() throws(WeightError) {
    let text = UnsafeRawBufferPointer(rebasing: bytes.prefix(ReadBudget.pickle.text))
    // The weights have the budget almost to themselves; the list of storages is a key for each of them.
    let little = ReadBudget.pickle.memory / 96
    let version = try Pickle(text, from: Self.legacyMagic.count, path: path, memory: little)
    guard case .integer(1001) = version.root else { throw damaged(.pickle, "another version of the format", "1001") }
    let machine = try Pickle(text, from: version.end, path: path, memory: little)
    for (key, value) in machine.dictionary(machine.root) ?? [] {
      if case .text("little_endian") = key, case .bool(false) = value {
        throw damaged(.unsupportedFormat, "big-endian numbers", "little-endian ones")
      }
    }
    let weights = try Pickle(text, from: machine.end, path: path)
    let order = try Pickle(text, from: weights.end, path: path, memory: 32 * little)
    let types = Dictionary(weights.storages.map { ($0.key, $0.type) }) { first, _ in first }
    var homes: [String: Range<Int>] = [:]
    var at = order.end
    for case .text(let key) in order.list(order.root) ?? [] {
      guard let type = types[key], at <= bytes.count - 8,
        let count = Int(exactly: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)),
        case let rest = bytes.count - at - 8, count <= rest / type.size
      else { throw damaged(.pickle, "a storage `\(shortened(key))` that does not end within the file", "a whole file") }
      homes[key] = at + 8..<at + 8 + count * type.size
      at += 8 + count * type.size
    }
    try collect(weights) { homes[$0] }
  }

  // MARK: Tensors

  /// - Parameter home: where the elements of a storage lie.
  private mutating func collect(_ pickle: Pickle, home: (String) -> Range<Int>?) throws(WeightError) {
    guard var root = pickle.dictionary(pickle.root) else {
      throw damaged(.pickle, "a pickle of no dictionary", "a state dict: tensors by name")
    }
    let wrapped = ["ema", "state_dict", "model"].lazy.compactMap { name in
      root.last { if case .text(name) = $0.key { true } else { false } }.flatMap { pickle.dictionary($0.value) }
    }.first
    if let wrapped, !root.contains(where: { if case .tensor = $0.value { true } else { false } }) { root = wrapped }
    // Depth first by a list of its own: a hostile file may nest without end, or refer back to where it came from.
    var waiting = [(prefix: "", members: root[...])]
    var places: [String: Int] = [:]
    var visited = 0
    while let last = waiting.indices.last {
      guard let (key, value) = waiting[last].members.popFirst() else {
        waiting.removeLast()
        continue
      }
      let prefix = waiting[last].prefix
      visited += 1
      guard visited <= ReadBudget.pickledTensors, waiting.count <= 16 else {
        throw damaged(.pickle, "dictionaries nested without end", "up to \(ReadBudget.pickledTensors) entries, 16 deep")
      }
      let name: String
      switch key {
      case .text(let text): name = prefix + text
      case .integer(let number): name = prefix + "\(number)"
      default: continue
      }
      if let inner = pickle.dictionary(value) {
        waiting.append((name + ".", inner[...]))
      } else if case .tensor(let index) = value {
        let tensor = pickle.tensors[index]
        let entry = try entry(name, tensor, pickle.storages[tensor.storage], home: home)
        if let place = places.updateValue(entries.count, forKey: name) {  // as in Python, the later one counts
          entries[place] = entry
          places[name] = place
        } else {
          entries.append(entry)
        }
      }
    }
    entries.sort { ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound) }
  }

  private func entry(
    _ name: String, _ tensor: Pickle.StoredTensor, _ storage: Pickle.Storage, home: (String) -> Range<Int>?
  ) throws(WeightError) -> TensorEntry {
    func refuse(_ found: String, _ expected: String) -> WeightError {
      WeightError(.byteRange, path, tensor: name, found: found, expected: expected, fix: damagedFile)
    }
    let size = storage.type.size
    guard let home = home(storage.key), storage.count <= home.count / size else {
      throw refuse("no \(storage.count) elements in the storage `\(shortened(storage.key))`", "them there")
    }
    guard tensor.shape.allSatisfy({ $0 >= 0 }), tensor.strides.allSatisfy({ $0 >= 0 }), tensor.offset >= 0 else {
      throw refuse("shape \(tensor.shape), strides \(tensor.strides)", "sizes of 0 or more")
    }
    func entry(_ range: Range<Int>, strides: [Int]? = nil) -> TensorEntry {
      TensorEntry(
        name: name, type: storage.type, shape: tensor.shape,
        range: home.lowerBound + range.lowerBound * size..<home.lowerBound + range.upperBound * size, strides: strides,
        file: path)
    }
    if tensor.shape.contains(0) { return entry(0..<0) }
    var (count, last, isOrdered) = (1, tensor.offset, true)
    for (length, stride) in zip(tensor.shape, tensor.strides).reversed() {
      if length > 1, stride != count { isOrdered = false }
      let (product, overflow) = count.multipliedReportingOverflow(by: length)
      let (reach, far) = (length - 1).multipliedReportingOverflow(by: stride)
      let (end, farther) = last.addingReportingOverflow(reach)
      // A view that repeats elements could be of any size; no weights are saved like that.
      guard !overflow, !far, !farther, product <= storage.count, end < storage.count else {
        throw refuse(
          "shape \(tensor.shape), strides \(tensor.strides), offset \(tensor.offset)",
          "elements within the \(storage.count) of the storage")
      }
      (count, last) = (product, end)
    }
    guard last < storage.count else {
      throw refuse("offset \(tensor.offset)", "one below the \(storage.count) elements of the storage")
    }
    return entry(tensor.offset..<last + 1, strides: isOrdered ? nil : tensor.strides)
  }

  private func damaged(_ kind: WeightError.Kind, _ found: String, _ expected: String) -> WeightError {
    WeightError(kind, path, found: found, expected: expected, fix: damagedFile)
  }
}
