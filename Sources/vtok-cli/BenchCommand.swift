import ArgumentParser
import VTok

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "What methods cost and what they lose, on the same images, beside the rows they must beat.",
    discussion: """
      vtok bench images --data photos.txt --method tome --method divprune --mac-ratio 0.75,0.5 --report out/
      vtok bench questions --model llava-1.5-7b-hf --data questions.jsonl --method divprune --keep-tokens 192,64
      vtok bench horizon --model llava-1.5-7b-hf --data questions.jsonl --quick
      vtok bench tokenizers --data photos/ --tokenizers klt,path/to/One-D-Piece-S-256 --report out/

      'vtok bench --data PATH' chooses by the data and the flags: questions where they are a .jsonl file, tokenizers where
      --tokenizers names some, else images. Work that cannot differ between rows is done once; times are those of whole
      images on one thread, from a sample with nothing shared.
      """,
    subcommands: [
      BenchImages.self, BenchQuestions.self, BenchHorizon.self, BenchTokenizers.self, BenchAny.self,
    ],
    defaultSubcommand: BenchAny.self)
}

/// `vtok bench --data PATH`: the bench that data and flags ask for.
struct BenchAny: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "any", abstract: "The bench that data and flags ask for.", shouldDisplay: false)

  @OptionGroup var bench: BenchFlags
  @OptionGroup var methods: MethodBenchFlags
  @OptionGroup(title: "Images") var images: ImageBenchFlags
  @OptionGroup(title: "Questions") var questions: QuestionFlags
  @OptionGroup(title: "Tokenizers") var tokenizers: TokenizerBenchFlags

  func run() throws {
    if tokenizers.names != nil {
      if methods.reduction.isGiven || images.macRatio != nil || !methods.mean.keepMeans.isEmpty {
        throw UsageError(
          "--tokenizers", found: "methods or budgets beside it", expected: "either tokenizers or methods",
          fix: "Run the command twice.")
      }
      guard try [[nil], [.f32]].contains(methods.precision.values()) else {
        throw UsageError(
          "--precision", found: "tokenizers, which are float32 as their judge is", expected: "a bench of methods",
          fix: "Remove the flag.")
      }
      try questions.kv.refuse("tokenizers and their judge")
      guard methods.reduction.mmproj == nil else {
        throw UsageError(
          "--mmproj", found: "tokenizers, whose judge is a vision tower", expected: "a bench of methods",
          fix: "Remove the flag.")
      }
      return try bench.run(tokenizers, judge: methods.reduction.tower(nil))
    }
    try tokenizers.refuseAlone()
    guard QuestionFile.matches(bench.data) else {
      try questions.refuse(with: bench.data)
      return try bench.run(images, methods)
    }
    try images.refuse()
    try bench.run(questions, methods)
  }
}
