import Foundation
import VTokCore
import VTokModels
import VTokWeights

extension Shape {
  /// The shape of a published model by name, of an embedded one, or of a directory with a `config.json`: weights are not
  /// read and need not be there.
  /// - Parameter imageSize: height and width in pixels; nil: the model's own.
  /// - Throws: `ModelError`, `WeightError`.
  public static func of(_ nameOrDirectory: String, imageSize: (height: Int, width: Int)? = nil) throws -> Shape {
    let shape: Shape
    if let known = Shape.published(nameOrDirectory) {
      shape = known
    } else if LoadedModel.embedded.contains(nameOrDirectory) {
      shape = try LoadedModel.load(nameOrDirectory).vision.shape
    } else if let config = try json(nameOrDirectory + "/config.json") {
      let processor = try json(nameOrDirectory + "/preprocessor_config.json")
      shape = try Shape(config: config, processor: processor)
    } else {
      let names = LoadedModel.embedded + Shape.published.map(\.name)
      throw ModelError.input(
        what: "model '\(nameOrDirectory)'", found: "no such name and no config.json there",
        expected: "a directory as downloaded or one of \(names.joined(separator: ", "))",
        fix: closest(to: nameOrDirectory, in: names).map { "Did you mean '\($0)'?" } ?? "Check the path.")
    }
    guard let imageSize, let tower = shape.tower else { return shape }
    return Shape(
      tower: try tower.resized(height: imageSize.height, width: imageSize.width), decoder: shape.decoder,
      layout: shape.layout, connectorMACs: shape.connectorMACs)
  }

  private static func json(_ path: String) throws -> JSON? {
    guard let data = FileManager.default.contents(atPath: path) else { return nil }
    do {
      return try JSON(parsing: [UInt8](data), dialect: .python)
    } catch {
      throw ModelError.input(
        what: "file '\(path)'", found: "a file that is \(error)", expected: "JSON",
        fix: "The file is damaged or its download stopped early: fetch it again.")
    }
  }
}
