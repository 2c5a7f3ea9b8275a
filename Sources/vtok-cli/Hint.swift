import VTok

/// The library's errors speak of values; here is which flag or command mends them, by their type.
enum Hint {
  /// nil: the error says it all.
  static func of(_ error: any Error) -> String? {
    switch error {
    case MethodError.option(let error): of(error)
    case MethodError.unknown, MethodError.malformed: "See 'vtok methods'."
    case OptionError.invalid(let method, _, _, _): "See 'vtok methods \(method)'."
    case CompressionError.lacks(_, .question): "Add --prompt TEXT."
    case CompressionError.lacks(_, .companion): "Add --companion DIR."
    case ModelError.noProcessor: "The flag is --processor."
    case ModelError.template: "The flag is --template."
    case ModelError.unknownFamily: "See 'vtok models'."
    case CalibrationError.target: "The flags are --target-gflops and --target-ratio."
    case CalibrationError.file: "Or --force throws it away."
    case MergeError.noParts: "'vtok prune --shard i/n' does."
    case MergeError.missing(_, let part, let count): "'vtok prune --shard \(part)/\(count)' does."
    case let error as OutputError where error.isTaken: "Or --force replaces it."
    default: nil
    }
  }
}
