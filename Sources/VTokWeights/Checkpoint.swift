import Synchronization
import VTokTensor

/// A model as published: its configuration and its tensors, asked for by path and expected shape.
/// ```swift
/// let checkpoint = try Checkpoint(directory: "dinov2-small")
/// let block = checkpoint["blocks"][3]
/// let qkv = try block.weight("attn.qkv.weight", [3 * c, c])  // blocks.3.attn.qkv.weight
/// ```
/// A view below a prefix is a `Checkpoint` too; all views of one checkpoint share its files and its record of which
/// tensors were asked for. Opening maps the files and checks their headers; it reads no weights.
public struct Checkpoint: Sendable {
  let store: CheckpointStore
  private let names: TensorNames
  /// Prepended, with a dot, to every name asked for; empty at the root.
  public let prefix: String
  /// Of the products with the layers that are loaded from this view; what must stay exact is loaded from `at(.f32)`.
  public private(set) var precision = Precision.f32

  /// Opens a folder as downloaded: `config.json`, and `model.safetensors`, or `model.safetensors.index.json` with its
  /// shards, or one other `*.safetensors`; else the same of PyTorch (`pytorch_model.bin`, its index, one `*.pth`).
  /// - Parameter standIn: what counts where the folder has no `config.json`; nil: that is an error.
  public init(directory: String, config standIn: JSON? = nil) throws(WeightError) {
    let files = try CheckpointFiles(directory: directory)
    let path = directory + "/config.json"
    let config: JSON
    if let standIn {
      config = try JSON.ifPresent(path) ?? standIn
    } else {
      config = try JSON(contentsOf: path)
    }
    self.init(CheckpointStore(name: directory, directory: directory, config: config, files: files))
  }

  /// Opens a folder whose weights lie in files of these names.
  /// - Parameter standIn: what counts where the folder has no `config.json`.
  /// - Returns: nil where the folder does not hold the main file.
  public init?(directory: String, parts: WeightParts, config standIn: JSON) throws(WeightError) {
    guard let files = try CheckpointFiles(directory: directory, parts: parts) else { return nil }
    let config = try JSON.ifPresent(directory + "/config.json") ?? standIn
    self.init(CheckpointStore(name: directory, directory: directory, config: config, files: files))
  }

  /// A checkpoint in memory that is never freed (compiled into the program). Weights are not copied.
  /// - Parameter name: stands for the path in messages.
  public init(
    name: String, config: UnsafeRawBufferPointer, weights: UnsafeRawBufferPointer
  ) throws(WeightError) {
    let files = try CheckpointFiles(Safetensors(MappedFile(memory: weights, name: name)))
    let config = try JSON(config, of: name, dialect: .python, budget: .settings)
    self.init(CheckpointStore(name: name, directory: nil, config: config, files: files))
  }

  /// One weight file without a folder around it, safetensors or by its ending PyTorch, and what is known about it.
  public init(file path: String, config: JSON = [:]) throws(WeightError) {
    let files = try CheckpointFiles(CheckpointFiles.open(path))
    self.init(CheckpointStore(name: path, directory: nil, config: config, files: files))
  }

  /// Files that hold all of a model, whose tensors have other names and other forms than those that it asks for.
  /// - Parameters:
  ///   - documents: what would stand in JSON files of a folder, by their names.
  ///   - names: from those in the files to those asked for.
  ///   - made: tensors that are asked for and made of others, by the names asked for.
  ///   - placeholder: the token that stands for an image.
  package init(
    name: String, _ files: [any TensorFile], config: JSON, documents: [String: JSON], names: [String: String],
    made: [String: MadeTensor], vocabulary: GGUFVocabulary?, placeholder: String?, precision: Precision
  ) throws(WeightError) {
    let store = CheckpointStore(
      name: name, directory: nil, config: config, files: try CheckpointFiles(files), documents: documents,
      vocabulary: vocabulary, placeholder: placeholder)
    self.init(
      store, TensorNames(store.entries.map { names[$0.name] ?? $0.name }, made: made, published: names), prefix: "",
      precision)
  }

  private init(_ store: CheckpointStore) {
    self.init(store, TensorNames(store.entries.map(\.name)), prefix: "")
  }

  private init(_ store: CheckpointStore, _ names: TensorNames, prefix: String, _ precision: Precision = .f32) {
    self.store = store
    self.names = names
    self.prefix = prefix
    self.precision = precision
  }

  /// The folder as given, or the name of an embedded model.
  public var name: String { store.name }
  /// `config.json`. Non-finite numbers as Python writes them are read.
  public var config: JSON { store.config }
  /// The weight files, in the order of their first mention.
  public var files: [MappedFile] { store.files.shards.map(\.file) }
  /// The strings under `__metadata__` of all files; of equal keys the first file's.
  public var metadata: [String: String] {
    store.files.shards.reduce(into: [:]) { all, shard in all.merge(shard.metadata) { first, _ in first } }
  }

  /// Another JSON file of the folder (`preprocessor_config.json`), nil if there is none.
  public func json(_ file: String) throws(WeightError) -> JSON? {
    precondition(isPlainName(file), "\(file) is no file name")
    if file == "config.json" { return config }
    store.note(file)
    if store.named[file] == nil, let document = store.documents[file] { return document }
    return try path(file).flatMap { path throws(WeightError) in try JSON.ifPresent(path) }
  }

  /// Another text file of the folder, nil if there is none.
  public func text(_ file: String) throws(WeightError) -> String? {
    guard let path = path(file) else { return nil }
    if file != "config.json" { store.note(file) }
    do {
      return try MappedFile(path: path).withBytes { bytes throws(WeightError) in
        try ReadBudget.named(file).check(bytes.count, path)
        return String(decoding: bytes, as: UTF8.self)
      }
    } catch  where error.kind == .missingFile {
      return nil
    }
  }

  /// SHA-256 of what a model has been made of beside its weights: `config.json` and every file that was asked for, those
  /// that are not there included. A job that goes on compares it.
  public func settingsSHA256() throws(WeightError) -> String {
    var text = store.directory == nil ? config.text() : ""
    for file in ["config.json"] + store.settings.withLock({ $0.sorted() }) {
      text += file + "\0" + (try self.text(file) ?? "\0") + "\0"
    }
    return SHA256.of(text.utf8)
  }

  /// The tokens that a GGUF file has with its weights; nil for other checkpoints.
  public var vocabulary: GGUFVocabulary? { store.vocabulary }
  /// The token that stands for an image, where the files do not say it.
  var placeholder: String? { store.placeholder }

  /// Path of a file of the folder, whether it is there or not; nil for an embedded model.
  public func path(_ file: String) -> String? { store.named[file] ?? store.directory.map { $0 + "/" + file } }

  /// The same checkpoint with a JSON file that a user names in place of some of the folder's.
  /// - Throws: `WeightError` for one that cannot be read.
  package func replacing(_ files: [String], by path: String) throws(WeightError) -> Checkpoint {
    _ = try JSON(contentsOf: path)
    let named = Dictionary(uniqueKeysWithValues: files.map { ($0, path) })
    return Checkpoint(store.with(named), names, prefix: prefix, precision)
  }

  /// What a user named in place of a file of the folder.
  package func named(for file: String) -> String? { store.named[file] }

  // MARK: Views

  /// The view below `prefix.name`.
  public subscript(name: String) -> Checkpoint { Checkpoint(store, names, prefix: full(name), precision) }
  /// The view below `prefix.index`: a block of a list.
  public subscript(index: Int) -> Checkpoint { self["\(index)"] }

  /// The same tensors under other names, for families whose files were published with several. Messages and lists keep
  /// the names of the files.
  /// - Parameter rename: from the name in the file, or in this view, to the one asked for. Of two tensors that get the same name, the
  ///   second cannot be asked for.
  public func renamed(_ rename: (String) -> String) -> Checkpoint {
    Checkpoint(store, names.renamed(rename), prefix: prefix, precision)
  }

  /// The same view, whose layers are loaded for products of this precision.
  public func at(_ precision: Precision) -> Checkpoint { Checkpoint(store, names, prefix: prefix, precision) }

  /// `name` below this view's prefix.
  public func full(_ name: String) -> String { prefix.isEmpty ? name : prefix + "." + name }

  /// Number of elements 0, 1, 2, ... of the list `name`: `count("blocks")` is the depth of a timm ViT.
  public func count(_ name: String) -> Int {
    let list = full(name) + "."
    var present: Set<Int> = []
    for name in names.all where name.hasPrefix(list) {
      if let index = Int(name.dropFirst(list.count).prefix { $0 != "." }) { present.insert(index) }
    }
    return (0...present.count).first { !present.contains($0) } ?? 0
  }

  // MARK: Tensors

  public func has(_ name: String) -> Bool { shape(name) != nil }

  /// Sizes of the axes of a tensor, nil if it is absent. Does not count as asking for it.
  public func shape(_ name: String) -> [Int]? {
    if let made = made(name) { return made.shape(of: made.parts.compactMap(store.entry(_:))) }
    return entry(name)?.shape
  }

  func made(_ name: String) -> MadeTensor? { names.made[ExactString(full(name))] }

  private func entry(_ name: String) -> TensorEntry? { names.index(of: full(name)).map { store.entries[$0] } }

  /// A matrix as stored, in its own precision; `shape` may have more axes, then the result is `[shape[0], rest]`.
  /// nil in `shape` stands for any size but 0.
  public func weight(_ name: String, _ shape: [Int?]) throws(WeightError) -> Weight {
    if let made = made(name) { return try weight(made, name, shape) }
    let (shard, entry) = try find(name, shape)
    return try shard.weight(entry, rounding: precision == .file)
  }

  /// A tensor as float32.
  public func tensor(_ name: String, _ shape: [Int?]) throws(WeightError) -> Tensor {
    if let made = made(name) { return try tensor(made, name, shape) }
    let (shard, entry) = try find(name, shape)
    return try shard.tensor(entry.name)
  }

  /// A tensor of one axis as float32.
  public func vector(_ name: String, _ shape: [Int?]) throws(WeightError) -> [Float] {
    precondition(shape.count == 1, "a vector has one axis")
    return try tensor(name, shape).values
  }

  /// A single number, stored with the shape [] or [1].
  public func scalar(_ name: String) throws(WeightError) -> Float {
    try tensor(name, shape(name) == [1] ? [1] : []).values[0]
  }

  /// An integer or boolean tensor, row-major.
  public func integers(_ name: String, _ shape: [Int?]) throws(WeightError) -> [Int64] {
    let (shard, entry) = try find(name, shape)
    return try shard.integers(entry.name)
  }

  public func weightIfPresent(_ name: String, _ shape: [Int?]) throws(WeightError) -> Weight? {
    has(name) ? try weight(name, shape) : nil
  }
  public func vectorIfPresent(_ name: String, _ shape: [Int?]) throws(WeightError) -> [Float]? {
    has(name) ? try vector(name, shape) : nil
  }

  // MARK: Lists

  /// The tensors below this view, file by file in the order of their bytes.
  public var tensors: [TensorEntry] {
    prefix.isEmpty
      ? store.entries : zip(store.entries, names.all).filter { $1.hasPrefix(prefix + ".") }.map { entry, _ in entry }
  }

  /// Names that published files carry and no model needs: index buffers, and mask tokens of pre-training.
  public static let needless = ["*.position_ids", "*.mask_token"]

  /// The tensors below this view that nobody has asked for: with all of a model loaded, those it does not know.
  /// - Parameter ignored: patterns of names to leave out; `*` stands for any text, a leading `*.` also for none.
  public func unusedNames(ignoring ignored: [String] = needless) -> [String] {
    let asked = store.asked.withLock { $0 }
    return tensors.map(\.name).filter { name in
      !asked.contains(ExactString(name)) && !ignored.contains { matches(name, $0) || matches("." + name, $0) }
    }
  }

  private func find(_ name: String, _ expected: [Int?]) throws(WeightError) -> (any TensorFile, TensorEntry) {
    guard let entry = entry(name), let shard = store.shard(of: entry) else {
      let published = names.published(full(name), store.entries)
      throw WeightError(
        .missingTensor, store.name, tensor: published, found: "no such tensor among \(store.entries.count)",
        expected: "shape \(Self.text(expected))", fix: similarNames(published, in: store.entries.lazy.map(\.name)))
    }
    store.asked.withLock { _ = $0.insert(ExactString(entry.name)) }
    try check(entry.shape, expected, of: entry)
    return (shard, entry)
  }

  /// Refuses a shape that is not the expected one.
  func check(_ shape: [Int], _ expected: [Int?], of entry: TensorEntry) throws(WeightError) {
    let fits =
      shape.count == expected.count
      && zip(shape, expected).allSatisfy { size, wanted in wanted.map { $0 == size } ?? (size > 0) }
    guard fits else {
      throw WeightError(
        .shape, entry.file, tensor: entry.name, found: "shape \(Self.text(shape))", expected: Self.text(expected),
        fix: store.files.shards.first is GGUFFile
          ? "The weights are not those of the model that the keys of the file describe: fetch it again."
          : "The weights are not those of the model in config.json: fetch both from one revision.")
    }
  }

  static func text(_ shape: [Int?]) -> String {
    "[\(shape.map { $0.map(String.init) ?? "any" }.joined(separator: ", "))]"
  }
}

/// What all views of a checkpoint share.
final class CheckpointStore: Sendable {
  let name: String
  let directory: String?
  let config: JSON
  let files: CheckpointFiles
  let entries: [TensorEntry]
  /// What stands in for JSON files of a folder.
  let documents: [String: JSON]
  /// The tokens that a GGUF file has with its weights.
  let vocabulary: GGUFVocabulary?
  let placeholder: String?
  /// Paths of the files that a user named, by the names of those that they replace.
  let named: [String: String]
  let asked = Mutex<Set<ExactString>>([])
  /// Names of the files beside the weights that were asked for.
  let settings = Mutex<Set<String>>([])

  init(
    name: String, directory: String?, config: JSON, files: CheckpointFiles, documents: [String: JSON] = [:],
    vocabulary: GGUFVocabulary? = nil, placeholder: String? = nil, named: [String: String] = [:]
  ) {
    self.name = name
    self.directory = directory
    self.config = config
    self.files = files
    self.documents = documents
    self.vocabulary = vocabulary
    self.placeholder = placeholder
    self.named = named
    entries = files.shards.flatMap(\.entries)
  }

  func with(_ named: [String: String]) -> CheckpointStore {
    CheckpointStore(
      name: name, directory: directory, config: config, files: files, documents: documents, vocabulary: vocabulary,
      placeholder: placeholder, named: named)
  }

  func note(_ file: String) { settings.withLock { _ = $0.insert(file) } }

  func shard(of entry: TensorEntry) -> (any TensorFile)? {
    files.home[ExactString(entry.name)].map { files.shards[$0] }
  }

  /// A tensor by its name in the files.
  func entry(_ name: String) -> TensorEntry? {
    files.home[ExactString(name)].flatMap { files.shards[$0].entry(name) }
  }
}

/// The names that tensors are asked for by, in the order of the entries.
private struct TensorNames: Sendable {
  let all: [String]
  let made: [ExactString: MadeTensor]
  private let indices: [ExactString: Int]
  /// From a name that is asked for to the one in a file, where the file follows another scheme.
  private let spelled: [ExactString: String]

  /// - Parameter published: from names in the files to those asked for.
  init(_ all: [String], made: [String: MadeTensor] = [:], published: [String: String] = [:]) {
    self.init(
      all, made: Dictionary(uniqueKeysWithValues: made.map { (ExactString($0), $1) }),
      spelled: Dictionary(published.map { (ExactString($1), $0) }) { first, _ in first })
  }

  private init(_ all: [String], made: [ExactString: MadeTensor], spelled: [ExactString: String]) {
    self.all = all
    self.made = made
    self.spelled = spelled
    indices = Dictionary(all.enumerated().map { (ExactString($1), $0) }) { first, _ in first }
  }

  func renamed(_ rename: (String) -> String) -> TensorNames {
    func renamed<Value>(_ table: [ExactString: Value]) -> [ExactString: Value] {
      Dictionary(table.map { (ExactString(rename($0.string)), $1) }) { first, _ in first }
    }
    return TensorNames(all.map(rename), made: renamed(made), spelled: renamed(spelled))
  }

  func index(of name: String) -> Int? { indices[ExactString(name)] }

  /// The name that an absent tensor would have in the file, after the example of a neighbour: what the two names of the
  /// neighbour have in common at their end is left, what stands before is exchanged.
  func published(_ name: String, _ entries: [TensorEntry]) -> String {
    if let spelled = spelled[ExactString(name)] { return spelled }
    let parts = name.split(separator: ".")
    for (known, entry) in zip(all, entries) where known != entry.name {
      let (own, file) = (known.split(separator: "."), entry.name.split(separator: "."))
      let common = zip(own.reversed(), file.reversed()).prefix { $0 == $1 }.count
      let head = own.dropLast(common)
      if !head.isEmpty, parts.starts(with: head) {
        return (file.dropLast(common) + parts.dropFirst(head.count)).joined(separator: ".")
      }
    }
    return name
  }
}

/// Whether `name` is `pattern`, in which each `*` stands for any text.
func matches(_ name: String, _ pattern: String) -> Bool {
  let parts = pattern.split(separator: "*", omittingEmptySubsequences: false).map(String.init)
  guard parts.count > 1 else { return name == pattern }
  guard name.hasPrefix(parts[0]) else { return false }
  var rest = name.dropFirst(parts[0].count)
  for part in parts.dropFirst().dropLast() where !part.isEmpty {
    guard let found = rest.firstRange(of: part) else { return false }
    rest = rest[found.upperBound...]
  }
  return rest.hasSuffix(parts[parts.count - 1])
}
