import CVTokAPI
import VTok

// Objects that C holds: each is retained once for its owner, who frees it.

func handed(_ object: AnyObject) -> OpaquePointer { OpaquePointer(Unmanaged.passRetained(object).toOpaque()) }

func borrowed<Object: AnyObject>(_ handle: OpaquePointer?, _ what: String) throws(ArgumentError) -> Object {
  guard let handle else {
    throw ArgumentError(what, found: "NULL", expected: "one that was opened", fix: "Look at the error of opening it.")
  }
  return Unmanaged<Object>.fromOpaque(UnsafeRawPointer(handle)).takeUnretainedValue()
}

func free<Object: AnyObject>(_ handle: OpaquePointer?, _: Object.Type) {
  if let handle { Unmanaged<Object>.fromOpaque(UnsafeRawPointer(handle)).release() }
}

/// A text for C, which lives as long as this does.
final class CText: @unchecked Sendable {
  let pointer: UnsafeMutablePointer<CChar>

  init(_ text: String) { pointer = copied(text) }
  deinit { pointer.deallocate() }
}

/// A text with NUL at its end, in memory of its own. NUL within the text ends it there.
func copied(_ text: String) -> UnsafeMutablePointer<CChar> {
  let bytes = text.utf8CString
  let pointer = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
  bytes.withUnsafeBufferPointer { pointer.initialize(from: $0.baseAddress!, count: $0.count) }
  return pointer
}

/// The bytes of a path or name, whatever they are.
func path(_ text: UnsafePointer<CChar>?) -> String? { text.map { FileName.text(bytes(of: $0)[...]) } }

/// - Throws: for what is no UTF-8.
func text(_ text: UnsafePointer<CChar>?, _ what: String) throws(ArgumentError) -> String? {
  guard let text else { return nil }
  guard let valid = String(validating: bytes(of: text), as: UTF8.self) else {
    throw ArgumentError(what, found: "bytes that are no UTF-8", expected: "a text", fix: "Encode it.")
  }
  return valid
}

private func bytes(of text: UnsafePointer<CChar>) -> [UInt8] {
  let bytes = UnsafeRawPointer(text).assumingMemoryBound(to: UInt8.self)
  var count = 0
  while bytes[count] != 0 { count += 1 }
  return Array(UnsafeBufferPointer(start: bytes, count: count))
}

/// A struct that a program may have made with another version of the header: it says its own size, and what it lacks is 0.
/// - Throws: where it holds something that this version does not know.
func readable<Struct>(
  _ given: UnsafePointer<Struct>?, _ what: String, empty: Struct
) throws(ArgumentError) -> Struct {
  guard let given else {
    throw ArgumentError(what, found: "NULL", expected: "one of its struct", fix: "Give its address.")
  }
  let raw = UnsafeRawPointer(given)
  let count = raw.loadUnaligned(as: Int.self)
  let own = MemoryLayout<Struct>.size
  guard count >= MemoryLayout<Int>.size, count <= 1 << 16 else {
    throw ArgumentError(
      "\(what).size", found: "\(count)", expected: "the size of the struct, \(own)",
      fix: "Begin with the macro of its name.")
  }
  if count > own, (own..<count).contains(where: { raw.load(fromByteOffset: $0, as: UInt8.self) != 0 }) {
    throw ArgumentError(
      what, found: "fields of a newer vtok.h", expected: "those of version \(VTOK_API_VERSION)",
      fix: "Use a newer library, or leave them 0.")
  }
  var value = empty
  withUnsafeMutableBytes(of: &value) { bytes in
    bytes.copyMemory(from: UnsafeRawBufferPointer(start: raw, count: min(count, own)))
  }
  return value
}
