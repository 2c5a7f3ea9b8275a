import Foundation
import VTokEval
import VTokFiles
import VTokWeights

/// A form in which others publish questions about pictures, and how a question file (`QuestionFile`) is made from it. A new
/// form is a value of this type in a file of its own, and its place in `all`.
public struct QuestionImport: Sendable {
  public let name: String
  /// What its files are, for people.
  public let summary: String
  /// How many files it is made of; more than one are read together.
  public let files: ClosedRange<Int>
  let read: @Sendable (_ files: [ImportFile], _ pictures: PictureStore) throws -> [ImportedQuestion]

  public static let all: [QuestionImport] = [pope, textVQA, vqaV2, gqa, scienceQA, chartQA, ocrBench, tsv]

  /// By name; case and `-` do not matter.
  public init?(name: String) {
    func plain(_ text: String) -> String { text.lowercased().replacing("-", with: "") }
    guard let found = Self.all.first(where: { plain($0.name) == plain(name) }) else { return nil }
    self = found
  }

  init(
    _ name: String, _ summary: String, files: ClosedRange<Int> = 1...1,
    read: @escaping @Sendable (_ files: [ImportFile], _ pictures: PictureStore) throws -> [ImportedQuestion]
  ) {
    self.name = name
    self.summary = summary
    self.files = files
    self.read = read
  }

  /// What is taken, and how.
  public struct Options: Sendable {
    /// Folder of the pictures; nil: the one of the first file.
    public var images: String?
    /// Only questions of this part of the data, where the files tell parts.
    public var split: String?
    /// In place of the one that the form has.
    public var metric: AnswerMetric?
    /// Stands on a line of its own behind every question.
    public var suffix: String?
    /// Only the first so many questions.
    public var limit: Int?
    /// Whether questions whose pictures are not there are left out, not an error.
    public var skipsMissing = false
    public init() {}
  }

  public struct Outcome: Sendable, Equatable {
    public let questions: Int, pictures: Int
    /// Questions left out because their picture is not there.
    public let missing: Int
  }

  /// Makes a question file. Pictures that lie inside the files (TSV) are written beside it, into `NAME-images`.
  /// - Parameters:
  ///   - paths: as many as `files` allows.
  ///   - output: path of the question file.
  /// - Throws: `DataError` for the first entry that is wrong, `WeightError` and `SystemError` for files.
  public func make(_ paths: [String], options: Options, output: String) throws -> Outcome {
    precondition(files.contains(paths.count))
    for path in paths { guard try FileInfo.ifThere(path) != nil else { throw DataError.missing(path) } }
    let store = PictureStore(
      folder: options.images ?? FileName.split(paths[0]).folder,
      stem: output.hasSuffix(".jsonl") ? String(output.dropLast(6)) : output)
    var found = try read(paths.map { ImportFile(path: $0) }, store)
    if let split = options.split { found = found.filter { $0.split == split } }
    guard !found.isEmpty else { throw DataError.noImages(paths[0], expected: "questions about pictures") }
    var (text, pictures, count, missing) = ("", Set<[String]>(), 0, 0)
    for question in found where count < options.limit ?? .max {
      let images = question.images.map { store.path(of: $0, from: output) }
      guard try images.allSatisfy({ try FileInfo.ifThere($0.found) != nil }) else {
        if options.skipsMissing {
          missing += 1
          continue
        }
        throw DataError.entry(
          file: paths[0], place: question.place, found: "no picture '\(images.map(\.found).joined(separator: ", "))'",
          expected: "the pictures in the folder that was named")
      }
      text += try question.line(images.map(\.written), options, in: paths[0]) + "\n"
      pictures.insert(images.map(\.written))
      count += 1
    }
    guard count > 0 else {
      throw DataError.noImages(store.folder, expected: "the pictures of \(missing) questions")
    }
    try Folder.makeAbove(output)
    try WholeFile.write(text, to: output)
    return Outcome(questions: count, pictures: pictures.count, missing: missing)
  }
}

/// One question as it was found.
struct ImportedQuestion: Sendable {
  /// Where it stood, for messages: `question 17`.
  let place: String
  /// Paths from the folder of the pictures, or whole ones.
  let images: [String]
  var question: String
  /// None: the form has none, and it is scored by the agreement with the dense model.
  var answers: [String] = []
  var metric: AnswerMetric
  var choices: [String] = []
  /// The right choice, from 0.
  var right: Int?
  var hint: String?
  var group: String?
  var split: String?

  /// As a line of a question file.
  func line(_ images: [String], _ options: QuestionImport.Options, in file: String) throws(DataError) -> String {
    let metric = options.metric ?? metric
    var (text, answers) = (question, answers)
    if let hint, !hint.isEmpty { text = hint + "\n" + text }
    if metric.needsChoices {
      guard (2...MultipleChoice.letters.count).contains(choices.count) else {
        throw .entry(
          file: file, place: place, found: "\(choices.count) choices", expected: "2 to \(MultipleChoice.letters.count)")
      }
      text += "\n" + MultipleChoice.listed(choices) + "\n" + Self.letterPlease
      if let right { answers = [MultipleChoice.letters[right]] }
    }
    if let suffix = options.suffix { text += "\n" + suffix }
    let isBlind = answers.isEmpty || metric.fewestAnswers == 0
    guard isBlind || answers.count >= metric.fewestAnswers else {
      throw .entry(
        file: file, place: place, found: "\(answers.count) answers for metric \(metric.name)", expected: metric.answers)
    }
    var members: [(String, JSON)] = [
      ("image", images.count == 1 ? JSON(images[0]) : JSON(images)), ("question", JSON(text)),
    ]
    if !isBlind { members += [("answers", JSON(answers)), ("metric", JSON(metric.name))] }
    if !isBlind, metric.needsChoices { members.append(("choices", JSON(choices))) }
    if let group { members.append(("group", JSON(group))) }
    return JSON.object(JSONObject(members)).text()
  }

  /// What LLaVA's models were trained with.
  private static let letterPlease = "Answer with the option's letter from the given choices directly."
}
