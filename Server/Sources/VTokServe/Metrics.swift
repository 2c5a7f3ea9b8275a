import Synchronization
import VTok

/// Counters of a server, as Prometheus reads them.
public final class Metrics: Sendable {
  private struct State {
    var requests: [Request: Int] = [:]
    var promptTokens = 0, newTokens = 0, imageTokensIn = 0, imageTokensOut = 0, shared = 0, left = 0
    var first = Histogram(), whole = Histogram()
  }

  private struct Request: Hashable, Comparable {
    let route: String, status: Int
    static func < (a: Request, b: Request) -> Bool { (a.route, a.status) < (b.route, b.status) }
  }

  struct Histogram: Sendable {
    static let bounds = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100]
    /// Values up to each bound; all are in `count`.
    private(set) var counts = [Int](repeating: 0, count: Self.bounds.count)
    private(set) var count = 0
    private(set) var sum = 0.0

    mutating func add(_ value: Double) {
      for (index, bound) in Self.bounds.enumerated() where value <= bound { counts[index] += 1 }
      count += 1
      sum += value
    }
  }

  private let state = Mutex(State())

  public init() {}

  /// One reply.
  /// - Parameter route: a known one, never what a client wrote: that would have no end.
  public func reply(_ route: String, status: Int, seconds: Double) {
    state.withLock {
      $0.requests[Request(route: route, status: status), default: 0] += 1
      $0.whole.add(seconds)
    }
  }

  /// One client that left before its answer.
  public func leave() { state.withLock { $0.left += 1 } }

  func answer(_ answer: ChatAnswer) {
    state.withLock {
      $0.promptTokens += answer.promptTokens
      $0.newTokens += answer.newTokens
      $0.imageTokensIn += answer.imageTokens.in
      $0.imageTokensOut += answer.imageTokens.out
      $0.shared += answer.isShared ? 1 : 0
      $0.first.add(answer.firstSeconds)
    }
  }

  func images(_ images: [PrunedImage]) {
    state.withLock {
      for image in images {
        $0.imageTokensIn += image.tokensIn
        $0.imageTokensOut += image.keep.count
      }
    }
  }

  /// - Parameter inside: requests that run or wait.
  public func text(inside: Int) -> String {
    let state = state.withLock { $0 }
    var text = Self.head("vtok_requests_total", "counter", "Replies, by address and status.")
    for (request, count) in state.requests.sorted(by: { $0.key < $1.key }) {
      text += "vtok_requests_total{route=\"\(request.route)\",status=\"\(request.status)\"} \(count)\n"
    }
    for (name, help, value) in [
      ("vtok_clients_left_total", "Clients that left before their answer.", state.left),
      ("vtok_prompt_tokens_total", "Tokens of prompts, as the dense model has them.", state.promptTokens),
      ("vtok_new_tokens_total", "Tokens of answers.", state.newTokens),
      ("vtok_image_tokens_in_total", "Image tokens of the dense model.", state.imageTokensIn),
      ("vtok_image_tokens_out_total", "Image tokens that methods left.", state.imageTokensOut),
      ("vtok_shared_prefixes_total", "Questions whose pictures were known.", state.shared),
    ] {
      text += Self.head(name, "counter", help) + "\(name) \(value)\n"
    }
    text +=
      Self.head("vtok_requests_inside", "gauge", "Requests that run or wait.") + "vtok_requests_inside \(inside)\n"
    text += Self.text("vtok_first_token_seconds", "From the prepared prompt to the first token.", state.first)
    text += Self.text("vtok_request_seconds", "From the request's head to the end of the reply.", state.whole)
    return text
  }

  private static func head(_ name: String, _ kind: String, _ help: String) -> String {
    "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n"
  }

  private static func text(_ name: String, _ help: String, _ histogram: Histogram) -> String {
    var text = head(name, "histogram", help)
    for (bound, count) in zip(Histogram.bounds, histogram.counts) {
      text += "\(name)_bucket{le=\"\(bound)\"} \(count)\n"
    }
    text += "\(name)_bucket{le=\"+Inf\"} \(histogram.count)\n"
    return text + "\(name)_sum \(histogram.sum)\n\(name)_count \(histogram.count)\n"
  }
}
