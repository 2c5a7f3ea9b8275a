import VTok

#if canImport(Glibc)
  import Glibc
#endif

/// The target that this process runs: the variable `FUZZ_TARGET` names it, so that libFuzzer keeps all arguments. `list`
/// prints the names.
private let target: Target = {
  let name = getenv("FUZZ_TARGET").map { String(cString: $0) } ?? ""
  if let target = Target.all.first(where: { $0.name == name }) { return target }
  let names = Target.all.map(\.name)
  // Past the handlers of libFuzzer, which takes every other end for a finding.
  print(
    name == "list"
      ? names.joined(separator: "\n") : "FUZZ_TARGET is '\(name)', expected one of \(names.joined(separator: ", "))")
  fflush(nil)
  _exit(name == "list" ? 0 : 2)
}()

/// What libFuzzer calls with every input. A typed error is a good end; anything that ends the process is a finding.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  do {
    try target.run([UInt8](UnsafeBufferPointer(start: data, count: count)))
  } catch {
    check(error)
  }
  return 0
}

/// Errors are shown as one line of bounded length, whatever the file that they speak of holds.
func check(_ error: any Error) {
  let text = "\(error)"
  require(text.unicodeScalars.count <= 2400, "an error message of \(text.unicodeScalars.count) characters")
  require(
    text.unicodeScalars.allSatisfy {
      ![.control, .lineSeparator, .paragraphSeparator].contains($0.properties.generalCategory)
    },
    "control characters in the message \(text.debugDescription)")
}

/// `precondition`, but it says why in release builds too.
func require(_ holds: Bool, _ message: @autoclosure () -> String) {
  if !holds { fatalError(message()) }
}
