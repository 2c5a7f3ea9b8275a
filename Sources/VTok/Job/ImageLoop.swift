import Synchronization
import VTokTensor

/// Runs `body(0..<count)` on up to `threads` threads and returns the results in order; those left out after a cancellation
/// are missing. The first error ends the run.
/// - Parameters:
///   - progress: called after every one with done, total and failed, from any thread.
///   - isCancelled: asked before every one.
///   - body: a result, and whether it is one of success.
func inOrder<Result: Sendable>(
  _ count: Int, threads: Int, progress: @escaping @Sendable (Int, Int, Int) -> Void,
  isCancelled: @escaping @Sendable () -> Bool, _ body: @Sendable (Int) throws -> (Result, isGood: Bool)
) throws -> [Result] {
  let state = Mutex(LoopState<Result>(results: Array(repeating: nil, count: count)))
  parallel(count, threads: threads) { index in
    if isCancelled() || state.withLock({ $0.error != nil }) { return }
    let made = Swift.Result { try body(index) }
    let (done, failed) = state.withLock { state in
      switch made {
      case .success(let (result, isGood)):
        if !isGood { state.failed += 1 }
        state.results[index] = result
      case .failure(let error): state.error = state.error ?? error
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

private struct LoopState<Result: Sendable>: Sendable {
  var results: [Result?]
  var done = 0, failed = 0
  var error: (any Error)?
}
