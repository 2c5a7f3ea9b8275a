import VTok

// A method of one's own on a photo, and on a folder of them beside the dense model, chance and a smaller image.
@main struct OwnMethod {
  static func main() throws {
    let folder = CommandLine.arguments.dropFirst().first ?? "Images"
    let model = try LoadedModel.load("vtok-tiny")
    let (quarter, photo) = (Budget.ratio(0.25), try Image.decode(contentsOf: folder + "/cat.jpg").image)
    let pipeline = try Pipeline(model, methods: [LargestNorm(keep: quarter)], keep: quarter)
    print(pipeline.method, try pipeline(photo).outcome)
    let bench = try ImageBench(
      model, methods: [LargestNorm(keep: quarter)], keep: quarter, data: LabelledImages(folder, classes: nil))
    let results = try bench.run(sample: bench.sample(4))
    print(BenchReport(results, Provenance(model: model.name, modelSHA256: model.sha256)).text(.md))
  }
}
