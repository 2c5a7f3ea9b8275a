import VTokFiles
import VTokLibC

/// Length and CRC-32 of a file, by which it is known again.
public struct FileSum: Sendable, Equatable {
  public var bytes: Int
  public var crc: UInt32
  public init(bytes: Int = 0, crc: UInt32 = 0) {
    self.bytes = bytes
    self.crc = crc
  }

  public mutating func add(_ more: UnsafeRawBufferPointer) {
    crc = crc32(more, after: crc)
    bytes += more.count
  }

  /// Of a file as it is now; nil for one that is not there or is no file.
  public static func of(_ path: String) throws(WeightError) -> FileSum? {
    do throws(WeightError) {
      return try MappedFile(path: path).withBytes { FileSum(bytes: $0.count, crc: crc32($0)) }
    } catch {
      switch error.kind {
      case .missingFile, .notAFile: return nil
      case .emptyFile: return FileSum()
      default: throw error
      }
    }
  }
}

/// Files written whole or not at all: into `<path>.part` beside it, which then takes the name. The name of the part is
/// always the same, so what a killed process left there goes with the next attempt. What is
/// no file, such as a pipe or `/dev/stdout`, takes the bytes as they come.
public enum WholeFile {
  /// - Parameter synced: whether the bytes are on the disk on return; else they only outlive this process.
  /// - Throws: `WeightError` of kind `.write`.
  public static func write(_ bytes: [UInt8], to path: String, synced: Bool = true) throws(WeightError) {
    try write(to: path, synced: synced) { sink throws(WeightError) in bytes.withUnsafeBytes(sink) }
  }

  public static func write(_ text: String, to path: String) throws(WeightError) {
    try write(Array(text.utf8), to: path)
  }

  /// Writes what `emit` hands over piece by piece.
  /// - Throws: what `emit` throws, and then there is no file; `WeightError` of kind `.write`.
  @discardableResult
  public static func write(
    to path: String, synced: Bool = true,
    _ emit: ((UnsafeRawBufferPointer) -> Void) throws(WeightError) -> Void
  ) throws(WeightError) -> FileSum {
    let (target, isDevice) = try place(path)
    let part = isDevice ? target : partName(target)
    let descriptor = withSystemPath(part) { open($0, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644) }
    guard descriptor >= 0 else { throw failure(errno, path) }
    var code: Int32 = 0
    var sum = FileSum()
    var wrong: WeightError?
    do throws(WeightError) {
      try emit { bytes in
        if code == 0 { code = written(bytes, descriptor) }
        sum.add(bytes)
      }
    } catch { wrong = error }
    if code == 0, wrong == nil, synced, !isDevice, fsync(descriptor) != 0 { code = errno }
    if close(descriptor) != 0, code == 0 { code = errno }
    if code == 0, wrong == nil, !isDevice {
      do throws(SystemError) { try Folder.move(part, to: target) } catch { code = error.code }
    }
    if code != 0 || wrong != nil {
      if !isDevice { _ = withSystemPath(part) { unlink($0) } }
      throw wrong ?? failure(code, path)
    }
    return sum
  }

  /// The file that a path means: links are followed, so that a link to a file stays one.
  private static func place(_ path: String) throws(WeightError) -> (path: String, isDevice: Bool) {
    do throws(SystemError) {
      guard let info = try FileInfo.ifThere(path) else { return (path, false) }
      if info.kind == .other { return (path, true) }
      let isLink = try FileInfo(path, following: false).kind == .link
      return (isLink ? realPath(path) ?? path : path, false)
    } catch { throw failure(error.code, path) }
  }

  /// `<path>.part`, or a name made of the path's checksum where that would be too long for a file system.
  static func partName(_ path: String) -> String {
    let (folder, name) = FileName.split(path)
    let bytes = FileName.bytes(name)
    if bytes.count <= 250 { return path + ".part" }
    let sum = String(bytes.withUnsafeBytes { crc32($0) }, radix: 16)
    return (path.utf8.count == name.utf8.count ? "" : folder + "/") + "long-" + sum + ".part"
  }

  /// 0, or the code of what went wrong.
  private static func written(_ bytes: UnsafeRawBufferPointer, _ descriptor: Int32) -> Int32 {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = systemWrite(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress!, rest.count)
      if count >= 0 { rest = rest.dropFirst(count) } else if errno != EINTR { return errno }
    }
    return 0
  }

  private static func failure(_ code: Int32, _ path: String) -> WeightError {
    WeightError(
      .write, printable(path), found: "an error of the system (\(SystemError.reason(code)))",
      expected: "to write the file",
      fix: "Check that the folder exists, is writable and has room.")
  }
}

/// The system's `write`, which a method of that name would hide.
private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
  write(descriptor, bytes, count)
}
