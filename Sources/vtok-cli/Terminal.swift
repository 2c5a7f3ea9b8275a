import CVTokProcess
import Foundation
import Synchronization
import VTok
import VTokLibC

/// A progress line on stderr, when that is a terminal.
final class Progress: Sendable {
  private let label: String, enabled: Bool
  private let start = ContinuousClock().now
  private struct State { var first: Int?, last = 0.0, width = 0 }
  private let state = Mutex(State())

  init(_ label: String, quiet: Bool) {
    self.label = label
    enabled = !quiet && isatty(2) == 1
  }

  /// Redraws at most ten times a second.
  func update(_ done: Int, _ total: Int, _ failed: Int) {
    guard enabled, total > 0 else { return }
    let seconds = start.duration(to: ContinuousClock().now) / .seconds(1)
    state.withLock { state in
      let first = state.first ?? done
      state.first = first
      guard seconds - state.last > 0.1 || done == total else { return }
      state.last = seconds
      let rate = Double(done - first) / max(seconds, 1e-3)
      var line = "\(label)  \(done)/\(total)  \(100 * done / total)%"
      if rate > 0 {
        let left = Int((Double(total - done) / rate).rounded(.up))
        line += "  \(fixed(rate, 1)) images/s  ETA \(left / 60):\(left % 60 < 10 ? "0" : "")\(left % 60)"
      }
      if failed > 0 { line += "  \(failed) failed" }
      let padding = String(repeating: " ", count: max(0, state.width - line.count))
      state.width = line.count
      Output.draw("\r\(line)\(padding)")
    }
  }

  /// Draws a line of the caller's own.
  func show(_ line: String) {
    guard enabled else { return }
    state.withLock { state in
      let padding = String(repeating: " ", count: max(0, state.width - line.count))
      state.width = line.count
      Output.draw("\r\(line)\(padding)")
    }
  }

  /// Clears the line.
  func finish() {
    guard enabled else { return }
    state.withLock { state in
      Output.draw("\r\(String(repeating: " ", count: state.width))\r")
      state.width = 0
    }
  }
}

/// Notes Ctrl-C and termination, so that a job can finish the image it is at; a second one ends at once. Before there is
/// one of these, the first does.
struct Interruption: Sendable {
  /// - Parameter patience: seconds after which the first one ends the run too, for work that may not look for long and
  ///   that leaves nothing behind.
  init(patience: UInt32 = 0) { vtok_watch_interruptions(patience) }

  var happened: Bool { vtok_was_interrupted() != 0 }
}

/// What commands say: results on stdout, all else on stderr.
enum Output {
  /// Puts text on stdout; what cannot be written there ends the run.
  static func put(_ text: String, flush: Bool = false) {
    let status = vtok_put(text, text.utf8.count, flush ? 1 : 0)
    if status == 0 { return }
    // Whoever closed the pipe has seen enough.
    if status != EPIPE {
      note("vtok: error: standard output: \(String(cString: strerror(status))), expected room to write.")
    }
    vtok_end(1)
  }

  /// A line on stderr, for better or worse.
  static func note(_ line: String) { draw(line + "\n") }

  /// Text on stderr as it is.
  static func draw(_ text: String) { vtok_note(text, text.utf8.count) }

  /// Ends the run when everything said is written.
  static func end(_ status: Int32) -> Never {
    put("", flush: true)
    vtok_end(status)
  }
}

/// Every command prints through this one.
func print(_ text: Any, terminator: String = "\n") { Output.put("\(text)" + terminator) }
