import CVTokImage
import VTokFiles
import VTokLibC

/// Largest file that is read, in bytes.
let maxFileBytes = 1 << 30

/// A picture's file as it was read: its bytes, not yet decoded.
public struct ImageFile: Sendable {
  public let path: String
  public let bytes: [UInt8]
  /// What the system said about the file, or the archive that holds it, before it was read.
  public let info: FileInfo

  /// Reads a regular file. A pipe or device does not block.
  /// - Throws: ``ImageError`` `unreadable`, `tooLarge`, or one of the machine, with the path in its message.
  public init(path: String) throws(ImageError) {
    // O_NONBLOCK, because opening a pipe waits for its writer otherwise. It means nothing for regular files.
    let file = withSystemPath(path) { open($0, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY) }
    guard file >= 0 else { throw ImageError(SystemError("read the file", path, code: errno)) }
    defer { close(file) }
    do throws(SystemError) { info = try FileInfo(descriptor: file, path: path) } catch { throw ImageError(error) }
    switch info.kind {
    case .file: break
    case .folder: throw ImageError(.unreadable, "this is a folder; expected a \(ImageFormat.names) file").named(path)
    default:
      throw ImageError(.unreadable, "this is a pipe, socket or device; expected a regular file").named(path)
    }
    let tooLarge = ImageError(.tooLarge, "the file is larger than the limit of \(maxFileBytes) bytes").named(path)
    guard info.size <= maxFileBytes else { throw tooLarge }
    guard vtok_can_allocate(info.size) != 0 else {
      throw ImageError(.outOfMemory, "not enough memory for the file's \(info.size) bytes").named(path)
    }
    self.path = path
    // The size is a hint only: the file may change while it is read.
    do throws(SystemError) { bytes = try FileBytes.read(descriptor: file, path: path, limit: maxFileBytes) } catch {
      if error.code == EFBIG { throw tooLarge }
      throw ImageError(SystemError("read the file", path, code: error.code))
    }
  }

  /// Reads a file that lies in an archive.
  /// - Parameters:
  ///   - name: of it, in messages.
  ///   - size: bytes from `offset` on.
  /// - Throws: as `init(path:)`.
  public init(_ name: String, in archive: String, at offset: Int, size: Int) throws(ImageError) {
    let file = withSystemPath(archive) { open($0, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY) }
    guard file >= 0 else { throw ImageError(SystemError("read the archive", archive, code: errno)) }
    defer { close(file) }
    guard size <= maxFileBytes else {
      throw ImageError(.tooLarge, "the file is larger than the limit of \(maxFileBytes) bytes").named(name)
    }
    guard vtok_can_allocate(size) != 0 else {
      throw ImageError(.outOfMemory, "not enough memory for the file's \(size) bytes").named(name)
    }
    do throws(SystemError) {
      info = try FileInfo(descriptor: file, path: archive)
      bytes = try FileBytes.read(descriptor: file, path: archive, count: size, at: offset)
    } catch { throw ImageError(error) }
    guard bytes.count == size else {
      throw ImageError(.unreadable, "the archive is shorter than it was; expected \(size) bytes").named(name)
    }
    path = name
  }

  /// See ``Image/decode(contentsOf:options:)``.
  public func decoded(options: DecodeOptions = .init()) throws(ImageError) -> DecodedImage {
    do { return try Image.decode(bytes, options: options) } catch { throw error.named(path) }
  }
}
