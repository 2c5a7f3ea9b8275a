import Foundation
import Testing
import VTok

/// A tower's shape from config.json alone is the one that loading the weights finds.
@Suite struct ConfigShapeTests {
  static let cases = (#filePath as NSString).deletingLastPathComponent + "/../Golden/Cases/vit-runtime"
  static let folders = try! FileManager.default.contentsOfDirectory(atPath: cases).sorted()
    .map { cases + "/" + $0 }.filter { FileManager.default.fileExists(atPath: $0 + "/config.json") }

  @Test(arguments: folders) func likeTheLoadedModel(_ folder: String) throws {
    let config = try JSON(parsing: [UInt8](FileManager.default.contents(atPath: folder + "/config.json")!))
    let loaded = try VisionModel.load(Checkpoint(directory: folder))
    #expect(try Shape.Tower(config: config) == loaded.tower.shape)
  }

  @Test func thereAreFolders() { #expect(Self.folders.count >= 15) }

  @Test func unknownFamilyIsNamed() {
    #expect(throws: ModelError.self) { try Shape.Tower(config: ["model_type": "swin"]) }
  }

  /// GMACs of the table in the cost convention of timm.
  @Test(arguments: [
    ("deit-t", 1.254), ("deit-s", 4.599), ("deit-s-distilled", 4.624), ("deit-b", 17.564), ("vit-l-mae", 61.555),
    ("vit-h-mae", 167.295), ("vit-b-augreg-384", 55.484), ("clip-b-32", 4.408), ("clip-l-14", 81.01),
    ("clip-l-14-336", 190.96), ("siglip-b-16", 17.708), ("siglip-so400m-14-384", 335.17), ("dinov2-s", 6.124),
    ("dinov2-s-518", 46.70),
  ]) func namedShape(_ name: String, gmacs: Double) throws {
    let shape = try #require(Shape.published(name))
    let cost = Cost(denseWith: shape.tower!.patches, shape: shape)
    #expect(abs(cost.gmacs - gmacs) < 0.0051)
  }
}
