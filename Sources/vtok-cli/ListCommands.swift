import ArgumentParser
import Foundation
import VTok

struct MethodsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "methods", abstract: "List the methods, explain one, or say which of them serve a model.",
    discussion: """
      vtok methods tome
      vtok methods --model qwen2.5-vl-7b --model DIR
      """)

  @Argument(help: ArgumentHelp("A method.", valueName: "NAME"), completion: .methods)
  var name: String?

  @Option(
    help: ArgumentHelp(
      "Say which methods serve it, and why others do not; repeat it to compare.", valueName: "DIR|FILE.gguf|NAME"))
  var model: [String] = []

  @OptionGroup var preparation: ProcessorFlag

  @Option(help: ArgumentHelp("md, csv, json or jsonl.", valueName: "FORMAT"))
  var format = Table.Format.md

  func run() throws {
    guard model.isEmpty else { return print(try matrix().text(format), terminator: "") }
    guard let name else {
      var table = Table(["method", "what it does"])
      for method in Methods.all {
        table.add([method.name, method.summary], ["name": JSON(method.name), "summary": JSON(method.summary)])
      }
      print(table.text(format), terminator: "")
      return
    }
    let method = try Methods.named(name)
    if format == .md { return print(MethodPage(method).text, terminator: "") }
    var table = Table(["option", "default", "expected", "meaning"])
    for entry in Methods.options(of: method).entries {
      table.add(
        [entry.key, entry.shownDefault, entry.expected, entry.about],
        [
          "method": JSON(name), "option": JSON(entry.key), "default": JSON(entry.default),
          "expected": JSON(entry.expected), "about": JSON(entry.about),
        ])
    }
    print(table.text(format), terminator: "")
  }

  /// One model: the reason of every refusal. Several: who serves which.
  private func matrix() throws -> Table {
    let methods = try name.map { [try Methods.named($0)] } ?? Methods.all
    let shapes = try model.map { try ModelOutline.of($0, processor: preparation.processor).shape }
    var table = Table(["method"] + (model.count == 1 ? ["serves it", "because"] : model))
    for method in methods {
      let reasons = shapes.map { Methods.refusal(of: method.name, for: $0) }
      let cells = reasons.map { $0 == nil ? "yes" : "no" } + (reasons.count == 1 ? [reasons[0] ?? ""] : [])
      let models = zip(model, reasons).map { model, reason -> JSON in
        ["model": JSON(model), "serves": JSON(reason == nil), "reason": reason.map { JSON($0) } ?? .null]
      }
      table.add([method.name] + cells, ["method": JSON(method.name), "models": .array(models)])
    }
    return table
  }
}

struct ModelsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "models", abstract: "List the models inside the program and the families that can be loaded.")

  @Option(help: ArgumentHelp("md, csv, json or jsonl.", valueName: "FORMAT"))
  var format = Table.Format.md

  func run() throws {
    guard format == .md else { return print(Self.families.text(format), terminator: "") }
    var table = Table(["model", "input", "tokens", "width", "blocks", "GMACs", "classes"])
    for name in LoadedModel.embedded {
      let model = try LoadedModel.load(name).vision
      let tower = model.tower.shape
      let cost = Cost(denseWith: tower.patches, shape: model.shape)
      let side = "\(tower.columns * tower.patch)x\(tower.rows * tower.patch)"
      table.add(
        [
          name, side, "\(tower.patches)", "\(tower.width)", "\(tower.blocks)", fixed(cost.gmacs, 2),
          model.labels?.joined(separator: " ") ?? "-",
        ],
        [
          "name": JSON(name), "input": JSON(side), "tokens": JSON(tower.patches), "width": JSON(tower.width),
          "blocks": JSON(tower.blocks), "gmacs": JSON(cost.gmacs), "classes": JSON(model.labels ?? []),
        ])
    }
    print(table.text(.md))
    print(
      "Any directory as downloaded from the Hub of one of these families, or the GGUF files of one (see 'vtok inspect'):\n"
    )
    print(Self.families.text(.md))
    print("Without any file, 'vtok flops' knows the shapes of:")
    print(Shape.published.map(\.name).joined(separator: ", "))
  }

  /// Everything that runs, by family; what is inside the program first.
  private static var families: Table {
    var table = Table(["family", "kind", "types", "what it is"])
    func add(_ name: String, _ kind: FamilyKind, _ types: [String], _ summary: String, isInside: Bool) {
      table.add(
        [name, kind.rawValue, types.isEmpty ? "-" : listed(types, limit: 4), summary],
        [
          "name": JSON(name), "kind": JSON(kind.rawValue), "types": JSON(types), "summary": JSON(summary),
          "inside": JSON(isInside),
        ])
    }
    for name in LoadedModel.embedded { add(name, .tower, [], "inside the program", isInside: true) }
    for name in LoadedTokenizer.embedded { add(name, .tokenizer, [], "inside the program", isInside: true) }
    for family in Families.all { add(family.name, family.kind, family.types, family.summary, isInside: false) }
    return table
  }
}

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Say what the directory of a model or image tokenizer holds and whether it can be run.")

  @Argument(
    help: ArgumentHelp("A directory, a GGUF file, or an embedded name.", valueName: "DIR"), completion: .file())
  var model: String

  @Option(help: ArgumentHelp("Beside a text model in GGUF: its tower and projector.", valueName: "FILE.gguf"))
  var mmproj: String?

  @OptionGroup var preparation: ProcessorFlag

  @Flag(help: "List every tensor.")
  var tensors = false

  @Option(help: ArgumentHelp("Form of the tensor list: md, csv, json or jsonl.", valueName: "FORMAT"))
  var format = Table.Format.md

  func run() throws {
    if tensors {
      let entries = try Inspection.tensors(of: model, mmproj: mmproj)
      var table = Table(["tensor", "type", "shape", "bytes", "file"])
      for entry in entries {
        let shape = entry.shape.map(String.init).joined(separator: "x")
        table.add(
          [entry.name, entry.type.rawValue, shape, "\(entry.range.count)", (entry.file as NSString).lastPathComponent],
          [
            "name": JSON(entry.name), "type": JSON(entry.type.rawValue), "shape": JSON(entry.shape),
            "bytes": JSON(entry.range.count), "file": JSON((entry.file as NSString).lastPathComponent),
          ])
      }
      return print(table.text(format), terminator: "")
    }
    let inspection = try Inspection(model, mmproj: mmproj, processor: preparation.processor)
    for (name, text) in inspection.lines {
      print(name.padding(toLength: 11, withPad: " ", startingAt: 0), text)
    }
    if let problem = inspection.problem { throw problem }
  }
}

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor", abstract: "Check this machine: CPU, BLAS kernels, threads, speed.")

  @Option(help: ArgumentHelp("md, csv, json or jsonl.", valueName: "FORMAT"))
  var format = Table.Format.md

  func run() throws {
    let gflops = Machine.sgemm()
    let cores = ProcessInfo.processInfo.activeProcessorCount
    let bandwidth = Machine.bandwidth(threads: cores)
    let forced = ProcessInfo.processInfo.environment["OPENBLAS_CORETYPE"]
    var table = Table(["what", "value"])
    let rows: [(String, JSON, String)] = [
      ("vtok", JSON(vtokVersion), vtokVersion), ("cpu", JSON(cpuLevel), cpuLevel),
      ("blas", JSON(Machine.blas), Machine.blas), ("cores", JSON(cores), "\(cores)"),
      ("sgemm_gflops", JSON(gflops), "\(fixed(gflops, 0)) GFLOP/s (1024³, one thread)"),
      ("memory_gb_per_s", JSON(bandwidth), "\(fixed(bandwidth, 1)) GB/s read (all cores)"),
      ("openblas_coretype", forced.map { JSON($0) } ?? .null, forced ?? "not set"),
    ]
    for (name, _, text) in rows { table.add([name, text], .null) }
    switch format {
    case .md, .csv: print(table.text(format), terminator: "")
    case .json, .jsonl:
      let about = JSON.object(JSONObject(rows.map { ($0.0, $0.1) } + [("schema", "vtok-doctor/1")]))
      print(about.text(pretty: format == .json))
    }
    if let forced, Machine.blasIsHeldBack {
      VTokCommand.warn(
        "OPENBLAS_CORETYPE=\(forced) keeps sgemm below this CPU (\(cpuLevel)): unset it to calibrate faster")
    } else if Machine.blasIsHeldBack {
      VTokCommand.warn(
        "OpenBLAS uses \(BLAS.core) kernels on a \(cpuLevel) CPU: a newer OpenBLAS, or OPENBLAS_CORETYPE=SkylakeX, makes "
          + "calibrating faster; nothing else needs it")
    }
  }
}
