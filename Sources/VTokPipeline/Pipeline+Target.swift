import VTokCore
import VTokEval
import VTokMethods
import VTokModels
import VTokTensor

extension LoadedModel {
  /// The budget that makes `method` cost what was asked on this model: from the cost ledger, or for milliseconds from
  /// runs of the model itself on noise of its own image size, one thread.
  /// - Throws: `MethodError`, `CompressionError`.
  public func solve(
    _ target: Target, _ method: MethodSpec,
    read: @escaping @Sendable (String) throws -> OptionFile = OptionFile.read
  ) throws -> TargetSolver.Solution {
    try solve(target, title: method.description) { try method.make(budget: $0, read: read) }
  }

  /// The same for methods that are values.
  /// - Parameters:
  ///   - title: of the methods, for messages.
  ///   - make: the methods with a budget.
  public func solve(
    _ target: Target, title: String, make: (Budget) throws -> [any Compressor]
  ) throws -> TargetSolver.Solution {
    guard case .milliseconds = target else {
      return try TargetSolver.solve(target, title: title, on: vision.shape, make: make)
    }
    return try TargetSolver.solve(target, title: title, patches: vision.tower.shape.patches) { budget in
      try milliseconds(Pipeline(self, methods: make(budget), keep: budget))
    }
  }

  /// Tower and selection of one image, the fastest of `repeats` runs after one that warms up: what else the machine does
  /// can only add to it.
  private func milliseconds(_ pipeline: Pipeline, repeats: Int = 5) throws -> Double {
    let tower = vision.tower.shape
    var (rows, columns) = (tower.rows, tower.columns)
    if let limit = pipeline.composition.shrink?.tokens(of: rows * columns), limit < rows * columns {
      (rows, columns) = Shape.Tower.grid(rows: rows, columns: columns, patches: limit)
    }
    var generator = SeededGenerator(seed: 1)
    let pixels = Tensor(shape: [3, rows * tower.patch, columns * tower.patch]) { out in
      for index in 0..<3 * rows * columns * tower.patch * tower.patch { out[index] = generator.uniform() - 0.5 }
    }
    var fastest = Double.infinity
    for repetition in 0...repeats {
      var run = Run(pipeline.composition)
      _ = try vision(pixels, run: &run, dense: (tower.rows, tower.columns))
      if repetition > 0 { fastest = min(fastest, (run.trace.towerSeconds + run.trace.selectionSeconds) * 1000) }
    }
    return fastest
  }
}
