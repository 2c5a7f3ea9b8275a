import Foundation
import TestSupport
import Testing
import VTok

/// Whole models against logits that PyTorch computed from the same weights and pictures.
@Suite struct ReferenceTests {
  @Test(.enabled(if: sharedData != nil, "needs the folder shared/data")) func tinyOnThousandPictures() throws {
    let folder = try #require(sharedData)
    let pipeline = try Pipeline(model: "vtok-tiny")
    let reference = try Safetensors(path: folder + "/vtok-tiny/test1000-logits.safetensors")
    let (wanted, labels) = (try reference.tensor("logits"), try reference.integers("labels"))
    let records = try unpacked(folder + "/cifar10/cifar10-test1000.bin.gz")
    try #require(records.count == 3073 * labels.count)
    let found = onTwoThreads(labels.count) { index -> (distance: Float, right: Bool) in
      let record = records[index * 3073..<(index + 1) * 3073]
      let planes = Array(record.dropFirst())
      let rgb = (0..<1024).flatMap { pixel in (0..<3).map { planes[$0 * 1024 + pixel] } }
      let logits = try! pipeline(Image(width: 32, height: 32, rgb: rgb)).logits!
      return (distance(logits, wanted.row(index)), argmax(logits) == Int(labels[index]))
    }
    #expect(found.allSatisfy { $0.distance <= 1e-3 }, "\(found.map(\.distance).max()!)")
    #expect(found.count { $0.right } == 789, "the reference has 78.9% right")
  }

  @Test(.enabled(if: sharedData != nil, "needs the folder shared/data")) func dinoOnClothes() throws {
    let folder = try #require(sharedData)
    let pipeline = try Pipeline(model: folder + "/dinov2s-focus")
    let lines = try String(contentsOfFile: folder + "/dinov2s-focus/clothing-test-logits.tsv", encoding: .utf8)
      .split(separator: "\n").map { $0.split(separator: "\t") }
    let found = onTwoThreads(lines.count) { index -> (distance: Float, right: Bool) in
      let fields = lines[index]
      let image = try! Image.decode(contentsOf: "\(folder)/clothing/\(fields[0])").image
      let logits = try! pipeline(image).logits!
      return (distance(logits, fields[2...].map { Float($0)! }), argmax(logits) == Int(fields[1]))
    }
    #expect(lines.count == 372)
    #expect(found.count { $0.right } == 315)
    #expect(found.allSatisfy { $0.distance <= 1e-3 }, "\(found.map(\.distance).max()!)")
  }
}
