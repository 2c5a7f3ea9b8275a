import VTokWeights

/// The values of an image processor as a folder keeps them, and where in the folder they stand. The only reader of
/// processor files: which of several counts is decided here.
public struct ProcessorFile: Sendable {
  /// Names of the files that may hold one, the one that counts first.
  package static let names = ["processor_config.json", "preprocessor_config.json"]

  let values: Config
  /// The same for videos, where files tell them apart; a `preprocessor_config.json` alone holds for both.
  private(set) var videos: Config?
  /// Whether a user named the file: it then counts before anything that the model's own files say.
  var isNamed = false
  /// An object.
  public var json: JSON { values.json }
  /// The file that the values stand in.
  public var file: String { values.file }

  /// Values that stand at the top of a `preprocessor_config.json`.
  public init(_ json: JSON) { values = Config(json: json, file: "preprocessor_config.json") }

  /// The one that counts. Today's transformers nests the values in `processor_config.json`; a `preprocessor_config.json`
  /// beside it is then left over from older files. A `processor_config.json` that has no `image_processor` says nothing
  /// about pixels.
  /// - Parameter read: a JSON file of the folder by its name; nil where there is none.
  /// - Returns: nil where the folder has neither.
  /// - Throws: `ModelError` for values that are no object, and what `read` throws.
  public init?(read: (String) throws -> JSON?) throws {
    guard let found = try Self.values(read, title: { $0 }) else { return nil }
    values = found
    videos = try Self.videos(read, title: { $0 })
  }

  /// One file that a user names, in the form of either.
  package init(named path: String) throws {
    values = try Self.values({ _ in try JSON(contentsOf: path) }, title: { _ in path })!  // the second holds anything
    videos = try Self.whole(Self.names[0], { _ in try JSON(contentsOf: path) }) { _ in path }?
      .sectionIfPresent("video_processor")
    isNamed = true
  }

  /// - Parameter title: what messages call a file.
  private static func values(_ read: (String) throws -> JSON?, title: (String) -> String) throws -> Config? {
    try whole(names[0], read, title)?.sectionIfPresent("image_processor") ?? whole(names[1], read, title)
  }

  private static func videos(_ read: (String) throws -> JSON?, title: (String) -> String) throws -> Config? {
    try whole(names[0], read, title)?.sectionIfPresent("video_processor")
      ?? whole("video_preprocessor_config.json", read, title)
  }

  private static func whole(
    _ file: String, _ read: (String) throws -> JSON?, _ title: (String) -> String
  ) throws -> Config? {
    guard let json = try read(file) else { return nil }
    guard json.object != nil else {
      throw ModelError.configuration(file: title(file), key: "the whole file", found: json.brief, expected: "an object")
    }
    return Config(json: json, file: title(file))
  }

  /// Name of the official processor; nil where the file gives none. The name of its backend is left out: it changes nothing
  /// but rounding.
  func type() throws(ModelError) -> String? {
    let named = try values.string("image_processor_type")
    let type = try named == nil ? values.string("feature_extractor_type") : named
    guard let type, let backend = ["Fast", "Pil"].first(where: type.hasSuffix) else { return type }
    return String(type.dropLast(backend.count))
  }

  /// The one that counts in a folder, whether its weights are there or not.
  package init?(directory: String) throws { try self.init { try JSON.ifPresent(directory + "/" + $0) } }
}

extension Checkpoint {
  /// The image processor of the folder, or the one that a user named; nil where there is none.
  public var processorFile: ProcessorFile? {
    get throws {
      if let path = named(for: ProcessorFile.names[0]) {
        for name in ProcessorFile.names { _ = try json(name) }  // it counts among the settings
        return try ProcessorFile(named: path)
      }
      return try ProcessorFile { try json($0) }
    }
  }

  /// The same checkpoint with another file that says how images are prepared: a `processor_config.json`, a
  /// `preprocessor_config.json`, or a timm `config.json` with its `pretrained_cfg`.
  /// - Throws: `WeightError` for one that cannot be read.
  public func preparing(by path: String) throws(WeightError) -> Checkpoint {
    try replacing(ProcessorFile.names, by: path)
  }
}
