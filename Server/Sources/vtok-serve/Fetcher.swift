import Foundation
import Synchronization
import VTok
import VTokServe

#if canImport(FoundationNetworking)
  import FoundationNetworking
#endif

/// Fetches images of the hosts that the server was told of, each within 20 seconds and its bytes. No other host is asked, not
/// by a redirect either; nothing of the client goes along.
final class Fetcher: NSObject, PictureFetching, URLSessionDataDelegate, Sendable {
  private struct Pending {
    let place: String, limit: Int
    let end: CheckedContinuation<[UInt8], any Error>
    var bytes: [UInt8] = []
    /// Why it was ended before its end.
    var refusal: APIError?
  }

  private static let seconds = 20.0
  private let hosts: Set<String>
  private let pending = Mutex<[Int: Pending]>([:])

  init(hosts: Set<String>) { self.hosts = hosts }

  func file(at address: URL, place: String, limit: Int) async throws -> [UInt8] {
    let settings = URLSessionConfiguration.ephemeral
    settings.timeoutIntervalForRequest = Self.seconds
    settings.timeoutIntervalForResource = Self.seconds
    settings.httpCookieStorage = nil
    let session = URLSession(configuration: settings, delegate: self, delegateQueue: nil)
    defer { session.finishTasksAndInvalidate() }
    let task = session.dataTask(with: address)
    let number = ObjectIdentifier(task).hashValue
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { end in
        pending.withLock { $0[number] = Pending(place: place, limit: limit, end: end) }
        task.resume()
      }
    } onCancel: {
      task.cancel()
    }
  }

  private static func failed(_ place: String, _ found: String) -> APIError {
    .member(
      place, found: found, expected: "an image that its host gives at once",
      fix: "Try another address, or send the file.",
      code: "image_fetch_failed")
  }

  /// - Parameter ends: whether the task ends here; the first reason stays.
  private func refuse(_ task: URLSessionTask, _ found: String, ends: Bool) {
    pending.withLock { all in
      let number = ObjectIdentifier(task).hashValue
      guard let own = all[number], own.refusal == nil else { return }
      all[number]!.refusal = Self.failed(own.place, found)
    }
    if ends { task.cancel() }
  }

  // MARK: URLSessionDataDelegate

  func urlSession(
    _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse,
    newRequest request: URLRequest, completionHandler: @escaping @Sendable (URLRequest?) -> Void
  ) {
    guard let address = request.url, mayAsk(address, hosts) else {
      // Ended by the reply that follows: to end it here too brings Foundation down.
      refuse(task, "a redirect to another host", ends: false)
      completionHandler(nil)
      return
    }
    completionHandler(request)
  }

  func urlSession(
    _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
    completionHandler: @escaping @Sendable (URLSession.ResponseDisposition) -> Void
  ) {
    let status = (response as? HTTPURLResponse)?.statusCode ?? 0
    if status != 200 { refuse(dataTask, "status \(status)", ends: false) }
    completionHandler(status == 200 ? .allow : .cancel)
  }

  func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
    let isTooLong = pending.withLock { all in
      let number = ObjectIdentifier(dataTask).hashValue
      guard let own = all[number], own.refusal == nil else { return false }
      guard own.bytes.count + data.count <= own.limit else { return true }
      all[number]!.bytes += data
      return false
    }
    if isTooLong { refuse(dataTask, "more bytes than a request may have", ends: true) }
  }

  func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
    guard let own = pending.withLock({ $0.removeValue(forKey: ObjectIdentifier(task).hashValue) }) else { return }
    if let refusal = own.refusal {
      own.end.resume(throwing: refusal)
    } else if let error {
      let isCancelled = (error as? URLError)?.code == .cancelled
      own.end.resume(throwing: isCancelled ? CancellationError() : Self.failed(own.place, "no answer of its host"))
    } else {
      own.end.resume(returning: own.bytes)
    }
  }
}
