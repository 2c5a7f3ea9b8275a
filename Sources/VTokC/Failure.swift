import CVTokAPI
import VTok

/// What a program gave that cannot be: what, found, expected, how to fix.
struct ArgumentError: OneLineError {
  let message: String
  init(_ what: String, found: String, expected: String, fix: String) {
    message = "\(what): \(found), expected \(expected). \(fix)"
  }
}

/// Runs what a function of the interface does; an error becomes the thread's last one, and nil.
func attempt<Value>(_ body: () throws -> Value) -> Value? {
  do { return try body() } catch {
    vtok_set_last_error(kind(of: error), "\(error)")
    return nil
  }
}

private func kind(of error: any Error) -> vtok_error {
  switch error {
  case is ArgumentError, is MethodError, is OptionError, is CompressionError, is InputError, is DataError:
    VTOK_ERROR_REQUEST
  case is ModelError, is WeightError, is JSONError, is TokenizerError: VTOK_ERROR_MODEL
  case let error as ImageError: (try? error.ofPicture()) == nil ? VTOK_ERROR_SYSTEM : VTOK_ERROR_IMAGE
  case is SystemError: VTOK_ERROR_SYSTEM
  default: VTOK_ERROR_INTERNAL
  }
}
