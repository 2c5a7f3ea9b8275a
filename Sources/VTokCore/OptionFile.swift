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
}
