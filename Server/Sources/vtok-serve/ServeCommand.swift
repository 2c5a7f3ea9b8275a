import ArgumentParser
import Foundation
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import ServiceLifecycle
import VTok
import VTokServe

@main
struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vtok-serve",
    abstract: "Serve a vision-language model, or a vision tower, with fewer tokens, to clients of OpenAI's API.",
    discussion: """
      vtok-serve --model llava-1.5-7b-hf --method divprune --keep-ratio 0.25

      Answers POST /v1/chat/completions and /v1/embeddings, GET /v1/models, /health and /metrics. A request may choose its
      own method: "vtok": {"method": "fastv", "keep_ratio": 0.5}. Images come as files in base64; of hosts that --allow-url
      names they are fetched.
      """,
    version: Provenance.version(of: "vtok-serve"))

  @OptionGroup var model: ModelFlags
  @OptionGroup var listening: ListeningFlags
  @OptionGroup var bounds: LimitFlags

  func run() async throws {
    do { try await serve() } catch let error as any OneLineError {
      FileHandle.standardError.write(Data("vtok-serve: error: \(error)\n".utf8))
      throw ExitCode(error is APIError || error is MethodError || error is CompressionError ? 2 : 1)
    }
  }

  private func serve() async throws {
    var settings = Engine.Settings()
    settings.limits = bounds.limits
    settings.threads = model.threads ?? ProcessInfo.processInfo.activeProcessorCount
    settings.cacheMegabytes = bounds.cacheMegabytes
    settings.name = model.name
    let engine = try Engine(model.load(), standard: model.choice(), settings: settings)
    var logger = Logger(label: "vtok-serve") { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = listening.verbose ? .debug : .notice
    let hosts = bounds.limits.hosts
    let routes = Routes(service: Service(engine, fetcher: hosts.isEmpty ? nil : Fetcher(hosts: hosts)))
    let (connections, log) = (routes.connections, logger)
    let application = Application(
      router: routes.router(key: listening.key),
      server: .http1(
        configuration: HTTP1Channel.Configuration(
          additionalChannelHandlers: [LeavingHandler(connections)], idleTimeout: .seconds(Int64(listening.idleSeconds)))
      ),
      configuration: ApplicationConfiguration(
        address: .hostname(listening.host, port: listening.port),
        availableConnectionsDelegate: .maximum(bounds.connections, logger: logger)),
      onServerRunning: { channel in
        let port = channel.localAddress?.port ?? 0
        log.notice("\(engine.name) on http://\(listening.host):\(port)/v1")
      },
      logger: logger)
    var group = ServiceGroupConfiguration(
      services: [application], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
    group.maximumGracefulShutdownDuration = .seconds(listening.drainSeconds)
    try await ServiceGroup(configuration: group).run()
  }
}
