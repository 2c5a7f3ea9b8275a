#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Files written whole or not at all: into `<path>.part` beside it, which then takes the name. The name of the part is
/// always the same, so what a killed process left there goes with the next attempt.
public enum WholeFile {
  /// - Parameter synced: whether the bytes are on the disk on return; else they only outlive this process.
  /// - Throws: `WeightError` of kind `.write`.
  public static func write(_ bytes: [UInt8], to path: String, synced: Bool = true) throws(WeightError) {
    try write(to: path, count: bytes.count, synced: synced) { bytes.withUnsafeBytes($0) }
  }

  public static func write(_ text: String, to path: String) throws(WeightError) {
    try write(Array(text.utf8), to: path)
  }

  /// - Parameters:
  ///   - count: bytes in all, for the message.
  ///   - emit: hands over the bytes piece by piece.
  static func write(
    to path: String, count: Int, synced: Bool = true, _ emit: ((UnsafeRawBufferPointer) -> Void) -> Void
  ) throws(WeightError) {
    func failure(_ code: Int32) -> WeightError {
      WeightError(
        .write, path, found: "an error of the system (\(String(cString: strerror(code))))",
        expected: "to write \(count) bytes", fix: "Check that the folder exists, is writable and has room.")
    }
    let part = path + ".part"
    let descriptor = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw failure(errno) }
    var code: Int32 = 0
    emit { bytes in
      var rest = bytes[...]
      while code == 0, let base = UnsafeRawBufferPointer(rebasing: rest).baseAddress, !rest.isEmpty {
        let written = systemWrite(descriptor, base, rest.count)
        if written >= 0 { rest = rest.dropFirst(written) } else if errno != EINTR { code = errno }
      }
    }
    if code == 0, synced, fsync(descriptor) != 0 { code = errno }
    if close(descriptor) != 0, code == 0 { code = errno }
    if code == 0, rename(part, path) != 0 { code = errno }
    if code != 0 {
      unlink(part)
      throw failure(code)
    }
  }
}

/// The system's `write`, which a method of that name would hide.
private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
  write(descriptor, bytes, count)
}
