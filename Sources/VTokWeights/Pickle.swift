/// What a pickle holds when it holds tensors in nested dictionaries, and nothing else.
///
/// The machine knows the few opcodes of protocol 2 that `torch.save` writes for weights and runs no code: the only
/// globals are ordered dictionaries, storages and the two functions that join them to tensors. Anything else is an error
/// that names it. Containers lie in flat lists and refer to each other by number, so that nesting and cycles in a hostile
/// file cost no stack; what they cost in memory is counted (`ReadBudget.pickle`).
struct Pickle {
  enum Value {
    case none
    case bool(Bool)
    case integer(Int)
    case float(Double)
    case text(String)
    case global(Global)
    case tuple(Int)
    case list(Int)
    case dictionary(Int)
    case storage(Int)
    case tensor(Int)
  }
  enum Global: Equatable {
    case orderedDictionary, tensor, parameter
    /// The arguments of a training's command line: they are passed over.
    case namespace
    case storage(ElementType)
  }
  /// Elements of one type, as many as said; which bytes they are is known by the key.
  struct Storage { let type: ElementType, key: String, count: Int }
  /// A view of a storage: offset and strides in elements.
  struct StoredTensor { let storage: Int, offset: Int, shape: [Int], strides: [Int] }

  fileprivate(set) var root = Value.none
  fileprivate(set) var lists: [[Value]] = []  // tuples too
  fileprivate(set) var dictionaries: [[(key: Value, value: Value)]] = []
  fileprivate(set) var storages: [Storage] = []
  fileprivate(set) var tensors: [StoredTensor] = []
  /// Where the pickle ends.
  fileprivate(set) var end = 0

  /// - Parameters:
  ///   - start: where the pickle begins.
  ///   - path: names the file in messages.
  ///   - memory: of the values, in bytes.
  init(
    _ bytes: UnsafeRawBufferPointer, from start: Int = 0, path: String, memory: Int = ReadBudget.pickle.memory
  ) throws(WeightError) {
    var machine = PickleMachine(bytes: bytes, at: start, path: path, memory: memory)
    try machine.run()
    self = machine.pickle
    end = machine.at
  }

  func list(_ value: Value) -> [Value]? {
    if case .list(let index) = value { lists[index] } else { nil }
  }
  /// Keys and values in the order they were set.
  func dictionary(_ value: Value) -> [(key: Value, value: Value)]? {
    if case .dictionary(let index) = value { dictionaries[index] } else { nil }
  }
}

private struct PickleMachine {
  var pickle = Pickle()
  var at: Int
  private let bytes: UnsafeRawBufferPointer, path: String
  private var stack: [Pickle.Value] = [], marks: [Int] = [], memo: [Int: Pickle.Value] = [:]
  private var meter: MemoryMeter
  private let limit: Int
  /// The opcode under way, for messages.
  private var opcode: UInt8 = 0

  init(bytes: UnsafeRawBufferPointer, at: Int, path: String, memory: Int) {
    self.bytes = bytes
    self.at = at
    self.path = path
    limit = memory
    meter = MemoryMeter(memory: memory)
  }

  mutating func run() throws(WeightError) {
    while true {
      opcode = try byte()
      switch opcode {
      case 0x80: if try byte() > 2 { throw unknown("PROTO of a later protocol") }
      case UInt8(ascii: "."):
        pickle.root = try pop()
        return
      case UInt8(ascii: "("): try mark()
      case UInt8(ascii: "N"): try push(.none)
      case 0x88: try push(.bool(true))
      case 0x89: try push(.bool(false))
      case UInt8(ascii: "K"): try push(.integer(Int(try byte())))
      case UInt8(ascii: "M"): try push(.integer(Int(try number(UInt16.self))))
      case UInt8(ascii: "J"): try push(.integer(Int(try number(Int32.self))))
      case 0x8A: try push(.integer(try long()))
      case UInt8(ascii: "G"): try push(.float(Double(bitPattern: try number(UInt64.self).byteSwapped)))
      case UInt8(ascii: "X"): try push(.text(try text(Int(try number(UInt32.self)))))
      case UInt8(ascii: "U"): try push(.text(try text(Int(try byte()))))
      case UInt8(ascii: "q"): try remember(Int(try byte()))
      case UInt8(ascii: "r"): try remember(Int(try number(UInt32.self)))
      case UInt8(ascii: "h"): try recall(Int(try byte()))
      case UInt8(ascii: "j"): try recall(Int(try number(UInt32.self)))
      case UInt8(ascii: ")"): try tuple([])
      case 0x85...0x87:
        let parts = try pop(count: Int(opcode) - 0x84)
        try tuple(parts)
      case UInt8(ascii: "t"):
        let parts = try popToMark()
        try tuple(parts)
      case UInt8(ascii: "]"): try list([])
      case UInt8(ascii: "a"): try extend(by: pop(count: 1))
      case UInt8(ascii: "e"): try extend(by: popToMark())
      case UInt8(ascii: "}"): try dictionary()
      case UInt8(ascii: "s"): try fill(with: pop(count: 2))
      case UInt8(ascii: "u"): try fill(with: popToMark())
      case UInt8(ascii: "c"): try push(.global(try global()))
      case UInt8(ascii: "Q"): try storage()
      case UInt8(ascii: "R"): try reduce()
      case 0x81: try instance()
      case UInt8(ascii: "b"):
        // An ordered dictionary may carry attributes (`_metadata` of a state dict), a namespace has nothing else: they say
        // nothing about tensors.
        _ = try pop()
        guard case .dictionary = try top() else { throw unknown("BUILD on no dictionary") }
      default: throw unknown(pickleOpcodes[opcode] ?? "0x" + String(opcode, radix: 16))
      }
    }
  }

  // MARK: Stack

  private mutating func push(_ value: Pickle.Value) throws(WeightError) {
    guard stack.count < ReadBudget.pickleStack else { throw tooMuch("a stack of more than \(ReadBudget.pickleStack)") }
    stack.append(value)
  }

  private mutating func mark() throws(WeightError) {
    guard marks.count < ReadBudget.pickleStack else { throw tooMuch("more than \(ReadBudget.pickleStack) marks") }
    marks.append(stack.count)
  }

  /// Books the memory of a container, with so many values in it or none.
  private mutating func book(containers: Int = 0, values: Int = 0, bytes: Int = 0) throws(WeightError) {
    if !meter.takes(containers * 96 + values * 48 + bytes) {
      throw tooMuch("objects of more than \(limit >> 20) MB")
    }
  }

  /// The values above the last mark are out of reach until that is taken away.
  private var floor: Int { marks.last ?? 0 }

  private mutating func pop() throws(WeightError) -> Pickle.Value {
    guard stack.count > floor, let value = stack.popLast() else { throw damaged("an empty stack") }
    return value
  }

  private mutating func pop(count: Int) throws(WeightError) -> [Pickle.Value] {
    guard stack.count >= floor + count else { throw damaged("a stack of \(stack.count - floor)") }
    defer { stack.removeLast(count) }
    return Array(stack.suffix(count))
  }

  private mutating func popToMark() throws(WeightError) -> [Pickle.Value] {
    guard let mark = marks.popLast() else { throw damaged("a stack without a mark") }
    defer { stack.removeLast(stack.count - mark) }
    return Array(stack[mark...])
  }

  private func top() throws(WeightError) -> Pickle.Value {
    guard stack.count > floor, let value = stack.last else { throw damaged("an empty stack") }
    return value
  }

  private mutating func recall(_ key: Int) throws(WeightError) {
    guard let value = memo[key] else { throw damaged("a memo without entry \(key)") }
    try push(value)
  }

  private mutating func remember(_ key: Int) throws(WeightError) {
    let value = try top()
    if memo.updateValue(value, forKey: key) == nil { try book(values: 2) }
  }

  // MARK: Containers

  private mutating func tuple(_ parts: [Pickle.Value]) throws(WeightError) {
    try book(containers: 1, values: parts.count)
    pickle.lists.append(parts)
    try push(.tuple(pickle.lists.count - 1))
  }

  private mutating func list(_ parts: [Pickle.Value]) throws(WeightError) {
    try book(containers: 1, values: parts.count)
    pickle.lists.append(parts)
    try push(.list(pickle.lists.count - 1))
  }

  private mutating func dictionary() throws(WeightError) {
    try book(containers: 1)
    pickle.dictionaries.append([])
    try push(.dictionary(pickle.dictionaries.count - 1))
  }

  private mutating func extend(by parts: [Pickle.Value]) throws(WeightError) {
    guard case .list(let index) = try top() else { throw damaged("no list") }
    try book(values: parts.count)
    pickle.lists[index] += parts
  }

  private mutating func fill(with parts: [Pickle.Value]) throws(WeightError) {
    guard case .dictionary(let index) = try top() else { throw damaged("no dictionary") }
    guard parts.count % 2 == 0 else { throw damaged("a key without a value") }
    try book(values: parts.count)
    for at in stride(from: 0, to: parts.count, by: 2) {
      pickle.dictionaries[index].append((parts[at], parts[at + 1]))
    }
  }

  // MARK: Tensors

  private mutating func global() throws(WeightError) -> Pickle.Global {
    let name = "\(try line()).\(try line())"
    guard let global = Self.globals[name] else { throw unknown("GLOBAL of `\(shortened(name))`") }
    return global
  }

  private static let globals: [String: Pickle.Global] = [
    "collections.OrderedDict": .orderedDictionary, "argparse.Namespace": .namespace,
    "torch._utils._rebuild_tensor_v2": .tensor,
    "torch._utils._rebuild_parameter": .parameter, "torch.FloatStorage": .storage(.f32),
    "torch.HalfStorage": .storage(.f16), "torch.BFloat16Storage": .storage(.bf16),
    "torch.DoubleStorage": .storage(.f64),
    "torch.LongStorage": .storage(.i64), "torch.IntStorage": .storage(.i32), "torch.ShortStorage": .storage(.i16),
    "torch.CharStorage": .storage(.i8), "torch.ByteStorage": .storage(.u8), "torch.BoolStorage": .storage(.bool),
  ]

  /// A persistent id: ('storage', type, key, device, count), in the old format with the part of another storage it is.
  private mutating func storage() throws(WeightError) {
    guard case .tuple(let index) = try pop(), case let parts = pickle.lists[index], (5...6).contains(parts.count),
      case .text("storage") = parts[0], case .global(.storage(let type)) = parts[1], case .text(let key) = parts[2],
      case .integer(let count) = parts[4], count >= 0
    else { throw unknown("BINPERSID of no storage") }
    if parts.count == 6, case .none = parts[5] {
    } else if parts.count == 6 {
      throw unknown("BINPERSID of a part of a storage")
    }
    try book(values: 2)
    pickle.storages.append(Pickle.Storage(type: type, key: key, count: count))
    try push(.storage(pickle.storages.count - 1))
  }

  private mutating func reduce() throws(WeightError) {
    let parts = try pop(count: 2)
    guard case .global(let global) = parts[0], case .tuple(let index) = parts[1] else {
      throw unknown("REDUCE of no known function")
    }
    let arguments = pickle.lists[index]
    switch (global, arguments.count) {
    case (.orderedDictionary, 0): try dictionary()
    case (.parameter, 3):
      guard case .tensor = arguments[0] else { throw unknown("REDUCE of a parameter without a tensor") }
      try push(arguments[0])
    case (.tensor, 6...7):
      guard case .storage(let storage) = arguments[0], case .integer(let offset) = arguments[1],
        let shape = integers(arguments[2]), let strides = integers(arguments[3]), shape.count == strides.count
      else { throw unknown("REDUCE of a tensor without storage, offset, sizes and strides") }
      try book(containers: 2, values: shape.count)
      pickle.tensors.append(.init(storage: storage, offset: offset, shape: shape, strides: strides))
      try push(.tensor(pickle.tensors.count - 1))
    default: throw unknown("REDUCE with \(arguments.count) arguments")
    }
  }

  /// A new namespace stands for an empty dictionary.
  private mutating func instance() throws(WeightError) {
    let parts = try pop(count: 2)
    guard case .global(.namespace) = parts[0], case .tuple(let index) = parts[1], pickle.lists[index].isEmpty else {
      throw unknown("NEWOBJ of no known class")
    }
    try dictionary()
  }

  private func integers(_ value: Pickle.Value) -> [Int]? {
    guard case .tuple(let index) = value else { return nil }
    let numbers = pickle.lists[index].compactMap { if case .integer(let number) = $0 { number } else { nil } }
    return numbers.count == pickle.lists[index].count ? numbers : nil
  }

  // MARK: Bytes

  private mutating func take(_ count: Int) throws(WeightError) -> Slice<UnsafeRawBufferPointer> {
    guard count <= bytes.count - at else { throw damaged("the end of the file") }
    defer { at += count }
    return bytes[at..<at + count]
  }

  private mutating func byte() throws(WeightError) -> UInt8 { try take(1).first! }

  private mutating func number<Value: FixedWidthInteger & BitwiseCopyable>(_: Value.Type) throws(WeightError) -> Value {
    let raw = try take(MemoryLayout<Value>.size)
    return Value(littleEndian: raw.base.loadUnaligned(fromByteOffset: raw.startIndex, as: Value.self))
  }

  /// Two's complement of any number of bytes, of which eight are read.
  private mutating func long() throws(WeightError) -> Int {
    let count = Int(try byte())
    guard count <= 8 else { throw unknown("LONG1 of \(count) bytes") }
    let raw = try take(count)
    let value = raw.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    let unused = UInt64(64 - 8 * count)
    return count == 0 ? 0 : Int(Int64(bitPattern: value << unused) >> Int64(unused))
  }

  private mutating func text(_ count: Int) throws(WeightError) -> String {
    try book(bytes: MemoryMeter.text(min(count, bytes.count)))
    guard let text = String(validating: try take(count), as: UTF8.self) else { throw damaged("text that is no UTF-8") }
    return text
  }

  /// Up to the end of a line, as GLOBAL writes names.
  private mutating func line() throws(WeightError) -> String {
    guard let end = bytes[at...].prefix(1000).firstIndex(of: UInt8(ascii: "\n")) else {
      throw damaged("a name without an end")
    }
    defer { at = end + 1 }
    return try text(end - at)
  }

  // MARK: Errors

  private func unknown(_ what: String) -> WeightError {
    WeightError(
      .pickle, path, found: "the pickle opcode \(what)", expected: "tensors in dictionaries and nothing else",
      fix: "Files that need Python code to be read are not: keep the weights alone,"
        + " `torch.save(model.state_dict(), FILE)`.")
  }

  private func tooMuch(_ what: String) -> WeightError {
    WeightError(
      .budget, path, found: "\(what) in the pickle, up to byte \(at)", expected: "tensors in dictionaries",
      fix: damagedFile)
  }

  private func damaged(_ what: String) -> WeightError {
    let name = pickleOpcodes[opcode] ?? "0x" + String(opcode, radix: 16)
    return WeightError(
      .pickle, path, found: "the pickle opcode \(name) on \(what)", expected: "a whole pickle", fix: damagedFile)
  }
}

extension Pickle { fileprivate init() {} }
