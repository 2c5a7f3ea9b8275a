import VTokFiles
import VTokTensor

/// A file named in an option, read by the caller: methods do no input or output.
public struct OptionFile: Sendable {
  /// Of a safetensors file (explainability net) and of a JSON file (DiffRate counts).
  public let tensors: [String: Tensor], lists: [String: [Double]]
  /// What a JSON file says it is, for example `vtok-rates/1`.
  public let schema: String?
  public init(tensors: [String: Tensor] = [:], lists: [String: [Double]] = [:], schema: String? = nil) {
    self.tensors = tensors
    self.lists = lists
    self.schema = schema
  }

  /// For callers that read no files: an option that names one is refused.
  @Sendable public static func refuse(_ path: String) throws -> OptionFile { throw Unread(path: path) }

  private struct Unread: OneLineError {
    let path: String
    var message: String {
      "file '\(printable(path))': nothing here reads files, expected a reader. Give one, or make the method by hand."
    }
  }
}
