import Foundation
import VTok

/// An image file out of a `data:` address in base64. Nothing else is read: no file of the server, no other machine.
struct PictureURL: Sendable, Equatable {
  let bytes: [UInt8]

  /// - Parameter place: of the address in the request, for messages.
  init(_ address: String, _ place: String) throws(APIError) {
    guard address.hasPrefix("data:"), let comma = address.firstIndex(of: ",") else {
      throw .member(
        place, found: "'\(address.prefix(60))'", expected: "data:image/...;base64,...: no address is fetched",
        fix: "Send the file in base64.", code: "image_url_refused")
    }
    guard address[..<comma].hasSuffix(";base64"), let data = Data(base64Encoded: String(address[comma...].dropFirst())),
      !data.isEmpty
    else {
      throw .member(
        place, found: "a data address that holds no base64", expected: "data:image/...;base64,... with an image file",
        fix: "Encode the file as it is, without line ends.", code: "invalid_base64")
    }
    bytes = [UInt8](data)
  }

  /// `"data:..."`, or `{"url": "data:...", "detail": "auto"}`.
  init(_ json: JSON, _ place: String) throws(APIError) {
    if let address = json.string {
      try self.init(address, place)
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
    try self.init(address, place + ".url")
  }
}
