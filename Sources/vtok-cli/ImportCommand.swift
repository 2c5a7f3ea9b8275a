import ArgumentParser
import Foundation
import VTok

struct ImportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Make a question file from the files in which others publish questions about pictures.",
    discussion: """
      vtok import pope coco_pope_random.json coco_pope_popular.json --images val2014 -o pope.jsonl
      vtok import vqav2 v2_OpenEnded_mscoco_val2014_questions.json v2_mscoco_val2014_annotations.json \\
        --images val2014 -o vqa.jsonl
      vtok import tsv MMBench_DEV_EN.tsv -o mmbench.jsonl

      Forms:
      \(QuestionImport.all.map { "  \($0.name): \($0.summary)" }.joined(separator: "\n"))
      Questions without answers are scored by their agreement with the dense model. 'vtok bench questions' reads the file.
      """)

  @Argument(
    help: ArgumentHelp(
      "The form: \(QuestionImport.all.map(\.name).joined(separator: ", ")).", valueName: "FORM"),
    completion: .list(QuestionImport.all.map(\.name)))
  var form: String

  @Argument(help: ArgumentHelp("The published files.", valueName: "FILE"), completion: .file())
  var files: [String]

  @Option(
    help: ArgumentHelp("Folder of the pictures (default: the one of the first file).", valueName: "DIR"))
  var images: String?

  @Option(help: ArgumentHelp("Only questions of this part of the data, as test or dev.", valueName: "NAME"))
  var split: String?

  @Option(
    help: ArgumentHelp(
      "Metric in place of the form's own: \(AnswerMetric.all.map(\.name).joined(separator: ", ")).", valueName: "NAME"))
  var metric: String?

  @Option(
    help: ArgumentHelp(
      "A line behind every question, as 'Answer the question using a single word or phrase.'", valueName: "TEXT"))
  var suffix: String?

  @Option(help: ArgumentHelp("Only the first N questions.", valueName: "N"), transform: whole(1...1_000_000_000))
  var limit: Int?

  @Flag(help: "Leave out questions whose pictures are not there, and say how many.")
  var skipMissing = false

  @Flag(help: "Replace what is at the output.")
  var force = false

  @Option(name: .shortAndLong, help: ArgumentHelp("The question file to write.", valueName: "FILE.jsonl"))
  var output: String

  @Flag(help: "No summary, no warnings.")
  var quiet = false

  func run() throws {
    guard let form = QuestionImport(name: form) else {
      throw UsageError(
        "form '\(form)'", found: "no such form",
        expected: "one of " + QuestionImport.all.map(\.name).joined(separator: ", "), fix: "See 'vtok import --help'.")
    }
    guard form.files.contains(files.count) else {
      throw UsageError(
        "files of '\(form.name)'", found: "\(files.count)",
        expected: form.files.count == 1
          ? "\(form.files.lowerBound)" : "\(form.files.lowerBound) to \(form.files.upperBound)",
        fix: "It is made from \(form.summary).")
    }
    guard QuestionFile.matches(output) else {
      throw UsageError(
        "--output '\(output)'", found: "another ending", expected: ".jsonl", fix: "Benches know question files by it.")
    }
    try OutputCheck.free(output, "--output", force: force)
    let outcome = try form.make(files, options: options(), output: output)
    if outcome.missing > 0, !quiet { VTokCommand.warn("\(outcome.missing) questions left out: no such picture") }
    if !quiet {
      VTokCommand.say("\(outcome.questions) questions about \(outcome.pictures) pictures in '\(printable(output))'")
    }
  }

  private func options() throws -> QuestionImport.Options {
    var options = QuestionImport.Options()
    options.images = images
    options.split = split
    options.suffix = suffix
    options.limit = limit
    options.skipsMissing = skipMissing
    guard let metric else { return options }
    options.metric = AnswerMetric(name: metric)
    if options.metric == nil {
      throw UsageError(
        "--metric", found: "'\(metric)'", expected: "one of " + AnswerMetric.all.map(\.name).joined(separator: ", "),
        fix: "Correct it.")
    }
    return options
  }
}
