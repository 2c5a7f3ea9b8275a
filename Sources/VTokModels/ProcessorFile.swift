import VTokWeights

/// The values of an image processor as a folder keeps them, and where in the folder they stand. The only reader of
/// processor files: which of several counts is decided here.
public struct ProcessorFile: Sendable {
  let values: Config
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
    let (new, old) = ("processor_config.json", "preprocessor_config.json")
    if let nested = try Self.whole(new, read)?.sectionIfPresent("image_processor") {
      values = nested
    } else if let whole = try Self.whole(old, read) {
      values = whole
    } else {
      return nil
    }
  }

  private static func whole(_ file: String, _ read: (String) throws -> JSON?) throws -> Config? {
    guard let json = try read(file) else { return nil }
    guard json.object != nil else {
      throw ModelError.configuration(file: file, key: "the whole file", found: json.brief, expected: "an object")
    }
    return Config(json: json, file: file)
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
  /// The image processor of the folder, nil where it has none.
  public var processorFile: ProcessorFile? { get throws { try ProcessorFile { try json($0) } } }
}
