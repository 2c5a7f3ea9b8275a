import VTokLibC

/// What the system tells about a file without opening it.
public struct FileInfo: Sendable, Equatable {
  public enum Kind: Sendable { case file, folder, link, other }
  /// The same for two names of one file.
  public struct Identity: Sendable, Hashable { let device: UInt64, number: UInt64 }

  public let kind: Kind
  public let identity: Identity
  /// Bytes.
  public let size: Int
  /// When the content was written, and when anything about the file was changed (a rename too), in nanoseconds since 1970.
  public let modified: Int64, changed: Int64

  /// - Parameter following: tell about what a link points to, not about the link.
  public init(_ path: String, following: Bool = true) throws(SystemError) {
    var status = stat()
    let result = withSystemPath(path) { following ? stat($0, &status) : lstat($0, &status) }
    guard result == 0 else { throw SystemError("look at it", path, code: errno) }
    self.init(status)
  }

  /// Of an open file.
  public init(descriptor: Int32, path: String) throws(SystemError) {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw SystemError("look at it", path, code: errno) }
    self.init(status)
  }

  private init(_ status: stat) {
    switch status.st_mode & S_IFMT {
    case S_IFREG: kind = .file
    case S_IFDIR: kind = .folder
    case S_IFLNK: kind = .link
    default: kind = .other
    }
    identity = Identity(device: UInt64(status.st_dev), number: UInt64(status.st_ino))
    size = Int(status.st_size)
    func nanoseconds(_ time: timespec) -> Int64 {
      Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
    }
    modified = nanoseconds(status.st_mtim)
    changed = nanoseconds(status.st_ctim)
  }

  /// nil for a path that names nothing; errors of the machine are thrown, they say nothing about the path.
  public static func ifThere(_ path: String, following: Bool = true) throws(SystemError) -> FileInfo? {
    do { return try FileInfo(path, following: following) } catch {
      if error.isOfMachine { throw error }
      return nil
    }
  }
}

/// The path without links, `.` and `..`; nil if it names nothing.
public func realPath(_ path: String) -> String? {
  withSystemPath(path) { name in
    guard let real = realpath(name, nil) else { return nil }
    defer { free(real) }
    return FileName.text(UnsafeRawBufferPointer(start: real, count: strlen(real)))
  }
}

/// Reads whole files that are small: lists, settings, manifests' parts.
public enum FileBytes {
  /// - Parameter limit: longest file in bytes.
  public static func read(_ path: String, limit: Int = 1 << 31) throws(SystemError) -> [UInt8] {
    let descriptor = withSystemPath(path) { open($0, O_RDONLY | O_CLOEXEC | O_NOCTTY) }
    guard descriptor >= 0 else { throw SystemError("read it", path, code: errno) }
    defer { close(descriptor) }
    return try read(descriptor: descriptor, path: path, limit: limit)
  }

  /// nil for a path that names nothing.
  public static func readIfThere(_ path: String) throws(SystemError) -> [UInt8]? {
    do { return try read(path) } catch {
      if error.code == ENOENT || error.code == ENOTDIR { return nil }
      throw error
    }
  }

  /// All of an open file, such as standard input (0).
  public static func read(descriptor: Int32, path: String, limit: Int = 1 << 31) throws(SystemError) -> [UInt8] {
    var bytes: [UInt8] = []
    if let info = try? FileInfo(descriptor: descriptor, path: path), info.size <= limit {
      bytes.reserveCapacity(info.size)
    }
    var block = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unbroken { systemRead(descriptor, &block, block.count) }
      if count < 0 { throw SystemError("read it", path, code: errno) }
      if count == 0 { return bytes }
      bytes += block[..<count]
      if bytes.count > limit { throw SystemError("read it", path, code: EFBIG) }
    }
  }
}

/// The system's `read`, which methods of that name would hide.
private func systemRead(_ descriptor: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
  read(descriptor, bytes, count)
}
