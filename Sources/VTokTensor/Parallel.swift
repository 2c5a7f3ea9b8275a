import Dispatch
import Synchronization
import VTokLibC

/// Hands out 0, 1, 2, ... to whoever asks first.
final class Counter: Sendable {
  private let value = Atomic<Int>(0)
  func take(below end: Int) -> Int? {
    let index = value.add(1, ordering: .relaxed).oldValue
    return index < end ? index : nil
  }
}

/// A pointer that may cross into `parallel`; the caller answers for disjoint writes.
package struct Shared<Pointee>: @unchecked Sendable {
  package let pointer: UnsafeMutablePointer<Pointee>
  package init(_ pointer: UnsafeMutablePointer<Pointee>) { self.pointer = pointer }
}

/// Scratch memory of one forward pass: allocated once, cache-line aligned, uninitialised, freed with its last owner.
package final class Scratch {
  package let pointer: UnsafeMutablePointer<Float>
  package let count: Int

  package init(_ count: Int) {
    self.count = count
    let raw = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * 4, alignment: 64)
    pointer = raw.bindMemory(to: Float.self, capacity: count)
  }

  deinit { UnsafeMutableRawPointer(pointer).deallocate() }
}

/// Processors that this process may use, for work that no caller gives a number of threads: rounding weights when a model loads.
package let processors = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))

/// Seconds this thread has run on a processor.
package func threadSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// Runs `body(0..<count)` on up to `threads` threads. Iterations are handed out one by one, so uneven work balances.
/// Nothing is promised about order: each iteration must write where no other one does.
public func parallel(_ count: Int, threads: Int, _ body: @Sendable (Int) -> Void) {
  if threads <= 1 || count <= 1 {
    for index in 0..<count { body(index) }
  } else if count <= threads {
    DispatchQueue.concurrentPerform(iterations: count, execute: body)
  } else {
    let next = Counter()
    DispatchQueue.concurrentPerform(iterations: threads) { _ in
      while let index = next.take(below: count) { body(index) }
    }
  }
}

/// Runs `body` on parts of `rows`, a few for each thread, so that they cover whole units: the first begins with the unit of the
/// first row, only the last may end inside one.
package func parallel(
  _ rows: Range<Int>, unit: Int, threads: Int, _ body: @Sendable (_ first: Int, _ count: Int) -> Void
) {
  let start = rows.lowerBound / unit * unit
  let units = (rows.upperBound - start + unit - 1) / unit
  let parts = threads <= 1 ? min(units, 1) : min(units, 4 * threads)
  parallel(parts, threads: threads) { part in
    let first = start + part * units / parts * unit
    body(first, min(start + (part + 1) * units / parts * unit, rows.upperBound) - first)
  }
}
