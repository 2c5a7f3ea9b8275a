import Foundation
import Testing
import VTok

/// Published costs, computed again: the methods' own schedules, rehearsed on the published shapes.
///
/// `PaperTables/vit.json` holds what the papers print (their "GFLOPs" are multiply-adds). A row counts as reproduced
/// within 1.5%, or when it is equal after rounding to the printed digits.
@Suite struct PaperTableTests {
  static let table = try! JSON(
    parsing: [UInt8](
      FileManager.default.contents(
        atPath: (#filePath as NSString).deletingLastPathComponent + "/PaperTables/vit.json")!))

  struct Row: Sendable, CustomTestStringConvertible {
    let json: JSON
    var testDescription: String {
      "\(json["model"]!.string!) \(json["method"]!.string!) \(json["published_gflops"]!.double!)"
    }
  }
  static let rows = table["rows"]!.array!.map { Row(json: $0) }

  @Test(arguments: rows) func published(_ row: Row) throws {
    let json = row.json
    let shape = try Self.shape(json)
    let cost = try Rehearsal.cost(try Self.methods(json, shape), on: shape)
    var macs = cost.macs
    let method = json["method"]!.string!
    // DiffRate's counter multiplies the patch projection with the class token too; DynamicViT's predictor is counted.
    if method.hasPrefix("DiffRate") { macs += 3 * shape.tower!.patch * shape.tower!.patch * shape.tower!.width }
    if method.hasPrefix("DynamicViT") { macs += cost.selection }
    let gmacs = Double(macs) * 1e-9
    let published = json["published_gflops"]!.double!
    let digits = "\(published)".split(separator: ".").last!.count
    #expect(abs(gmacs / published - 1) <= 0.015 || fixed(gmacs, digits) == fixed(published, digits))
    #expect(abs(gmacs - json["calculated_gflops"]!.double!) < 6e-5)
  }

  @Test func everyReproducedRowIsHere() { #expect(Self.rows.count == 54) }

  @Test(arguments: ZeroTPrune.Preset.allCases) func ownSchedule(_ preset: ZeroTPrune.Preset) throws {
    let row = Self.table["own_presets"]!.array!.first { $0["name"]!.string! == preset.rawValue }!
    let cost = try Rehearsal.cost([ZeroTPrune(preset: preset)], on: Shape.published("deit-s")!)
    #expect(cost.layers.map(\.tokens) == row["tokens_per_block"]!.ints!)
    #expect(abs(cost.gmacs - row["calculated_gflops"]!.double!) < 6e-5)
    #expect(abs(cost.gmacs / row["target_gflops"]!.double! - 1) < 0.0011)
  }

  private static func shape(_ row: JSON) throws -> Shape {
    let names = [
      "DeiT-T/16": "deit-t", "DeiT-S/16": "deit-s", "DeiT-B/16": "deit-b", "ViT-L/16": "vit-l-mae",
      "ViT-H/14": "vit-h-mae",
    ]
    let tower = Shape.published(names[row["arch"]!.string!]!)!.tower!
    let side = row["image_size"]!.int!
    return Shape(tower: try tower.resized(height: side, width: side))
  }

  private static func methods(_ row: JSON, _ shape: Shape) throws -> [any Compressor] {
    let method = row["method"]!.string!
    switch method {
    case "none": return []
    case "ToMe": return [ToMe(r: row["r"]!.int!)]
    case _ where method.hasPrefix("DiffRate"):
      let name = "\(row["model"]!.string!.lowercased())-\(row["target_gflops"]!.double!)"
      let preset = try #require(DiffRate.Preset.named(name))
      #expect(preset.schedule.prune == row["prune_kept_num"]!.ints!)
      #expect(preset.schedule.merge == row["merge_kept_num"]!.ints!)
      return [DiffRate(preset: preset)]
    case _ where method.hasPrefix("EViT"):
      return [FusedPruning(blocks: row["locations_0based"]!.ints!, rate: row["keep_rate"]!.double!)]
    case _ where method.hasPrefix("DynamicViT"):
      return [PredictedPruning(blocks: row["locations_0based"]!.ints!, rate: 0.7)]
    default: throw UnknownMethod(name: method)
    }
  }
}

struct UnknownMethod: Error { let name: String }

/// EViT's rule, for its cost: after the attention of a block the best `ceil(rate * patches)` stay and one token fused of
/// all others joins them.
private struct FusedPruning: Compressor {
  static let name = "fused-pruning"
  static let summary = "EViT's token counts"
  let blocks: [Int], rate: Double

  init(blocks: [Int], rate: Double) { (self.blocks, self.rate) = (blocks, rate) }
  init(_ options: inout Options) throws(OptionError) { self.init(blocks: [], rate: 1) }

  func plan(for model: Shape) -> Plan { Plan(act: Set(blocks.map { .block($0, .middle) })) }

  mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) -> [Reduction]? {
    view.sequences.map { tokens in
      let keep = Int((rate * Double(tokens.count - 1)).rounded(.up))
      let rest = (keep + 1..<tokens.count).map { Int32($0) }
      return Reduction(rows: (0...keep).map { [Int32($0)] } + [rest], of: tokens.count, blend: .byCount)
    }
  }
}

/// DynamicViT's rule, for its cost: before a block a small network scores the patches, of which a fixed share of the
/// first count stays, rounded down.
private struct PredictedPruning: Compressor {
  static let name = "predicted-pruning"
  static let summary = "DynamicViT's token counts"
  let blocks: [Int], rate: Double
  private var share = 1.0

  init(blocks: [Int], rate: Double) { (self.blocks, self.rate) = (blocks, rate) }
  init(_ options: inout Options) throws(OptionError) { self.init(blocks: [], rate: 1) }

  func plan(for model: Shape) -> Plan { Plan(act: Set(blocks.map { .block($0 - 1, .end) })) }

  mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) -> [Reduction]? {
    share *= rate
    let (tower, share) = (view.shape.tower!, share)
    return view.sequences.map { tokens in
      let width = tower.width
      notes.book(macs: (tokens.count - 1) * (width * width + width * width / 2 + width * width / 8 + width / 2))
      return .keep(Array(0...Int(share * Double(tower.patches))), of: tokens.count)
    }
  }
}
