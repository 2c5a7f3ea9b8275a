import ArgumentParser
import Foundation
import VTok

struct FlopsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "flops",
    abstract: "What a model costs per layer, dense or with a method; needs no weights.",
    discussion: """
      Takes a published model's name, or a directory with a config.json. Without --method and budget the model is
      dense; a budget alone is spent by tome. The method's own schedule is rehearsed on
      noise of the right shapes. Counted are the multiply-adds of linear layers and attention, which papers print as
      "FLOPs"; GFLOPs here are twice the GMACs. What a method spends on selecting stands apart. Of a vision-language
      model every figure carries the label of the convention it is counted in, and caches hold 16-bit numbers. The peak
      memory is a prediction for --precision, --kv and --threads: mapped weights, pictures, scratch memory and caches of one
      prompt, or of one image of a tower.
      """)

  @OptionGroup var reduction: ReductionOptions

  @Option(
    help: ArgumentHelp(
      "Image side in pixels, or width and height (default: the model's own; 672x672 for models that take any size).",
      valueName: "N|WxH"))
  var imageSize: String?

  @Option(
    help: ArgumentHelp(
      "Text tokens of the prompt: one before the image, the others after it (default: 64).", valueName: "N"),
    transform: whole(1...32_768))
  var textTokens = 64

  @Option(
    help: ArgumentHelp("Tokens generated, the first of them by the prefill (default: 64).", valueName: "N"),
    transform: whole(1...32_768))
  var newTokens = 64

  @OptionGroup var precision: PrecisionFlag
  @OptionGroup var kv: CacheFlag

  @Option(help: ArgumentHelp("md, csv, json or jsonl.", valueName: "FORMAT"))
  var format = Table.Format.md

  @OptionGroup var running: RunOptions

  func run() throws {
    if reduction.targetMs != nil {
      throw UsageError(
        "--target-ms", found: "a time", expected: "--target-gmacs or --target-tokens", fix: "Nothing is run here.")
    }
    let asked = reduction.isGiven ? try reduction.combinations() : []
    let size = try size()
    let model = try ModelOutline.of(
      reduction.model, mmproj: reduction.mmproj, processor: reduction.preparation.processor, size: size)
    if model.shape.decoder == nil { try kv.refuse("a vision tower") }
    let picture = size ?? usual(model.shape)
    try check(model, picture)
    let prompt = Rehearsal.Prompt(picture: picture, text: textTokens, newTokens: newTokens)
    let combinations = try reduction.solved(asked, quiet: running.quiet) { target, spec in
      try TargetSolver.solve(target, spec, of: model, prompt: prompt)
    }
    let dense = try Rehearsal.trace([], of: model, prompt: prompt, seed: reduction.seed)
    let predicted = try prediction(of: model, picture)
    var runs = try combinations.map { combination in
      let budget = combination.ruled ? combination.budget : nil
      let methods = try ComposedMethods(combination.spec, budget: budget, for: model.shape, read: OptionFile.read)
      if let fixed = model.shape.layout == nil ? model.shape.tower?.patches : model.fixedTokens {
        try methods.check(of: fixed)
      }
      return try Rehearsed(
        methods.title, methods.composition.methods, budget, model, prompt, dense, predicted, seed: reduction.seed)
    }
    if runs.isEmpty {
      runs = [try Rehearsed(ComposedMethods.dense, [], nil, model, prompt, dense, predicted, seed: reduction.seed)]
    }
    switch format {
    case .md:
      for run in runs { describe(run) }
    case .csv:
      var table = Table(["method"] + runs[0].table.columns)
      for run in runs { for row in run.table.rows() { table.add([run.name] + row, .null) } }
      print(table.text(.csv), terminator: "")
    case .json, .jsonl:
      for run in runs { print(run.json(model: reduction.model).text(pretty: format == .json)) }
    }
  }

  /// Peak memory of a run with a trace.
  private func prediction(of model: ModelOutline, _ picture: Size) throws -> (Trace) -> MemoryEstimate {
    let weights =
      (try? reduction.checkpoint(precision.value)).map { MemoryEstimate.Weights($0) }
      ?? MemoryEstimate.Weights(precision: precision.value ?? .f32)  // a name, or a folder without weights
    let (seen, threads) = (try model.memory(of: picture), try running.threadCount())
    return { MemoryEstimate(model, weights, pictures: [seen], trace: $0, kv: kv.value, threads: threads) }
  }

  /// One tile where a picture is always one, four where it may be more.
  private func usual(_ shape: Shape) -> Size {
    guard shape.layout?.tiling == .one, let tower = shape.tower else { return Size(672) }
    return Size(width: tower.columns * tower.patch, height: tower.rows * tower.patch)
  }

  private func size() throws -> Size? {
    guard let imageSize else { return nil }
    let sides = imageSize.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
    guard (1...2).contains(sides.count), sides.allSatisfy({ (1...65536).contains($0) }) else {
      throw UsageError(
        "--image-size", found: "'\(imageSize)'", expected: "pixels as 224 or 336x224", fix: "Correct it.")
    }
    return Size(width: sides[0], height: sides.last!)
  }

  /// What a rehearsal holds in memory goes with the patches.
  private func check(_ model: ModelOutline, _ picture: Size) throws {
    let patches = model.shape.tower.map { tower in
      model.shape.decoder == nil ? tower.patches : picture.width / tower.patch * (picture.height / tower.patch)
    }
    guard patches ?? 0 > Self.mostPatches else { return }
    throw UsageError(
      "--image-size", found: "\(picture), \(patches!) patches", expected: "at most \(Self.mostPatches) patches",
      fix: "Choose a smaller picture.")
  }
  private static let mostPatches = 65_536

  /// What one run amounts to.
  private func describe(_ run: Rehearsed) {
    let (table, tower, cost) = (run.table, run.model.shape.tower!, run.table.cost)
    let budget = run.budget.map { " at \($0.label)" } ?? ""
    let prompt =
      cost.language == nil
      ? "\(tower.patches) patches + \(tower.prefix) prefix tokens"
      : "\(table.trace.patches) patches, \(textTokens) text tokens, \(newTokens) new"
    print("\(reduction.model) · \(run.size) pixels\(run.tiles) · \(prompt) · \(run.name)\(budget)\n")
    func show(_ columns: [String], _ rows: [[String]]) {
      var shown = Table(columns)
      for row in rows { shown.add(row, .null) }
      print(shown.text(.md))
    }
    if cost.language != nil {
      show(CostTable.figureColumns, table.figureRows)
      show(CostTable.stageColumns, table.stageRows)
    }
    show(table.columns, table.rows(folding: cost.language != nil))
    print(
      "\(fixed(cost.gmacs, 3)) GMACs = \(fixed(2 * cost.gmacs, 3)) GFLOPs (2 x MACs), "
        + "\(fixed(100 * cost.gmacs / table.dense.gmacs, 1))% of dense \(fixed(table.dense.gmacs, 3)) GMACs; "
        + "selection \(fixed(Double(cost.selection) * 1e-9, 4)) GMACs apart")
    print(
      "\(table.tokensOut) of \(table.tokensIn) \(cost.language == nil ? "patch" : "image") tokens left, "
        + "\(fixed(table.meanTokens, 1)) tokens enter a \(cost.language == nil ? "block" : "language layer") on average"
    )
    print(run.memory.text)
    if run.varies {
      print("The number of tokens depends on the image; this is one of noise, where thresholds say little.")
    }
    print("")
  }
}

/// What one method costs on one model.
private struct Rehearsed {
  let name: String, budget: Budget?
  let model: ModelOutline
  let table: CostTable
  let memory: MemoryEstimate
  /// Of the picture.
  let size: Size
  /// What the tower sees of it, where that is something else.
  var tiles: String {
    guard let seen, seen.count > 1 || seen.tile != size else { return "" }
    return " seen as \(seen.count == 1 ? "" : "\(seen.count) tiles of ")\(seen.tile)"
  }
  private let seen: (count: Int, tile: Size)?
  /// Whether another image gives other counts.
  let varies: Bool

  init(
    _ name: String, _ methods: [any Compressor], _ budget: Budget?, _ model: ModelOutline, _ prompt: Rehearsal.Prompt,
    _ dense: Trace, _ predicted: (Trace) -> MemoryEstimate, seed: UInt64
  ) throws {
    self.name = name
    self.budget = budget
    self.model = model
    let tower = model.shape.tower!
    size =
      model.shape.decoder == nil
      ? Size(width: tower.columns * tower.patch, height: tower.rows * tower.patch) : prompt.picture
    seen = try model.shape.decoder == nil ? nil : model.tiles(of: prompt.picture)
    let tables = try [(seed, false), (seed &+ 1, false), (seed &+ 2, true)].map { seed, isSharp in
      let trace = try Rehearsal.trace(methods, of: model, prompt: prompt, seed: seed, isSharp: isSharp)
      return CostTable(trace, dense: dense, shape: model.shape)
    }
    table = tables[0]
    memory = predicted(table.trace)
    let cost = table.cost
    varies = tables.contains { $0.cost.layers != cost.layers || $0.cost.language != cost.language }
  }

  func json(model: String) -> JSON {
    let (cost, dense) = (table.cost, table.dense)
    return .object(
      JSONObject(
        [
          ("schema", "vtok-flops/1"), ("model", JSON(model)), ("method", JSON(name)),
          ("budget", budget.map { JSON($0.text) } ?? .null),
          (
            "image",
            [
              "height": JSON(size.height), "width": JSON(size.width), "tiles": JSON(seen?.count ?? 1),
              "tile_height": JSON(seen?.tile.height ?? size.height), "tile_width": JSON(seen?.tile.width ?? size.width),
            ]
          ),
          (
            "tokens",
            [
              "in": JSON(table.tokensIn), "out": JSON(table.tokensOut), "prefix": JSON(self.model.shape.tower!.prefix),
              "mean_per_layer": JSON(table.meanTokens), "depends_on_image": JSON(varies),
            ]
          ),
        ] + table.json + [
          (
            "gmacs",
            [
              "dense": JSON(dense.gmacs), "reduced": JSON(cost.gmacs), "ratio": JSON(cost.gmacs / dense.gmacs),
              "selection": JSON(Double(cost.selection) * 1e-9),
            ]
          ), ("gflops", ["dense": JSON(2 * dense.gmacs), "reduced": JSON(2 * cost.gmacs), "per_mac": 2]),
          ("memory", memory.json),
        ]))
  }
}
