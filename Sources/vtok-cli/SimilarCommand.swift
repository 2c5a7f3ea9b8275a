import ArgumentParser
import VTok

struct SimilarCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "similar",
    abstract: "The images of a token file that are most like others, by the features of their tokens.",
    discussion: """
      vtok tokenize photos/ --tokenizer path/to/seed -o photos.vtokens
      vtok similar photos.vtokens cat.jpg --tokenizer path/to/seed --top 5
      vtok similar photos.vtokens --name holiday/beach.jpg --tokenizer path/to/seed

      The images of the file are not needed any more: SEED's 32 tokens, 52 bytes, give a vector of 1024 numbers. Only tokenizers
      whose tokens have such a feature can do this.
      """)

  @Argument(help: ArgumentHelp("A file of 'vtok tokenize'.", valueName: "FILE"), completion: .file())
  var file: String

  @Argument(help: ArgumentHelp("Images to look for, and folders of them.", valueName: "INPUT"), completion: .file())
  var inputs: [String] = []

  @Option(help: ArgumentHelp("An image of the file to look for, by its name there.", valueName: "NAME"))
  var name: [String] = []

  @Option(help: ArgumentHelp("The tokenizer that wrote the file.", valueName: "DIR"), completion: .file())
  var tokenizer: String

  @Option(help: ArgumentHelp("Answers to each (default: 10).", valueName: "K"), transform: whole(1...1_000_000))
  var top = 10

  @Option(help: ArgumentHelp("md, csv, json or jsonl.", valueName: "FORMAT"))
  var format = Table.Format.md

  @OptionGroup var decoding: DecodeFlags
  @OptionGroup var running: RunOptions

  func run() throws {
    guard !inputs.isEmpty || !name.isEmpty else {
      throw UsageError(
        "input", found: "nothing to look for", expected: "an image, or --name of one in the file", fix: "Name one.")
    }
    let threads = try running.threadCount()
    let tokens = try TokenFile(path: file)
    let named = try name.map { name in
      guard let number = tokens.pictures.firstIndex(where: { $0.name == name }) else {
        throw UsageError(
          "--name", found: "'\(printable(name))'",
          expected: "one of the \(tokens.pictures.count) images of '\(printable(file))'", fix: "Give the image itself.")
      }
      return SimilarJob.Query.picture(number)
    }
    let images = try inputs.isEmpty ? [] : InputList.find(inputs).files(quiet: running.quiet)
    let job = try SimilarJob(
      LoadedTokenizer.load(tokenizer), tokens, path: file, queries: images.map { .image($0) } + named, most: top,
      threads: threads, decode: try decoding.options())
    let interruption = Interruption(patience: 2)
    let progress = Progress("similar", quiet: running.quiet)
    let rows = try job.run(progress: progress.update, isCancelled: { interruption.happened })
    progress.finish()
    if interruption.happened {
      VTokCommand.warn("interrupted; there is no answer")
      throw ExitCode(130)
    }
    print(table(rows).text(format), terminator: "")
    let failures = rows.compactMap { if case .failure(let error) = $0.outcome { error.message } else { nil } }
    if !running.quiet { VTokCommand.warn(failures: failures, rest: "see the rows of the table") }
    if !failures.isEmpty { throw ExitCode(3) }
  }

  private func table(_ rows: [SimilarJob.Row]) -> Table {
    var table = Table(["image", "rank", "file", "cosine", "status"])
    for row in rows {
      switch row.outcome {
      case .success(let matches):
        for (index, match) in matches.enumerated() {
          table.add(
            [printable(row.query), "\(index + 1)", printable(match.name), fixed(match.cosine, 4), "ok"],
            [
              "schema": "vtok-similar/1", "image": JSON(row.query), "status": "ok", "error": .null,
              "rank": JSON(index + 1), "file": JSON(match.name), "cosine": JSON(match.cosine),
            ])
        }
      case .failure(let error):
        table.add(
          [printable(row.query), "-", "-", "-", "failed: \(error.kind.rawValue)"],
          [
            "schema": "vtok-similar/1", "image": JSON(row.query), "status": "failed",
            "error": ["kind": JSON(error.kind.rawValue), "message": JSON(error.message)],
          ])
      }
    }
    return table
  }
}
