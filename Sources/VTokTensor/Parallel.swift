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

/// Seconds this thread has run on a processor.
package func threadSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
