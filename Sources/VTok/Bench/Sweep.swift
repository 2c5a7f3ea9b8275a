import Synchronization
import VTokTensor

/// Runs `body(0..<count)` on so many threads; results in order, those that were cancelled left out. The first error ends it.
func sweep<Result: Sendable>(
  _ count: Int, threads: Int, progress: @escaping @Sendable (_ done: Int, _ count: Int, _ failed: Int) -> Void,
  isCancelled: @escaping @Sendable () -> Bool, hasFailed: @escaping @Sendable (Result) -> Bool,
  body: @escaping @Sendable (Int) throws -> Result
) throws -> [Result] {
  let state = Mutex(SweepState<Result>(results: Array(repeating: nil, count: count)))
  parallel(count, threads: threads) { index in
    if isCancelled() || state.withLock({ $0.error != nil }) { return }
    let made = Swift.Result { try body(index) }
    let (done, failed) = state.withLock { state in
      switch made {
      case .success(let result):
        if hasFailed(result) { state.failed += 1 }
        state.results[index] = result
      case .failure(let error): state.error = error
      }
      state.done += 1
      return (state.done, state.failed)
    }
    progress(done, count, failed)
  }
  let end = state.withLock { $0 }
  if let error = end.error { throw error }
  return end.results.compactMap { $0 }
}

private struct SweepState<Result: Sendable>: Sendable {
  var results: [Result?]
  var done = 0, failed = 0
  var error: (any Error)?
}
