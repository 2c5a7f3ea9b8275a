import VTokCalibration
import VTokData
import VTokEval
import VTokFiles
import VTokImage
import VTokMethods
import VTokPipeline
import VTokTensor
import VTokWeights

/// A calibration with its files: the rates it makes, and beside them its state, written after every step, from which the same
/// command goes on.
public struct CalibrationJob: Sendable {
  public let model: LoadedModel
  public let data: LabelledImages
  public let settings: DiffRateCalibration.Settings
  public let output: String
  public let decode: DecodeOptions
  let calibration: DiffRateCalibration
  private let dataSHA256: String

  public var denseGMACs: Double { calibration.denseGMACs }
  var stateFile: String { output + ".state" }

  public init(
    _ model: LoadedModel, _ data: LabelledImages, _ settings: DiffRateCalibration.Settings, output: String,
    decode: DecodeOptions = .init()
  ) throws {
    self.model = model
    self.data = data
    self.settings = settings
    self.output = output
    self.decode = decode
    dataSHA256 = data.sha256()
    let examples = DiffRateCalibration.Examples(
      count: data.count, label: { data.items[$0].label }, image: { try data.image($0, options: decode) })
    calibration = try DiffRateCalibration(model.vision, model.processor, examples, settings)
  }

  /// Holds the output for this process.
  /// - Throws: `LockError` while another one makes it.
  public func lock() throws -> FolderLock {
    try Folder.makeAbove(output)
    return try FolderLock(output, file: output + ".lock")
  }

  /// How a job ended.
  public struct Summary: Sendable {
    public let progress: DiffRateCalibration.Progress
    /// Steps that an earlier run had done.
    public let resumed: Int
    /// The rates are written; else the state is kept.
    public let isDone: Bool
    /// Pictures that could not be read.
    public let failed: [String]
  }

  /// Goes on where an earlier run stopped, or starts.
  public func run(
    threads: Int, isCancelled: () -> Bool = { false }, progress: (DiffRateCalibration.Progress) -> Void = { _ in }
  ) throws -> Summary {
    let start = try state() ?? calibration.firstState
    let state = try calibration.run(
      from: start, threads: threads, isCancelled: isCancelled,
      save: { try WholeFile.write(stateText($0), to: stateFile) },
      progress: progress)
    let isDone = state.step == settings.steps
    if isDone {
      try WholeFile.write(rates(state).text(pretty: true) + "\n", to: output)
      try Folder.remove(stateFile)
    }
    return Summary(
      progress: calibration.progress(state), resumed: start.step, isDone: isDone,
      failed: state.failed.sorted().map { data.items[$0].name })
  }

  /// Removes what an earlier job left.
  public func clear() throws {
    for path in [output, stateFile] { try Folder.remove(path) }
  }

  /// Whether the output is already there, made by the same settings.
  /// - Throws: `CalibrationError.file` if it was made by others.
  public func isFinished() throws -> Bool {
    guard let old = try FileBytes.readIfThere(output) else { return false }
    let settings = (try? JSON(parsing: old))?["settings"]
    if settings == identity { return true }
    throw CalibrationError.file(
      path: output, found: settings == nil ? "a file that is no vtok-rates/1" : "rates of other settings",
      expected: "a free path", fix: "Use another path.")
  }

  // MARK: Files

  private func state() throws -> DiffRateCalibration.State? {
    guard let data = try FileBytes.readIfThere(stateFile) else { return nil }
    let json = try? JSON(parsing: data)
    guard json?["settings"] == identity, let state = try json?["state"].map({ try DiffRateCalibration.State($0) })
    else {
      throw CalibrationError.file(
        path: stateFile, found: "the state of a run with other settings",
        expected: "that of this run, to go on with it",
        fix: "Use another path.")
    }
    return state
  }

  private func stateText(_ state: DiffRateCalibration.State) -> String {
    let json: JSON = ["schema": "vtok-calibration/1", "settings": identity, "state": state.json]
    return json.text() + "\n"
  }

  /// Everything the result depends on. The number of threads is not part of it.
  private var identity: JSON {
    let augmentation = settings.augmentation
    return [
      "model_sha256": JSON(model.sha256), "settings_sha256": JSON(model.settingsSHA256), "images": JSON(data.count),
      "data_sha256": JSON(dataSHA256),
      "target_gmacs": JSON(settings.targetGMACs), "objective": JSON(settings.distils ? "distilled" : "labels"),
      "steps": JSON(settings.steps), "batch": JSON(settings.batch), "granularity": JSON(settings.granularity),
      "learning_rate": JSON(settings.learningRate), "lambda": JSON(settings.lambda),
      "label_smoothing": JSON(settings.smoothing), "smallest_crop": JSON(augmentation.smallestCrop),
      "flips": JSON(augmentation.flips), "mixup": JSON(augmentation.mixup), "seed": JSON(hex(settings.seed)),
      "max_pixels": JSON(decode.maxPixels), "raw_orientation": JSON(decode.rawOrientation),
      "alpha": JSON(decode.alpha.rawValue),
    ]
  }

  /// `vtok-rates/1`: counts as DiffRate's own schedules have them, the class token included.
  private func rates(_ state: DiffRateCalibration.State) -> JSON {
    let result = calibration.progress(state)
    return [
      "schema": JSON(DiffRate.ratesSchema), "model": JSON(model.name), "model_sha256": JSON(model.sha256),
      "method": JSON(DiffRate.name),
      "target_gmacs": JSON(settings.targetGMACs), "reached_gmacs": JSON(result.gmacs),
      "dense_gmacs": JSON(calibration.denseGMACs), "objective": JSON(settings.distils ? "distilled" : "labels"),
      "prune": JSON(result.prune), "merge": JSON(result.merge), "steps": JSON(settings.steps),
      "seed": JSON(Int(truncatingIfNeeded: settings.seed)), "loss": JSON(result.loss),
      "data": JSON(FileName.split(Folder.withoutSlash(data.path)).name), "images": JSON(data.count),
      "failed": JSON(state.failed.count), "settings": identity,
      "run": .object(JSONObject(Provenance.machine.map { ($0.key, $0.value) })),
    ]
  }
}

private func hex(_ number: UInt64) -> String { String(number, radix: 16) }
