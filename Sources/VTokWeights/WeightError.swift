import VTokFiles

/// Why a checkpoint, or a tensor of it, cannot be used.
public struct WeightError: OneLineError, Equatable {
  public enum Kind: String, Sendable, CaseIterable {
    /// The file or folder is not there, or is not what it should be.
    case missingFile, notAFile, emptyFile, unreadableFile, notADirectory
    /// Weights in a format that is not read.
    case unsupportedFormat
    /// Weights that are changes to another model, and weights that stand for others by scales or codes.
    case adapter, quantised
    /// A configuration file is not JSON.
    case malformedJSON
    /// A file is longer, or stands for more objects, than its kind of file may (`ReadBudget`).
    case budget
    /// Safetensors and GGUF: a length or count of the header, its text, one of its entries, an element type, a byte range,
    /// bytes that belong to no tensor or to two.
    case headerLength, headerText, headerEntry, elementType, byteRange, coverage
    /// PyTorch: the zip archive, the pickle in it, bytes that are not those that were saved.
    case archive, pickle, checksum
    /// The index of a sharded checkpoint, or one part of several, contradicts the other files.
    case index
    /// A tensor is absent, has another shape, or elements of another type than the caller needs.
    case missingTensor, shape, unsuitableType
    /// A file could not be written.
    case write
  }

  public let kind: Kind
  /// Path of the file or folder at fault, or the name of an embedded model.
  public let file: String
  public let tensor: String?
  public let found: String
  public let expected: String
  public let fix: String

  init(_ kind: Kind, _ file: String, tensor: String? = nil, found: String, expected: String, fix: String) {
    self.kind = kind
    self.file = file
    self.tensor = tensor
    self.found = found
    self.expected = expected
    self.fix = fix
  }

  public var message: String {
    let subject = tensor.map { "\(file): tensor `\(shortened($0))`" } ?? file
    return "\(subject): found \(found), expected \(expected). \(fix)"
  }
}

/// How to fix what only a fault on the way can have done.
let damagedFile = "The file is damaged or its download stopped early: fetch it again."
