import CVTokImage
import VTokFiles
import VTokLibC

/// Why a picture could not be read or written.
public struct ImageError: OneLineError, Equatable {
  public enum Kind: String, Sendable {
    /// The file cannot be opened or read: missing, a folder, a pipe, no permission.
    case unreadable
    /// The content is no PNG, JPEG or WebP image, or a flavour of them that is not read, such as animated WebP.
    case unsupportedFormat = "unsupported-format"
    /// The content is damaged, cut or empty.
    case corrupt
    /// The picture or the file is above a limit. No memory was taken for it.
    case tooLarge = "too-large"
    /// Frames that are no video: none, without numbers, or of several sizes.
    case frames
    case outOfMemory = "out-of-memory"
    /// The machine could not read it: no file handles, a broken disk. It says nothing about the picture.
    case machine

    /// Whether the fault is the machine's, and not the picture's.
    public var isOfMachine: Bool { self == .outOfMemory || self == .machine }
  }

  public let kind: Kind
  /// What is wrong, what was found and what was expected, with the path where there is one. No full stop.
  public let message: String

  public init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  /// The error of a system call on `path`.
  package init(_ error: SystemError) {
    self.init(
      error.isOfMachine ? (error.code == ENOMEM ? .outOfMemory : .machine) : .unreadable,
      "\(printable(error.path)): cannot \(error.action): \(error.reason)")
  }

  /// This error if it is the picture's own, to be told in the picture's row. One of the machine is thrown: it ends the job,
  /// for the same picture would do on a better day.
  public func ofPicture() throws(ImageError) -> ImageError {
    if kind.isOfMachine { throw self }
    return self
  }

  /// The error of a failed call into the C target.
  init(_ status: vtok_image_status, format: ImageFormat) {
    let text = withUnsafeBytes(of: status.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    switch vtok_image_code(UInt32(status.code)) {
    case VTOK_IMAGE_UNSUPPORTED:
      self.init(.unsupportedFormat, "this kind of \(format.name) is not supported: \(text)")
    case VTOK_IMAGE_NO_MEMORY:
      self.init(.outOfMemory, "not enough memory for the \(format.name) file: \(text)")
    default:
      self.init(.corrupt, "the \(format.name) data is damaged or cut: \(text)")
    }
  }

  /// The same with the file's name before it.
  public func named(_ path: String) -> ImageError { ImageError(kind, "\(printable(path)): \(message)") }
}
