/// The files of a checkpoint that is published in several, without an index that says so.
public struct WeightParts: Sendable, Equatable {
  /// A file that may lie beside the main one.
  public struct Part: Sendable, Equatable {
    public let file: String
    /// What its tensors are asked for by begins with this and a dot.
    public let prefix: String

    public init(file: String, prefix: String) { (self.file, self.prefix) = (file, prefix) }
  }

  /// The file that makes a folder one of these. Of a tensor that another file has too, this one's counts.
  public let main: String
  public let others: [Part]

  public init(main: String, others: [Part]) { (self.main, self.others) = (main, others) }
}

/// A file whose tensors have a prefix in front of their names.
struct PrefixedFile: TensorFile {
  private let base: any TensorFile
  let entries: [TensorEntry]
  private let index: [ExactString: Int]

  /// - Parameter isHidden: tensors by their new names that are left out.
  init(_ base: any TensorFile, prefix: String, isHidden: (String) -> Bool) {
    self.base = base
    entries = base.entries.map { entry in
      TensorEntry(
        name: prefix + "." + entry.name, type: entry.type, shape: entry.shape, range: entry.range,
        strides: entry.strides, file: entry.file)
    }.filter { !isHidden($0.name) }
    index = Dictionary(uniqueKeysWithValues: entries.enumerated().map { (ExactString($1.name), $0) })
  }

  var file: MappedFile { base.file }
  var metadata: [String: String] { base.metadata }
  func entry(_ name: String) -> TensorEntry? { index[ExactString(name)].map { entries[$0] } }
  func verify(_ entry: TensorEntry) throws(WeightError) { try base.verify(entry) }
}
