import Synchronization

/// Counts who waits and who runs; refuses those for whom there is no place. Who leaves gives the place back at once.
public final class WaitingLine: Sendable {
  private let inside = Mutex(0)
  private let most: Int

  /// - Parameter queue: so many may wait behind the one that runs.
  public init(queue: Int) { most = queue + 1 }

  /// Those that run or wait.
  public var count: Int { inside.withLock { $0 } }

  public var isFull: Bool { count >= most }

  /// Runs `body` with a place.
  /// - Throws: `APIError.busy` where there is none.
  public func enter<Value>(
    isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Value
  ) async throws -> Value {
    let place = try take()
    defer { place.leave() }
    return try await withTaskCancellationHandler(operation: body, onCancel: { place.leave() }, isolation: isolation)
  }

  private func take() throws(APIError) -> Place {
    let isTaken = inside.withLock { count in
      guard count < most else { return false }
      count += 1
      return true
    }
    guard isTaken else { throw .busy }
    return Place(self)
  }

  private final class Place: Sendable {
    private let line: WaitingLine
    private let isTaken = Mutex(true)

    init(_ line: WaitingLine) { self.line = line }

    func leave() {
      let wasTaken = isTaken.withLock { taken in
        defer { taken = false }
        return taken
      }
      if wasTaken { line.inside.withLock { $0 -= 1 } }
    }
  }
}
