import Foundation
import VTokEval
import VTokWeights

extension QuestionImport {
  /// Tables as MMBench and VLMEvalKit publish them: a heading, then a question a row with `index`, `question`, `image` (a file
  /// in base64, or the index of the row that has it) or `image_path`, perhaps `hint`, choices in `A`, `B` and so on, `answer` and
  /// `category`. Rows with choices are multiple choice; others are yes-no where the answer is one of these words, else
  /// exact. Several answers stand as a Python list.
  static let tsv = QuestionImport("tsv", "MMBench_DEV_EN.tsv and its like, pictures in base64 inside") { files, store in
    let file = files[0]
    var table = TSVTable(try file.bytes())
    guard let heading = table.next(), heading.contains("question") else {
      throw DataError.line(file: file.path, number: 1, found: "no column `question`", expected: "a heading with tabs")
    }
    var rows: [TSVRow] = []
    var pictures: [String: [String]] = [:]
    // Rows about the same picture may each have a copy: it is one picture, whose questions belong together.
    var copies: [String: String] = [:]
    while let cells = table.next() {
      guard cells.count == heading.count else {
        throw DataError.line(
          file: file.path, number: table.line, found: "\(cells.count) cells", expected: "\(heading.count)")
      }
      var row = TSVRow(line: table.line, cells: Dictionary(zip(heading, cells)) { first, _ in first })
      let index = row["index"] ?? "\(rows.count)"
      // What is short is the index of the row that has the picture.
      if let image = row["image"], image.utf8.count > 64 {
        let sum = SHA256.of(image.utf8)
        pictures[index] = try copies[sum].flatMap { pictures[$0] } ?? row.pictures(image, index, file, store)
        copies[sum] = copies[sum] ?? index
        row.cells["image"] = index
      }
      rows.append(row)
    }
    return try rows.map { try $0.question(pictures, file) }
  }
}

private struct TSVRow {
  let line: Int
  var cells: [String: String]

  /// nil for an empty cell, and for what pandas writes for none.
  subscript(column: String) -> String? { cells[column].flatMap { $0.isEmpty || $0 == "nan" ? nil : $0 } }

  /// Writes the pictures of a cell: one in base64, or a Python list of some.
  func pictures(_ cell: String, _ index: String, _ file: ImportFile, _ store: PictureStore) throws -> [String] {
    let texts = cell.hasPrefix("[") ? Self.list(cell) ?? [cell] : [cell]
    return try texts.enumerated().map { place, text in
      guard let data = Data(base64Encoded: text, options: .ignoreUnknownCharacters), !data.isEmpty else {
        throw DataError.line(
          file: file.path, number: line, found: "an image that is no base64", expected: "a file in it")
      }
      return try store.keep(Array(data), as: texts.count == 1 ? index : "\(index)-\(place)")
    }
  }

  func question(_ pictures: [String: [String]], _ file: ImportFile) throws -> ImportedQuestion {
    func wrong(_ found: String, _ expected: String) -> DataError {
      .line(file: file.path, number: line, found: found, expected: expected)
    }
    guard let text = self["question"] else { throw wrong("no question", "a text") }
    var images: [String]?
    if let image = self["image"] {
      images = pictures[image]
    } else if let path = self["image_path"] {
      images = Self.list(path) ?? [path]
    }
    guard let images, !images.isEmpty else {
      throw wrong(
        self["image"].map { "image '\($0.prefix(20))', the index of no row with one" } ?? "no image",
        "a file in base64, its row's index, or a path")
    }
    let choices = MultipleChoice.letters.map { self[$0] }.prefix { $0 != nil }.compactMap(\.self)
    let answers = self["answer"].map { Self.list($0) ?? [$0] } ?? []
    let isYesNo = answers.count == 1 && ["yes", "no"].contains(answers[0].lowercased())
    if choices.count >= 2, let answer = answers.first, MultipleChoice.place(of: answer, among: choices) == nil {
      throw wrong("answer '\(answer.prefix(40))'", "a letter or a text of \(choices.count) choices")
    }
    return ImportedQuestion(
      place: "line \(line)", images: images, question: text, answers: answers,
      metric: choices.count >= 2 ? .multipleChoice : isYesNo ? .yesNo : .exact, choices: choices, hint: self["hint"],
      group: self["category"], split: self["split"])
  }

  private static func list(_ cell: String) -> [String]? {
    cell.hasPrefix("[")
      ? (try? JSON(pythonLiteral: cell))?.array?.compactMap { $0.string ?? $0.int.map(String.init) } : nil
  }
}

/// Cells between tabs, rows between line ends; what stands in quotes may hold both, and two quotes mean one.
struct TSVTable {
  private let bytes: [UInt8]
  private var at = 0
  private var lines = 0
  /// Of the row read last, from 1: the line that it begins on.
  private(set) var line = 0

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { at = 3 }
  }

  /// nil at the end. Empty lines are passed over.
  mutating func next() -> [String]? {
    while at < bytes.count, bytes[at] == 10 || bytes[at] == 13 {
      if bytes[at] == 10 { lines += 1 }
      at += 1
    }
    guard at < bytes.count else { return nil }
    line = lines + 1
    var cells = [cell()]
    while at < bytes.count, bytes[at] == 9 {
      at += 1
      cells.append(cell())
    }
    return cells
  }

  private mutating func cell() -> String {
    guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else {
      let start = at
      while at < bytes.count, bytes[at] != 9, bytes[at] != 10, bytes[at] != 13 { at += 1 }
      return String(decoding: bytes[start..<at], as: UTF8.self)
    }
    var text: [UInt8] = []
    at += 1
    while at < bytes.count {
      if bytes[at] == UInt8(ascii: "\"") {
        at += 1
        guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { break }
      }
      if bytes[at] == 10 { lines += 1 }
      text.append(bytes[at])
      at += 1
    }
    return String(decoding: text, as: UTF8.self)
  }
}
