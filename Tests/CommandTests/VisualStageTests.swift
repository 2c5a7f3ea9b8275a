import Foundation
import Testing
import VTok

/// Pictures of what every stage leaves in a vision-language model.
@Suite struct VisualStageTests {
  private func answered(_ name: String, _ method: String?, _ folder: String, images: [String] = ["cat.jpg"]) throws -> (
    stages: [[VisualStage]], dense: [VisualStage], answer: Generator.Answer
  ) {
    let generator = try Generator(model: try TinyModel.make(name, in: folder), method: method)
    let photos = try images.map { try Image.decode(contentsOf: pictures + "/" + $0).image }
    let prompt = try generator.prepare("What is it?", about: photos)
    let answer = try generator(prompt, limit: 2, keepingNotes: true)
    return (generator.stages(of: answer, to: prompt), generator.undisturbed(prompt), answer)
  }

  @Test func everyStageOnce() throws {
    try inTemporaryFolder { folder in
      let spec = "visionzip:keep=24+fastv:layer=1,keep=0.5+elastic-cache:policy=local,keep=0.6"
      let found = try answered("llava15-tiny-d", spec, folder, images: ["cat.jpg", "ship.jpg"])
      #expect(found.stages.count == 2)
      for stages in found.stages {
        // The cache drops what comes first, so that it may leave the last picture alone.
        let names = ["visionzip behind the tower", "fastv entering layer 1", "elastic-cache on the KV cache"]
        #expect(stages.map(\.name) == Array(names.prefix(stages.count)))
        try #require(stages.count >= 2)
        // The class token, which VisionZip keeps too, stands for no patch.
        #expect(stages[0].tokens == 23 && stages[1].tokens < 23)
        for stage in stages {
          let owners = stage.maps[0].owners
          #expect(stage.maps.count == 1 && owners.count == 64)
          #expect(Set(owners).subtracting([-1]).count == stage.tokens)
        }
        // Nothing comes back.
        for (before, after) in zip(stages, stages.dropFirst()) {
          let (old, new) = (before.maps[0].owners, after.maps[0].owners)
          #expect(zip(old, new).allSatisfy { $0 >= 0 || $1 < 0 })
        }
      }
      try #require(found.stages[0].count == 3)
      #expect(found.stages[0][2].tokens < found.stages[0][1].tokens)
      // Half of what both pictures had, over both.
      #expect(found.stages.reduce(0) { $0 + $1[1].tokens } <= 24)
      #expect(found.answer.table.tokensOut == 24)
    }
  }

  /// Tiles lie in their grid, the thumbnail apart.
  @Test(arguments: ["llavanext-tiny-d", "idefics3-tiny-a"]) func tilesLieInTheirGrid(_ name: String) throws {
    try inTemporaryFolder { folder in
      let found = try answered(name, nil, folder, images: ["ship.jpg"])
      #expect(found.stages[0].isEmpty)
      let maps = found.dense[0].maps
      #expect(maps.count == 2)
      let (side, tiles) = (
        maps[1].rows, (rows: maps[0].rows / maps[1].rows, columns: maps[0].columns / maps[1].columns)
      )
      #expect(maps[1].owners == Array(0..<side * side))
      for tile in 0..<tiles.rows * tiles.columns {
        let (row, column) = (tile / tiles.columns * side, tile % tiles.columns * side)
        for cell in [0, 1, side, side * side - 1] {
          let place = (row + cell / side) * maps[0].columns + column + cell % side
          #expect(maps[0].owners[place] == tile * side * side + cell)
        }
      }
      #expect(maps[1].region == ImageProcessor.Region(x: 0, y: 0, width: 560, height: 400))
    }
  }

  @Test func theCommandsDraw() throws {
    try inTemporaryFolder { folder in
      let (model, file) = (try TinyModel.make("llava15-tiny-d", in: folder), folder + "/strip.png")
      let shown = try vtok(
        "show", pictures + "/cat.jpg", "-o", file, "--model", model, "--method", "pyramiddrop:layers=1/2/3", "--stages",
        "2")
      #expect(shown.status == 0, "\(shown.error)")
      #expect(
        shown.out.contains("64 → 8 image tokens") && shown.out.contains("2: pyramiddrop entering layer 3, 8 left"))
      let strip = try Image.decode(contentsOf: file).image
      #expect(strip.size == Size(width: 2 * 448 + 6, height: 448))
      let answered = try vtok(
        "generate", "--model", model, "--image", pictures + "/cat.jpg", "--image", pictures + "/ship.jpg", "--prompt",
        "What?", "--max-tokens", "2", "--method", "fastv:layer=1,keep=0.5", "--overlay", file, "--quiet")
      #expect(answered.status == 0, "\(answered.error)")
      #expect(try Image.decode(contentsOf: file).image.size == Size(width: 560, height: 448 + 6 + 400))
      let target = try vtok(
        "show", pictures + "/cat.jpg", "-o", file, "--model", model, "--method", "fastv:layer=1", "--target-gmacs", "1")
      #expect(target.status == 2 && target.error.contains("target"))
    }
  }
}
