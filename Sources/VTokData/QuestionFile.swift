import VTokEval
import VTokFiles
import VTokImage
import VTokWeights

/// Questions about pictures with the answers that are right: JSONL, an object a line with `image` (a path from the
/// file's own folder, or a list of them), `question`, `answers` (a list, or one text), `metric` (a name of `AnswerMetric`)
/// and, if the table shall tell kinds of questions apart, `group`.
public struct QuestionFile: Sendable {
  public struct Question: Sendable {
    /// Line of the file, from 1.
    public let line: Int
    public let text: String, answers: [String], metric: AnswerMetric
    public let group: String?
  }
  /// Pictures that are shown together, with all questions about them.
  public struct Item: Sendable {
    /// As the file has them.
    public let names: [String]
    public let paths: [String]
    public internal(set) var questions: [Question]
  }

  public let path: String
  /// In the order in which the file comes to them.
  public private(set) var items: [Item]
  public var count: Int { items.reduce(0) { $0 + $1.questions.count } }
  /// In the order of `AnswerMetric.all`.
  public let metrics: [AnswerMetric]
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
    for (index, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated()
    where !line.allSatisfy({ $0 == 32 || $0 == 13 || $0 == 9 }) && count < limit ?? .max {
      func wrong(_ found: String, _ expected: String) -> DataError {
        .line(file: path, number: index + 1, found: found, expected: expected)
      }
      guard let json = try? JSON(parsing: Array(line)), json.object != nil else {
        throw wrong("no JSON object", "{\"image\": ..., \"question\": ..., \"answers\": [...], \"metric\": ...}")
      }
      func texts(_ key: String) throws(DataError) -> [String] {
        let found = json[key]?.string.map { [$0] } ?? json[key]?.array?.compactMap(\.string) ?? []
        guard !found.isEmpty, json[key]?.array.map({ $0.count == found.count }) ?? true else {
          throw wrong(json[key].map { "\(key) \($0.text().prefix(60))" } ?? "no \(key)", "a text or a list of texts")
        }
        return found
      }
      let (names, answers, text) = (try texts("image"), try texts("answers"), json["question"]?.string ?? "")
      guard !text.allSatisfy(\.isWhitespace) else { throw wrong("no question", "a text") }
      guard let metric = AnswerMetric(name: json["metric"]?.string ?? "") else {
        throw wrong(
          json["metric"].map { "metric \($0.text())" } ?? "no metric",
          "one of " + AnswerMetric.all.map(\.name).joined(separator: ", "))
      }
      guard answers.count >= metric.fewestAnswers else {
        throw wrong("\(answers.count) answers for metric \(metric.name)", metric.answers)
      }
      let paths = names.map { $0.hasPrefix("/") || folder.isEmpty ? $0 : folder + "/" + $0 }
      if places[names] == nil, let missing = try paths.first(where: { try FileInfo.ifThere($0) == nil }) {
        throw wrong("no picture '\(missing)'", "a path from the folder of this file")
      }
      let question = Question(
        line: index + 1, text: text, answers: answers, metric: metric, group: json["group"]?.string)
      if let group = question.group, !groups.contains(group) { groups.append(group) }
      if let place = places[names] {
        items[place].questions.append(question)
      } else {
        places[names] = items.count
        items.append(Item(names: names, paths: paths, questions: [question]))
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

  /// Every so many items, with all their questions.
  public func thinned(to count: Int) -> QuestionFile {
    var fewer = self
    fewer.items = (0..<min(count, items.count)).map { items[$0 * items.count / min(count, items.count)] }
    return fewer
  }
}
