import Foundation
import Synchronization
import TestSupport
import Testing
import VTok

/// Towers whose blocks know where rows lie, and those of any resolution: positions travel with rows, whatever methods do.
@Suite struct TowerPositionTests {
  static let cases = goldenCases + "vit-towers/"
  static let folders = try! FileManager.default.contentsOfDirectory(atPath: cases).sorted()
    .filter { FileManager.default.fileExists(atPath: cases + $0 + "/model.safetensors") }
  static let models = Dictionary(
    uniqueKeysWithValues: folders.map {
      ($0, try! VisionModel.load(Checkpoint(directory: cases + $0)))
    })
  /// Every method that acts inside towers, on any of these, and options that change what it does.
  static let specs =
    Set(
      models.values.flatMap {
        TestSupport.specs(for: $0.shape, standard: "keep=0.5", where: \.staysInBlocks)
      }
    ).sorted()
    + ["tome:r=3", "tome:keep=0.3"]

  /// Pixels of noise; of another grid than the model's own where it takes any.
  private func pixels(_ shape: Shape.Tower) -> Tensor {
    var generator = SeededGenerator(seed: 11)
    let rows = (shape.anySize ? shape.rows + 1 : shape.rows) * shape.patch
    let columns = (shape.anySize ? shape.columns + 2 : shape.columns) * shape.patch
    return Tensor(
      (0..<3 * rows * columns).map { _ in generator.normal() }, shape: [3, rows, columns])
  }

  @Test func thereAreTowers() {
    #expect(Self.folders.count >= 10 && Self.specs.count >= 6)
    #expect(
      Self.models.values.contains { $0.tower.embed(pixels($0.tower.shape)).coordinate.isEmpty })
  }

  /// Amounts, prefix, origins and coordinates after every method on every tower; the same again and on two threads.
  @Test(arguments: specs, folders) func whatTravels(_ spec: String, _ folder: String) throws {
    let model = Self.models[folder]!
    let shape = model.tower.shape
    let methods = try MethodSpec(spec).make(budget: nil)
    guard let composition = try? Composition(methods, for: model.shape) else { return }  // refused, with its reason
    let pixels = pixels(shape)
    let entering = model.tower.embed(pixels)
    var run = Run(composition, seed: 5)
    let output = try model(pixels, run: &run)
    let tokens = output.tokens
    #expect(
      tokens.count < entering.count
        && tokens.count == run.trace.tower.last?.mlpRows.reduce(0, +) ?? 0)
    #expect(Array(tokens.id.prefix(shape.prefix)) == (0..<Int32(shape.prefix)).map { $0 })
    #expect(
      tokens.kind == entering.kind.prefix(shape.prefix)
        + tokens.kind.dropFirst(shape.prefix).map { _ in .patch })
    #expect(tokens.x.values.allSatisfy(\.isFinite) && output.pooled.allSatisfy(\.isFinite))
    #expect(tokens.coordinate.count == (entering.coordinate.isEmpty ? 0 : tokens.count))
    for row in tokens.rows(.patch) {
      let range = tokens.origin.range(row)
      #expect(
        !range.isEmpty
          && Int(tokens.origin.patches[range.lowerBound]) == Int(tokens.id[row]) - shape.prefix)
      guard !tokens.coordinate.isEmpty else { continue }
      // The mean over the patches that a row stands for, each once: masses are numbers of patches here.
      let cells = tokens.origin.patches[range].map { entering.coordinate[shape.prefix + Int($0)] }
      let mean = (
        cells.reduce(0) { $0 + $1.row } / Float(cells.count),
        cells.reduce(0) { $0 + $1.column } / Float(cells.count)
      )
      let found = tokens.coordinate[row]
      if cells.count == 1 { #expect(found == cells[0]) }
      #expect(abs(found.row - mean.0) < 1e-4 && abs(found.column - mean.1) < 1e-4)
    }
    for threads in [1, 2] {
      var again = Run(composition, seed: 5)
      #expect(try model(pixels, run: &again, threads: threads).tokens.x == tokens.x)
    }
  }

  /// Rows in another order are the same rows: nothing goes by place.
  @Test(arguments: folders) func orderSaysNothing(_ folder: String) throws {
    let model = Self.models[folder]!
    let pixels = pixels(model.tower.shape)
    let prefix = model.tower.shape.prefix
    let count = model.tower.embed(pixels).count
    let kept = Array(0..<prefix) + (prefix..<count).filter { $0 % 3 != 1 }
    let turned = Array(0..<prefix) + kept.dropFirst(prefix).reversed()
    var ends: [VisionModel.Output] = []
    for rows in [kept, turned] {
      var run = Run(try Composition([Picked(rows: rows)], for: model.shape))
      ends.append(try model(pixels, run: &run))
    }
    let place = Dictionary(uniqueKeysWithValues: ends[1].tokens.id.enumerated().map { ($1, $0) })
    for (row, id) in ends[0].tokens.id.enumerated() {
      let (a, b) = (ends[0].tokens.x.row(row), ends[1].tokens.x.row(place[id]!))
      #expect(zip(a, b).allSatisfy { abs($0 - $1) < 1e-4 * max(1, abs($0)) }, "row \(id)")
    }
    #expect(
      zip(ends[0].pooled, ends[1].pooled).allSatisfy { abs($0 - $1) < 1e-4 * max(1, abs($0)) })
  }

  /// A merged row lies between its members, by mass.
  @Test func coordinatesOfMergedRows() {
    var tokens = TokenSequence(
      x: Tensor([1, 2, 3, 4], shape: [4, 1]), kind: [.classifier, .patch, .patch, .patch],
      origin: Origin([nil, 0, 1, 2]),
      coordinate: [(0, 0), (1, 2), (3, 4), (9, -2)].map { Coordinate(row: $0.0, column: $0.1) })
    tokens.apply(Reduction(rows: [[0], [1, 2], [3]], of: 4, blend: .byMass))
    #expect(tokens.coordinate[1] == Coordinate(row: 2, column: 3) && tokens.coordinate[0].row == 0)
    tokens.apply(Reduction(rows: [[0], [2, 1]], of: 3, blend: .weighted([1, 0.9, 0.1])))
    #expect(
      abs(tokens.coordinate[1].row - 13 / 3) < 1e-6
        && abs(tokens.coordinate[1].column - 4 / 3) < 1e-6)
    tokens.restart(at: [Position(0), Position(1)])
    #expect(tokens.coordinate.isEmpty)
  }
}

/// Keeps rows as given, once, in the middle of the first block.
private struct Picked: Compressor {
  static let name = "picked"
  static let summary = "keeps rows"
  let rows: [Int]
  init(rows: [Int]) { self.rows = rows }
  init(_ options: inout Options) throws(OptionError) { rows = [] }
  func plan(for model: Shape) -> Plan { Plan(act: [.block(0, .middle)]) }
  func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) -> [Reduction]? {
    [.keep(rows, of: view.sequences[0].count)]
  }
}
