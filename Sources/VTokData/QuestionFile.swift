import VTokEval
import VTokFiles
import VTokImage
import VTokWeights

/// Questions about pictures with the answers that are right: JSONL, an object a line with `image` (a path from the
/// file's own folder, or a list of them), or `video` (a folder of frames, or a list of frames) and perhaps `fps`, `question`, `answers` (a list, or one text), `metric` (a name of `AnswerMetric`),
/// for multiple choice `choices` (a list of texts) and, if the table shall tell kinds of questions apart, `group`. A line with
/// neither answers nor metric is scored by its agreement with the dense model.
public struct QuestionFile: Sendable {
  public struct Question: Sendable {
    /// Line of the file, from 1.
    public let line: Int
    public let text: String, answers: [String], metric: AnswerMetric
    /// What can be chosen, in the order of the letters; empty for other metrics.
    public let choices: [String]
    public let group: String?
  }
  /// Pictures that are shown together, or a video, with all questions about them.
  public struct Item: Sendable {
    /// As the file has them.
    public let names: [String]
    /// Of the pictures, or the frames.
    public let paths: [String]
    /// Frames a second of a video; nil: pictures.
    public let rate: Double?
    public internal(set) var questions: [Question]
  }

  public let path: String
  /// In the order in which the file comes to them.
  public private(set) var items: [Item]
  public var count: Int { items.reduce(0) { $0 + $1.questions.count } }
  /// In the order of `AnswerMetric.all`.
  public private(set) var metrics: [AnswerMetric]
  /// In the order of the file.
  public private(set) var groups: [String]

  /// Whether a path is that of a question file.
  public static func matches(_ path: String) -> Bool { path.hasSuffix(".jsonl") }

  /// - Parameter limit: only the first so many questions.
  /// - Throws: `DataError` naming the first line that is wrong; `WeightError` for a file that cannot be read. Pictures are
  ///   not opened, but must be there.
  public init(_ path: String, limit: Int? = nil) throws {
    guard try FileInfo.ifThere(path) != nil else { throw DataError.missing(path) }
    let bytes = try MappedFile(path: path).withBytes { [UInt8]($0) }
    let folder = FileName.split(path).folder
    var items: [Item] = []
    var groups: [String] = []
    var places: [[String]: Int] = [:]
    var count = 0
    for (index, bytes) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated()
    where !bytes.allSatisfy({ $0 == 32 || $0 == 13 || $0 == 9 }) && count < limit ?? .max {
      let line = try Line(bytes, number: index + 1, of: path)
      let (shown, question) = (try line.shown(from: folder), try line.question())
      let names = [shown.rate.map { "\($0)" } ?? ""] + shown.names
      if places[names] == nil, let missing = try shown.paths.first(where: { try FileInfo.ifThere($0) == nil }) {
        throw line.wrong("no picture '\(missing)'", "a path from the folder of this file")
      }
      if let group = question.group, !groups.contains(group) { groups.append(group) }
      if let place = places[names] {
        items[place].questions.append(question)
      } else {
        places[names] = items.count
        items.append(Item(names: shown.names, paths: shown.paths, rate: shown.rate, questions: [question]))
      }
      count += 1
    }
    guard !items.isEmpty else { throw DataError.noImages(path, expected: "a question a line") }
    let used = Set(items.flatMap { $0.questions.map(\.metric) })
    self.path = path
    self.items = items
    self.groups = groups
    metrics = AnswerMetric.all.filter(used.contains)
  }

  /// Whether a question is about a video.
  public var hasVideos: Bool { items.contains { $0.rate != nil } }

  /// Every so many items, with all their questions.
  public func thinned(to count: Int) -> QuestionFile {
    var fewer = self
    fewer.items = (0..<min(count, items.count)).map { items[$0 * items.count / min(count, items.count)] }
    return fewer
  }

  /// The same questions, scored by their agreement with the dense model: their answers are not looked at.
  public func withoutAnswers() -> QuestionFile {
    var blind = self
    blind.items = items.map { item in
      var item = item
      item.questions = item.questions.map { question in
        Question(
          line: question.line, text: question.text, answers: [], metric: .agreement, choices: [], group: question.group)
      }
      return item
    }
    blind.metrics = [.agreement]
    return blind
  }
}

extension QuestionFile {
  /// One line of a file.
  private struct Line {
    let json: JSON
    let number: Int, path: String

    /// - Throws: `DataError` for what is no object.
    init(_ bytes: some Collection<UInt8>, number: Int, of path: String) throws(DataError) {
      guard let json = try? JSON(parsing: Array(bytes)), json.object != nil else {
        throw .line(
          file: path, number: number, found: "no JSON object",
          expected: "{\"image\": ..., \"question\": ..., \"answers\": [...], \"metric\": ...}")
      }
      self.json = json
      self.number = number
      self.path = path
    }

    func wrong(_ found: String, _ expected: String) -> DataError {
      .line(file: path, number: number, found: found, expected: expected)
    }

    /// A text, or a list of some.
    func texts(_ key: String) throws(DataError) -> [String] {
      let found = json[key]?.string.map { [$0] } ?? json[key]?.array?.compactMap(\.string) ?? []
      guard !found.isEmpty, json[key]?.array.map({ $0.count == found.count }) ?? true else {
        throw wrong(json[key].map { "\(key) \($0.text().prefix(60))" } ?? "no \(key)", "a text or a list of texts")
      }
      return found
    }

    /// The pictures, or the frames of the video.
    func shown(from folder: String) throws -> (names: [String], paths: [String], rate: Double?) {
      func path(_ name: String) -> String { name.hasPrefix("/") || folder.isEmpty ? name : folder + "/" + name }
      guard let video = json["video"] else {
        if json["fps"] != nil { throw wrong("fps without a video", "it beside video alone") }
        let names = try texts("image")
        return (names, names.map(path), nil)
      }
      if json["image"] != nil { throw wrong("both image and video", "one of them") }
      let rate = json["fps"] == nil ? 2 : json["fps"]?.double
      guard let rate, (0.01...1000).contains(rate) else {
        throw wrong("fps \(json["fps"]!.text().prefix(60))", "frames a second, 0.01 to 1000")
      }
      guard let name = video.string else {
        let names = try texts("video")
        return (names, names.map(path), rate)
      }
      do {
        return ([name], try FrameFolder(path(name)).frames, rate)
      } catch let mistake as FrameFolder.Mistake {
        throw wrong("video '\(name)' with \(mistake.found)", mistake.expected)
      }
    }

    func question() throws(DataError) -> Question {
      let metric = try metric()
      let answers = metric.fewestAnswers == 0 ? [] : try texts("answers")
      let text = json["question"]?.string ?? ""
      guard !text.allSatisfy(\.isWhitespace) else { throw wrong("no question", "a text") }
      guard answers.count >= metric.fewestAnswers else {
        throw wrong("\(answers.count) answers for metric \(metric.name)", metric.answers)
      }
      let choices = metric.needsChoices ? try choices(answers) : []
      return Question(
        line: number, text: text, answers: answers, metric: metric, choices: choices, group: json["group"]?.string)
    }

    private func metric() throws(DataError) -> AnswerMetric {
      if json["metric"] == nil, json["answers"] == nil { return .agreement }
      guard let metric = AnswerMetric(name: json["metric"]?.string ?? "") else {
        throw wrong(
          json["metric"].map { "metric \($0.text())" } ?? "no metric",
          "one of " + AnswerMetric.all.map(\.name).joined(separator: ", "))
      }
      return metric
    }

    private func choices(_ answers: [String]) throws(DataError) -> [String] {
      let choices = try texts("choices")
      guard (2...MultipleChoice.letters.count).contains(choices.count) else {
        throw wrong("\(choices.count) choices", "2 to \(MultipleChoice.letters.count)")
      }
      if let other = answers.first(where: { MultipleChoice.place(of: $0, among: choices) == nil }) {
        throw wrong(
          "answer '\(other.prefix(60))' among \(choices.count) choices", "a letter or a text of the choices")
      }
      return choices
    }
  }
}
