import Synchronization
import VTokTensor

/// Runs `body(0..<count)` on up to `threads` threads and returns the results in order; those left out after a cancellation
/// are missing. The first error ends the run.
/// - Parameters:
///   - progress: called after every one with done, total and failed, from any thread.
///   - isCancelled: asked before every one.
///   - body: a result, and whether it is one of success.
package func inOrder<Result: Sendable>(
  _ count: Int, threads: Int, progress: @escaping @Sendable (Int, Int, Int) -> Void,
  isCancelled: @escaping @Sendable () -> Bool, _ body: @Sendable (Int) throws -> (Result, isGood: Bool)
) throws -> [Result] {
  try inOrder(count, threads: threads, into: [], progress: progress, isCancelled: isCancelled, body) { all, _, result in
    all.append(result)
  }
}

/// The same with results that are added up as they come, in the order of their numbers: one that comes before its turn
/// waits for it.
/// - Parameters:
///   - first: the sum of nothing.
///   - fold: adds a result to the sum.
package func inOrder<Result: Sendable, Sum: Sendable>(
  _ count: Int, threads: Int, into first: Sum, progress: @escaping @Sendable (Int, Int, Int) -> Void,
  isCancelled: @escaping @Sendable () -> Bool, _ body: @Sendable (Int) throws -> (Result, isGood: Bool),
  fold: @Sendable (inout Sum, Int, Result) -> Void
) throws -> Sum {
  let state = Mutex(LoopState<Result, Sum>(sum: first))
  parallel(count, threads: threads) { index in
    if isCancelled() || state.withLock({ $0.error != nil }) { return }
    let made = Swift.Result { try body(index) }
    let (done, failed) = state.withLock { state in
      switch made {
      case .success(let (result, isGood)):
        if !isGood { state.failed += 1 }
        state.waiting[index] = result
        while let next = state.waiting.removeValue(forKey: state.turn) {
          fold(&state.sum, state.turn, next)
          state.turn += 1
        }
      case .failure(let error): state.error = state.error ?? error
      }
      state.done += 1
      return (state.done, state.failed)
    }
    progress(done, count, failed)
  }
  var end = state.withLock { $0 }
  if let error = end.error { throw error }
  // After a cancellation some never had their turn.
  for (index, result) in end.waiting.sorted(by: { $0.key < $1.key }) { fold(&end.sum, index, result) }
  return end.sum
}

private struct LoopState<Result: Sendable, Sum: Sendable>: Sendable {
  var sum: Sum
  /// Results before their turn, and whose turn it is.
  var waiting: [Int: Result] = [:], turn = 0
  var done = 0, failed = 0
  var error: (any Error)?
}
