import Foundation
import VTok

/// `decode.*`, `preprocess.*`, `clip.tokenize`
let imageFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "decode.png": { try decode($0, extension: "png") },
  "decode.jpeg": { try decode($0, extension: "jpg") },

  "preprocess.resize": { inputs in
    var outputs: [String: GoldenValue] = [:]
    for (index, step) in inputs.config["resizes"]!.array!.enumerated() {
      let size = step["out_hw"]!.ints!
      let resized = try inputs.image("rgb_u8.\(index)").resized(
        width: size[1], height: size[0], filter: Resample(rawValue: step["filter"]!.string!)!)
      outputs["resized_u8.\(index)"] = GoldenValue(resized)
    }
    return outputs
  },

  "preprocess.timm": { inputs in
    let config = inputs.config
    let size = config["input_size"]!.ints!
    let processor = ImageProcessor.timm(
      inputSize: Size(width: size[2], height: size[1]), cropPct: config["crop_pct"]!.double!,
      cropMode: .init(rawValue: config["crop_mode"]!.string!)!,
      filter: Resample(rawValue: config["interpolation"]!.string!)!,
      mean: floats(config["mean"]), std: floats(config["std"]))
    let prepared = processor.prepare(try inputs.image("rgb_u8"))
    return ["cropped_u8": GoldenValue(prepared), "pixel_values": GoldenValue(processor.normalise(prepared))]
  },

  // The processor comes from the published preprocessor_config.json, as for any checkpoint.
  "preprocess.hf": { inputs in
    let type = inputs.config["image_processor_type"]?.string ?? ""
    let file = inputs.file(inputs.case.manifest["files"]!["preprocessor_config.json"]!.string!)
    let json = try JSON(parsing: [UInt8](FileManager.default.contents(atPath: file)!))
    let standard = TowerProcessor.all.first { type.hasPrefix($0.name + "Image") }
    let processor = try TowerProcessor.read(ProcessorFile(json), standard: standard)!
    return ["pixel_values": GoldenValue(processor(try inputs.image("rgb_u8")))]
  },

  "preprocess.llava_pad": { inputs in
    let image = try inputs.image("rgb_u8")
    let side = inputs.config["size"]!.int!
    let colour = inputs.config["background"]!.ints!.map { UInt8($0) }
    let processor = ImageProcessor(
      padToSquare: colour, resize: .shortestEdge(side), filter: .bicubic, crop: Size(side), cropRounding: .floor,
      mean: ImageProcessor.clipMean, std: ImageProcessor.clipStd)
    return [
      "square_u8": GoldenValue(image.paddedToSquare(colour: colour)), "pixel_values": GoldenValue(processor(image)),
    ]
  },

  "clip.tokenize": { inputs in
    let config = inputs.config
    let length = config["context_length"]!.int!
    let texts = config["texts"]!.array!.map { $0.string! }
    let rows = try clipTokenizer(inputs)(texts, contextLength: length, padding: .id(config["pad_id_original"]!.int!))
    return [
      "input_ids": GoldenValue(rows.ids.flatMap { $0 }, [texts.count, length]),
      "lengths": GoldenValue(rows.lengths, [texts.count]),
    ]
  },
]

/// The manifest's own vocabulary, or the published one: from the folder `VTOK_CLIP_VOCABULARY`, or fetched.
private func clipTokenizer(_ inputs: Inputs) throws -> CLIPTokenizer {
  func read(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) }
  if let files = inputs.case.manifest["files"], let vocabulary = files["vocab.json"]?.string {
    let merges = String(decoding: try read(inputs.file(files["merges.txt"]!.string!)), as: UTF8.self)
    return try CLIPTokenizer(vocabulary: JSON(parsing: read(inputs.file(vocabulary))), merges: merges)
  }
  let here = (#filePath as NSString).deletingLastPathComponent
  let root = ((here as NSString).deletingLastPathComponent as NSString).deletingLastPathComponent
  let given = ProcessInfo.processInfo.environment["VTOK_CLIP_VOCABULARY"]
  let folder = given ?? root + "/.build/clip-vocabulary"
  if given == nil, !FileManager.default.fileExists(atPath: folder + "/merges.txt") {
    let fetch = Process()
    fetch.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    fetch.arguments = ["python3", here + "/clip-vocabulary.py", folder]
    try fetch.run()
    fetch.waitUntilExit()
  }
  guard let bytes = try? read(folder + "/merges.txt") else {
    throw NeedsFile(
      description: "needs the published CLIP merges: set VTOK_CLIP_VOCABULARY to a folder with merges.txt")
  }
  let merges = String(decoding: bytes, as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("#version") }
  var tokenizer = try CLIPTokenizer(
    merges: merges.map { line in
      let pair = line.split(separator: " ")
      return (String(pair[0]), String(pair[1]))
    })
  tokenizer.readsSpecialTokens = false  // open_clip, which made the case, calls them <start_of_text> and <end_of_text>
  return tokenizer
}

/// A case that cannot run here, because a published file is neither in the repository nor to be had.
struct NeedsFile: Error, CustomStringConvertible { let description: String }

/// The cases were made by Pillow's `Image.open(path).convert("RGB")`.
private let asPillow = DecodeOptions(rawOrientation: true, alpha: .drop)

private func decode(_ inputs: Inputs, extension suffix: String) throws -> [String: GoldenValue] {
  var outputs: [String: GoldenValue] = [:]
  for (name, path) in inputs.case.manifest["files"]!.object! {
    let stem = name.dropLast(suffix.count + 1)
    outputs["\(stem)_rgb_u8"] = GoldenValue(
      try Image.decode(contentsOf: inputs.file(path.string!), options: asPillow).image)
  }
  return outputs
}

func floats(_ json: JSON?) -> [Float] { json?.doubles?.map { Float($0) } ?? [] }
