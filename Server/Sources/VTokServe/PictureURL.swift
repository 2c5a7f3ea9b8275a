import Foundation
import VTok

/// Where an image of a request comes from.
public enum PictureSource: Sendable, Equatable {
  case file([UInt8])
  /// An address that the server may fetch, and its place in the request, for messages.
  case address(URL, place: String)

  /// - Throws: `APIError` for what nobody has fetched.
  func file() throws(APIError) -> [UInt8] {
    switch self {
    case .file(let bytes): return bytes
    case .address(let address, let place):
      throw .member(place, found: "'\(address.absoluteString.prefix(60))'", expected: "the file itself")
    }
  }
}

/// Fetches the images whose addresses a server may ask for.
public protocol PictureFetching: Sendable {
  /// - Parameter limit: bytes at most.
  /// - Throws: `APIError` for what cannot be had.
  func file(at address: URL, place: String, limit: Int) async throws -> [UInt8]
}

/// The address of an image: a file in base64 (`data:`), or one of a host that the server was told of. Nothing else is read: no
/// file of the server, no other machine.
struct PictureURL: Sendable, Equatable {
  let source: PictureSource

  /// - Parameters:
  ///   - place: of the address in the request, for messages.
  ///   - hosts: that may be asked, `name` or `name:port`.
  init(_ address: String, _ place: String, hosts: Set<String>) throws(APIError) {
    if let url = Self.allowed(address, hosts) {
      source = .address(url, place: place)
      return
    }
    guard address.hasPrefix("data:"), let comma = address.firstIndex(of: ",") else {
      let others =
        hosts.isEmpty ? ": no address is fetched" : ", or an address of \(hosts.sorted().joined(separator: ", "))"
      throw .member(
        place, found: "'\(address.prefix(60))'", expected: "data:image/...;base64,...\(others)",
        fix: "Send the file in base64; the server's --allow-url names hosts.", code: "image_url_refused")
    }
    guard address[..<comma].hasSuffix(";base64"), let data = Data(base64Encoded: String(address[comma...].dropFirst())),
      !data.isEmpty
    else {
      throw .member(
        place, found: "a data address that holds no base64", expected: "data:image/...;base64,... with an image file",
        fix: "Encode the file as it is, without line ends.", code: "invalid_base64")
    }
    source = .file([UInt8](data))
  }

  /// `"data:..."`, or `{"url": "data:...", "detail": "auto"}`.
  init(_ json: JSON, _ place: String, hosts: Set<String>) throws(APIError) {
    if let address = json.string {
      try self.init(address, place, hosts: hosts)
      return
    }
    var members = try Members(json, place)
    let address = try members.string("url")
    // "low" asks for a smaller image, which here is a matter of `vtok`.
    try members.only(
      "detail", ["auto", "high"],
      why: "A model sees images as its own processor prepares them; ask for fewer tokens with `vtok`.")
    try members.finish()
    guard let address else { throw .member(place + ".url", found: "nothing", expected: "data:image/...;base64,...") }
    try self.init(address, place + ".url", hosts: hosts)
  }

  private static func allowed(_ address: String, _ hosts: Set<String>) -> URL? {
    URL(string: address).flatMap { mayAsk($0, hosts) ? $0 : nil }
  }
}

/// Whether an address is of one of the hosts, named with its port where it is not the usual one, and holds no password.
public func mayAsk(_ address: URL, _ hosts: Set<String>) -> Bool {
  guard let scheme = address.scheme?.lowercased(), ["http", "https"].contains(scheme), address.user == nil,
    address.password == nil, let host = address.host?.lowercased()
  else { return false }
  return hosts.contains(address.port.map { "\(host):\($0)" } ?? host)
}
