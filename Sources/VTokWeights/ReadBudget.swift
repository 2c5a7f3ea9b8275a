/// What reading a file may cost, by its kind. All limits of readers stand here.
///
/// A few bytes of a file can stand for many objects: 60 MB of one pickle opcode were 4.3 GB of tuples, 100 MB of `0,` were
/// 1.7 GB of numbers. So a reader looks at the length first, then counts the memory of what it makes while it makes it,
/// and stops where its kind of file ends. Together with the text, no kind comes to more than 256 MB, but for published sets of
/// questions, which are imported knowingly.
public struct ReadBudget: Sendable, Equatable {
  /// For messages.
  public let kind: String
  /// Longest text, in bytes.
  public let text: Int
  /// Memory that the values read from it may take, in bytes, by the prices below.
  public let memory: Int

  init(_ kind: String, text: Int, memory: Int) {
    self.kind = kind
    self.text = text
    self.memory = memory
  }

  /// `config.json`, processors, generation and tokenizer settings, chat templates. The largest published ones name 22,000
  /// classes twice, in 2 MB.
  public static let settings = ReadBudget("a configuration", text: 16 << 20, memory: 64 << 20)
  /// `tokenizer.json`, `vocab.json`, `merges.txt`. Gemma's has 262,000 tokens and 515,000 merges in 34 MB.
  public static let vocabulary = ReadBudget("a tokenizer", text: 48 << 20, memory: 192 << 20)
  /// The header of a safetensors file, the index of a sharded checkpoint: 100 to 200 bytes a tensor. The official reader
  /// takes headers of 100 MB.
  public static let tensorList = ReadBudget("a list of tensors", text: 100_000_000, memory: 128 << 20)
  /// The pickle in a PyTorch file: 200 bytes a tensor.
  public static let pickle = ReadBudget("a pickle of tensors", text: 64 << 20, memory: 96 << 20)
  /// Results, states and questions: JSON that is not part of a model.
  public static let data = ReadBudget("a data file", text: 64 << 20, memory: 192 << 20)
  /// A published set of questions with all its answers, VQA v2's training part included.
  public static let questions = ReadBudget("a file of questions", text: 1 << 30, memory: 8 << 30)

  /// Most files in the archive of a PyTorch file, one for each tensor.
  static let archivedFiles = 1 << 18
  /// Most tensors of one PyTorch file.
  static let pickledTensors = 1 << 18
  /// Most values on the stack of a pickle, and most marks; containers are filled a thousand values at a time.
  static let pickleStack = 1 << 18

  /// By the name of a file in a checkpoint.
  static func named(_ file: String) -> ReadBudget {
    switch file {
    case "tokenizer.json", "vocab.json", "merges.txt": .vocabulary
    case _ where file.hasSuffix(".index.json"): .tensorList
    default: .settings
    }
  }

  /// Refuses a file by its length, before any of it is read.
  func check(_ length: Int, _ path: String) throws(WeightError) {
    if length > text {
      throw WeightError(
        .budget, path, found: "\(length) bytes", expected: "at most \(text) bytes for \(kind)",
        fix: "The file is not what its name says: fetch it again.")
    }
  }
}

/// Counts the memory of values while they are made. Prices are about those of Swift on 64-bit Linux: what an array leaves
/// unused when it doubles is in them.
struct MemoryMeter {
  private(set) var left: Int

  init(_ budget: ReadBudget) { self.init(memory: budget.memory) }
  init(memory: Int) { left = memory }

  /// A value in an array; a key with its value in an object, and its place in the table that finds it.
  static let value = 32, member = 112
  static let container = 64
  /// A string: up to 15 bytes lie in the value itself.
  static func text(_ length: Int) -> Int { length > 15 ? 32 + length : 0 }

  /// False once the budget is spent.
  @inline(__always) mutating func takes(_ bytes: Int) -> Bool {
    left -= bytes
    return left >= 0
  }
}
