import Hummingbird
import NIOCore
import Synchronization

/// Which connections have work going on, so that a client that leaves ends its own.
final class Connections: Sendable {
  private let work = Mutex<[ObjectIdentifier: @Sendable () -> Void]>([:])

  /// Runs `body`, whose task is cancelled once the client has left.
  func run<Value: Sendable>(
    for channel: any Channel, _ body: @escaping @Sendable () async throws -> Value
  ) async throws -> Value {
    let task = Task { try await body() }
    let key = ObjectIdentifier(channel)
    work.withLock { $0[key] = { task.cancel() } }
    defer { work.withLock { _ = $0.removeValue(forKey: key) } }
    if !channel.isActive { task.cancel() }
    return try await withTaskCancellationHandler {
      try await task.value
    } onCancel: {
      task.cancel()
    }
  }

  fileprivate func leave(_ channel: any Channel) {
    work.withLock { $0[ObjectIdentifier(channel)] }?()
  }
}

/// Sees a client close its side of the connection, which is how it leaves.
final class LeavingHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = NIOAny
  private let connections: Connections

  init(_ connections: Connections) { self.connections = connections }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case ChannelEvent.inputClosed? = event as? ChannelEvent { connections.leave(context.channel) }
    context.fireUserInboundEventTriggered(event)
  }

  func channelInactive(context: ChannelHandlerContext) {
    connections.leave(context.channel)
    context.fireChannelInactive()
  }
}
