@preconcurrency import Dispatch
import Foundation
import Synchronization
import VTok

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

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
      FileHandle.standardError.write(Data("\r\(line)\(padding)".utf8))
    }
  }

  /// Draws a line of the caller's own.
  func show(_ line: String) {
    guard enabled else { return }
    state.withLock { state in
      let padding = String(repeating: " ", count: max(0, state.width - line.count))
      state.width = line.count
      FileHandle.standardError.write(Data("\r\(line)\(padding)".utf8))
    }
  }

  /// Clears the line.
  func finish() {
    guard enabled else { return }
    state.withLock { state in
      FileHandle.standardError.write(Data("\r\(String(repeating: " ", count: state.width))\r".utf8))
      state.width = 0
    }
  }
}

/// Notes Ctrl-C and termination, so that a job can finish the image it is at; a second one ends at once.
final class Interruption: @unchecked Sendable {
  private let flag = Atomic<Bool>(false)
  private let sources: [any DispatchSourceSignal]

  init() {
    let queue = DispatchQueue(label: "vtok.signals")
    sources = [SIGINT, SIGTERM].map { number in
      signal(number, SIG_IGN)
      return DispatchSource.makeSignalSource(signal: number, queue: queue)
    }
    for source in sources {
      source.setEventHandler { [weak self] in
        guard let self else { return }
        if self.flag.exchange(true, ordering: .relaxed) { exit(130) }
      }
      source.resume()
    }
  }

  var happened: Bool { flag.load(ordering: .relaxed) }
}
