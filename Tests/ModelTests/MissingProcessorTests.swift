import Foundation
import TestSupport
import Testing
import VTok

/// A folder that does not say how images are prepared is refused wherever pictures come in; a file that a user names is as
/// good as one in the folder.
@Suite struct MissingProcessorTests {
  static let towers = goldenCases + "vit-runtime/"
  static let photo = Image(width: 61, height: 47, colour: [200, 30, 90])

  /// The error of a model without a processor.
  private func isRefused(_ model: String, _ body: () throws -> Void) {
    let error = modelError(body)
    #expect(error == .noProcessor(model: model), "\(error.map { "\($0)" } ?? "no error")")
    for name in ProcessorFile.names { #expect(error?.description.contains(name) == true) }
  }

  @Test(arguments: ["hf_clip_vision", "hf_siglip_vision", "hf_vit_cls", "hf_deit_teacher", "hf_dinov2"])
  func towersOfHuggingFace(_ name: String) throws {
    let file = Self.towers + name + "/preprocessor_config.json"
    let pixels = try Pipeline(model: Self.towers + name).prepare(Self.photo).pixels
    try withCopy(of: Self.towers + name) { folder in
      isRefused(folder) { _ = try LoadedModel.load(folder) }
      isRefused(folder) { _ = try Pipeline(model: folder) }
      #expect(try Inspection(folder).problem as? ModelError == .noProcessor(model: folder))
      // Who brings pixels needs none.
      #expect(try VisionModel.load(Checkpoint(directory: folder)).processor == nil)
      let loaded = try LoadedModel.load(folder, processor: file)
      #expect(try Pipeline(loaded, method: nil).prepare(Self.photo).pixels == pixels)
      #expect(try Inspection(folder, processor: file).problem == nil)
    }
  }

  /// The named file counts before those of the folder, which stay as they are, and belongs to what a job depends on.
  @Test func theNamedFileCounts() throws {
    let old = #"{"image_processor_type": "ViTImageProcessor", "image_mean": [0.25, 0.5, 0.5]}"#
    let new = #"{"image_processor": {"image_processor_type": "ViTImageProcessor", "image_mean": [0.75, 0.5, 0.5]}}"#
    try withCopy(of: Self.towers + "hf_vit_cls", files: ["preprocessor_config.json": old, "named.json": new]) {
      folder in
      let (own, named) = (try LoadedModel.load(folder), try LoadedModel.load(folder, processor: folder + "/named.json"))
      #expect(own.processor.mean[0] == 0.25 && named.processor.mean[0] == 0.75)
      #expect(own.settingsSHA256 != named.settingsSHA256)
      #expect(throws: WeightError.self) { try LoadedModel.load(folder, processor: folder + "/absent.json") }
      let wrong = folder + "/wrong.json"
      try Data(#"{"image_processor_type": "ViTImageProcessor", "resample": 9}"#.utf8)
        .write(to: URL(fileURLWithPath: wrong))
      #expect(modelError { _ = try LoadedModel.load(folder, processor: wrong) }?.description.hasPrefix(wrong) == true)
    }
  }

  @Test func timm() throws {
    let name = "timm_deit"
    let whole = Self.towers + name
    let pixels = try Pipeline(model: whole).prepare(Self.photo).pixels
    try withCopy(
      of: whole, config: { $0["pretrained_cfg"] = nil },
      body: { folder in
        isRefused(folder) { _ = try LoadedModel.load(folder) }
        let loaded = try LoadedModel.load(folder, processor: whole + "/config.json")
        #expect(try Pipeline(loaded, method: nil).prepare(Self.photo).pixels == pixels)
        let official = try LoadedModel.load(folder, processor: Self.towers + "hf_vit_cls/preprocessor_config.json")
        #expect(official.processor.mean == [0.5, 0.5, 0.5])
        let bare = folder + "/bare.json"
        try Data(#"{"resample": 3}"#.utf8).write(to: URL(fileURLWithPath: bare))
        #expect(modelError { _ = try LoadedModel.load(folder, processor: bare) }?.description.contains(bare) == true)
      })
    // Beside values of its own, too.
    let other = try LoadedModel.load(whole, processor: Self.towers + "hf_vit_cls/preprocessor_config.json")
    #expect(other.processor.mean == [0.5, 0.5, 0.5])
  }

  /// A weight file alone is named after its architecture, which says nothing about pixels.
  @Test func aWeightFileAlone() throws {
    let file = FileManager.default.temporaryDirectory.path + "/vit_tiny_patch4_64-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: file) }
    let tiny = ConfigFuzzTests.repository + "/Sources/CVTokTiny"
    try FileManager.default.copyItem(atPath: tiny + "/model.safetensors", toPath: file)
    isRefused(file) { _ = try LoadedModel.load(file) }
    #expect(
      try LoadedModel.load(file, processor: tiny + "/config.json").processor == LoadedModel.load("vtok-tiny").processor)
  }

  @Test(arguments: TinyModels.names) func languageModels(_ name: String) throws {
    let files = ProcessorFile.names.map { TinyModels.folder + name + "/" + $0 }
    let file = try #require(files.first(where: FileManager.default.fileExists))
    let whole = try ProcessorConfig.load(Checkpoint(directory: TinyModels.folder + name)).tiles(of: Self.photo)
    try withCopy(of: TinyModels.folder + name) { folder in
      let checkpoint = try Checkpoint(directory: folder)
      if TinyModels.type(of: name) == "internvl_chat" {  // as its authors publish it, all values are in config.json
        #expect(try ProcessorConfig.load(checkpoint).tiles(of: Self.photo).tiles == whole.tiles)
        return
      }
      isRefused(folder) { _ = try ProcessorConfig.load(checkpoint) }
      if try MultimodalModel.load(checkpoint).shape.layout?.tiling != .one {
        isRefused(folder) { _ = try ModelOutline(checkpoint) }
        isRefused(folder) { _ = try ModelOutline.of(folder) }
        #expect(try ModelOutline.of(folder, processor: file).shape == ModelOutline.of(TinyModels.folder + name).shape)
      }
      #expect(try ProcessorConfig.load(checkpoint.preparing(by: file)).tiles(of: Self.photo).tiles == whole.tiles)
    }
  }

  /// Research code of LLaVA takes the processor of the tower that its configuration names.
  @Test func aNamedTowerSaysIt() throws {
    let name = TinyModels.names.first { TinyModels.type(of: $0) == "llava" }!
    func load(_ tower: String) throws {
      try withCopy(
        of: TinyModels.folder + name, config: { $0["mm_vision_tower"] = JSON(tower) },
        body: { folder in
          _ = try ProcessorConfig.load(Checkpoint(directory: folder))
        })
    }
    try load("openai/clip-vit-large-patch14-336")
    #expect(throws: ModelError.self) { try load("google/siglip-so400m-patch14-384") }
  }

  /// What a file leaves out is what the official class has, not what the family's published files say.
  @Test func absentKeysAreOfTheClass() throws {
    func processor(_ type: String) throws -> ImageProcessor? {
      try TowerProcessor.read(ProcessorFile(["image_processor_type": JSON(type)]), standard: nil)
    }
    let bit = try processor("BitImageProcessor")
    #expect(bit?.mean == ImageProcessor.clipMean && bit?.resize == .shortestEdge(224) && bit?.crop == Size(224))
    let deit = try processor("DeiTImageProcessorFast")
    #expect(deit?.resize == .exact(width: 256, height: 256) && deit?.crop == Size(224) && deit?.filter == .bicubic)
    #expect(try processor("ViTFeatureExtractor")?.filter == .bilinear)
    #expect(throws: ModelError.self) { try TowerProcessor.read(ProcessorFile([:]), standard: nil) }
  }

  /// The cost of a tower whose images only the processor sizes.
  @Test func costOfAFolder() throws {
    let whole = Self.towers + "hf_dinov2"
    try withCopy(of: whole) { folder in
      isRefused(folder) { _ = try ModelOutline.of(folder) }
      let sized = try ModelOutline.of(folder, size: Size(width: 56, height: 84)).shape.tower
      #expect(sized?.rows == 6 && sized?.columns == 4)
      let named = try ModelOutline.of(folder, processor: whole + "/preprocessor_config.json")
      #expect(try named.shape == ModelOutline.of(whole).shape)
    }
  }
}
