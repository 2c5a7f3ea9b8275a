/// A safetensors file: eight bytes with the length n of the header, n bytes of JSON, the tensors.
/// Opening checks the whole header and touches no tensor. The checks are those of the `safetensors` crate (0.4 and
/// later): the tensors must fill the rest of the file without holes and overlaps.
public struct Safetensors: TensorFile {
  public typealias Entry = TensorEntry

  /// Longest header read, in bytes, as in the official reader.
  public static let headerLimit = ReadBudget.tensorList.text

  public let file: MappedFile
  public let entries: [Entry]
  /// The strings under `__metadata__`.
  public let metadata: [String: String]
  private let index: [ExactString: Int]

  public init(path: String) throws(WeightError) {
    try self.init(MappedFile(path: path))
  }

  public init(_ file: MappedFile) throws(WeightError) {
    let path = file.path
    let header = try file.withBytes { bytes throws(WeightError) in try SafetensorsHeader(bytes, path: path) }
    self.file = file
    entries = header.entries
    metadata = header.metadata
    index = Dictionary(uniqueKeysWithValues: header.entries.enumerated().map { (ExactString($1.name), $0) })
  }

  public func entry(_ name: String) -> Entry? { index[ExactString(name)].map { entries[$0] } }
}
