import VTokLibC

/// A call of the system that failed, with the path it was about.
public struct SystemError: OneLineError, Equatable {
  /// What was to be done, as in "cannot ...".
  public let action: String
  public let path: String
  /// `errno`.
  public let code: Int32

  public init(_ action: String, _ path: String, code: Int32) {
    self.action = action
    self.path = path
    self.code = code
  }

  /// The system's words for a code.
  public static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
  public var reason: String { Self.reason(code) }

  /// Whether a code tells about the machine (no handles, no memory, no room, a broken disk) and not about the file that
  /// was asked for. Such an error ends a job: on a better day the same file would do. The short list is that of the
  /// files' own errors, so that what is not foreseen ends the job too instead of becoming a line in a manifest.
  public static func isOfMachine(_ code: Int32) -> Bool {
    switch code {
    case ENOENT, ENOTDIR, EISDIR, ELOOP, EACCES, EPERM, ENAMETOOLONG, EINVAL, ENXIO, ENODEV, EOVERFLOW, ETXTBSY, EILSEQ:
      false
    default: true
    }
  }
  public var isOfMachine: Bool { Self.isOfMachine(code) }

  public var message: String { "\(printable(path)): cannot \(action): \(reason). \(fix)" }

  private var fix: String {
    switch code {
    case ENOSPC, EDQUOT: "Make room; the same command goes on from here."
    case EMFILE, ENFILE: "Allow more open files (ulimit -n), or use fewer threads."
    case ENOMEM: "Free memory, or use fewer threads."
    case EFBIG: "Allow larger files (ulimit -f)."
    case EROFS: "Use a folder on a disk that can be written."
    case EACCES, EPERM: "Change its permissions, or run as its owner."
    case EIO: "Check the disk."
    default: "Check the path."
    }
  }
}

/// Repeats a call that a signal cut short. A negative result leaves its reason in `errno`.
package func unbroken(_ call: () -> Int) -> Int {
  while true {
    let result = call()
    if result >= 0 || errno != EINTR { return result }
  }
}
