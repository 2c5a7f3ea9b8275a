import VTokLibC

/// A folder in which another process writes.
public struct LockError: OneLineError, Equatable {
  public let path: String
  /// Of the other process; nil where it has not said so.
  public let holder: Int?

  public var message: String {
    "output '\(printable(path))': process \(holder.map { "\($0)" } ?? "of another run") is writing there, expected to be "
      + "the only one. Wait for its end, or use another -o."
  }
}

/// Holds a folder (or a file that does not share its folder) for this process while it lives. The system lets go of it
/// when the process ends, however it ends. On file systems without locks it holds nothing.
public final class FolderLock: Sendable {
  private let file: String
  private let descriptor: Int32

  /// - Parameters:
  ///   - path: what is held, for messages.
  ///   - file: the lock's own file, `DIR/.lock`; it holds the number of the process and goes with the lock.
  public init(_ path: String, file: String) throws {
    self.file = file
    while true {
      let descriptor = withSystemPath(file) { open($0, O_RDWR | O_CREAT | O_CLOEXEC, 0o644) }
      guard descriptor >= 0 else { throw SystemError("write there", file, code: errno) }
      let result = unbroken { Int(flock(descriptor, LOCK_EX | LOCK_NB)) }
      if result < 0, errno == EWOULDBLOCK {
        let text = (try? FileBytes.read(descriptor: descriptor, path: file, limit: 64)) ?? []
        close(descriptor)
        let number = String(decoding: text, as: UTF8.self).split(whereSeparator: \.isNewline).first
        throw LockError(path: path, holder: number.flatMap { Int($0) })
      }
      // An earlier holder may have removed the file between opening and locking: then the lock is on nothing.
      if result == 0, (try? FileInfo(descriptor: descriptor, path: file))?.identity != (try? FileInfo(file))?.identity {
        close(descriptor)
        continue
      }
      let text = Array("\(getpid())\n".utf8)
      guard ftruncate(descriptor, 0) == 0, unbroken({ pwrite(descriptor, text, text.count, 0) }) == text.count else {
        let code = errno
        close(descriptor)
        throw SystemError("write there", file, code: code)
      }
      self.descriptor = descriptor
      return
    }
  }

  /// `DIR/.lock`. Makes the folder if need be.
  public convenience init(folder: String) throws {
    try Folder.make(folder)
    try self.init(folder, file: folder + "/.lock")
  }

  deinit {
    _ = withSystemPath(file) { unlink($0) }
    close(descriptor)
  }
}
