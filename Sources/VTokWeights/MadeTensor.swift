import VTokTensor

/// A tensor that a model asks for, made of tensors that a file has in another form. Nothing is copied where rows stay whole.
package struct MadeTensor: Sendable {
  /// How several tensors become one.
  package enum Join: Sendable {
    /// Rows on top of each other.
    case rows
    /// Kernels of one frame each side by side: `[n, channels, frames, height, width]`.
    case frames
  }

  /// Names in the files.
  package let parts: [String]
  let join: Join
  /// Those of one tensor that count; nil: all.
  let rows: Range<Int>?
  /// Rows of one head, which lie so that rows 2m and 2m + 1 are rotated together: asked for are rows m and m + head/2.
  let head: Int?

  /// Several tensors as one.
  package init(_ parts: [String], join: Join) {
    self.parts = parts
    self.join = join
    rows = nil
    head = nil
  }

  /// Some rows of a tensor, or all, perhaps head by head in another order.
  package init(_ name: String, rows: Range<Int>? = nil, head: Int? = nil) {
    parts = [name]
    join = .rows
    self.rows = rows
    self.head = head
  }

  /// Its shape; nil where a part is missing, or the parts do not fit together.
  func shape(of entries: [TensorEntry]) -> [Int]? {
    guard entries.count == parts.count, let first = entries.first?.shape, !first.isEmpty else { return nil }
    switch join {
    case .frames:
      guard first.count == 4, entries.allSatisfy({ $0.shape == first }) else { return nil }
      return [first[0], first[1], entries.count, first[2], first[3]]
    case .rows:
      guard entries.allSatisfy({ $0.shape.dropFirst() == first.dropFirst() }) else { return nil }
      var count = 0
      for entry in entries {
        let (sum, overflow) = count.addingReportingOverflow(entry.shape[0])
        if overflow { return nil }
        count = sum
      }
      if let rows {
        guard rows.upperBound <= count else { return nil }
        count = rows.count
      }
      return [count] + first.dropFirst()
    }
  }

  /// Of every row asked for, where it lies.
  func order(of rows: Int) -> [Int]? {
    guard let head else { return nil }
    return (0..<rows).map { row in
      let place = row % head
      return row - place + 2 * (place % (head / 2)) + place / (head / 2)
    }
  }
}

extension Checkpoint {
  func weight(_ made: MadeTensor, _ name: String, _ expected: [Int?]) throws(WeightError) -> Weight {
    let entries = try entries(of: made, name, expected)
    if made.join == .frames {
      let whole = try tensor(made, name, expected)
      return Weight(whole.reshaped([whole.shape[0], whole.shape.dropFirst().reduce(1, *)]))
    }
    var weights: [Weight] = []
    for entry in entries { weights.append(try store.shard(of: entry)!.weight(entry, rounding: precision == .file)) }
    let weight = weights.count == 1 ? weights[0] : .stacked(weights)
    return made.order(of: weight.rows).map { weight.reordered($0) } ?? weight
  }

  func tensor(_ made: MadeTensor, _ name: String, _ expected: [Int?]) throws(WeightError) -> Tensor {
    let entries = try entries(of: made, name, expected)
    let shape = made.shape(of: made.parts.compactMap(store.entry(_:)))!
    var parts: [Tensor] = []
    for entry in entries { parts.append(try store.shard(of: entry)!.tensor(entry)) }
    if made.join == .frames {
      let area = shape[3] * shape[4]
      let frames = parts.map { $0.reshaped([shape[0] * shape[1], area]) }
      return Tensor(sideBySide: frames).reshaped(shape)
    }
    let width = shape.dropFirst().reduce(1, *)
    let whole = Tensor(parts.flatMap(\.values), shape: [shape[0], width])
    return (made.order(of: shape[0]).map { whole.gathered($0) } ?? whole).reshaped(shape)
  }

  /// The parts, or the rows of one that count.
  private func entries(of made: MadeTensor, _ name: String, _ expected: [Int?]) throws(WeightError) -> [TensorEntry] {
    var entries: [TensorEntry] = []
    for part in made.parts {
      guard let entry = store.entry(part) else {
        throw WeightError(
          .missingTensor, store.name, tensor: part, found: "no such tensor among \(store.entries.count)",
          expected: "it, for a tensor of shape \(Self.text(expected))",
          fix: similarNames(part, in: store.entries.lazy.map(\.name)))
      }
      store.asked.withLock { _ = $0.insert(ExactString(part)) }
      entries.append(entry)
    }
    let found = made.shape(of: entries)
    try check(found ?? entries[0].shape, expected, of: entries[0])
    guard found != nil, made.head.map({ $0 > 0 && $0 % 2 == 0 && found![0] % $0 == 0 }) ?? true else {
      throw WeightError(
        .shape, entries[0].file, tensor: entries[0].name, found: "shape \(Self.text(entries[0].shape))",
        expected: made.head.map { "whole heads of \($0) rows" } ?? "parts of \(Self.text(expected)) that fit together",
        fix: "The file is not what its keys say: fetch it again.")
    }
    return made.rows.map { [entries[0].rows($0)] } ?? entries
  }
}
