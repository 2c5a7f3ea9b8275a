import VTokFiles
import VTokImage
import VTokPipeline
import VTokWeights

/// Pictures with the class each belongs to, in an order that depends on nothing but their names.
///
/// Four forms are read:
/// - a folder with one sub-folder per class, named after it;
/// - a list file, one picture a line: path (relative to the list), tab, label;
/// - a CIFAR-10 binary file, or a folder with some (`data_batch_1.bin`);
/// - a folder of pictures without labels, or a tar archive of them.
public struct LabelledImages: Sendable {
  public struct Item: Sendable, Equatable {
    /// For people and manifests.
    public let name: String
    /// Class of the model; nil without labels.
    public let label: Int?
    let source: Source
  }
  enum Source: Sendable, Equatable {
    case file(InputFile)
    /// Record of one of the binary files.
    case record(file: Int, index: Int)
  }

  /// The path as given.
  public let path: String
  public let items: [Item]
  let binaries: [CIFARFile]

  public var count: Int { items.count }
  /// Whether every picture has a label.
  public var isLabelled: Bool { items.allSatisfy { $0.label != nil } }

  /// - Parameter classes: names of the model's classes in order, to which names in the data are mapped (case does not
  ///   matter). nil: the model has none; then names in the data are numbered in sorted order.
  /// - Throws: `DataError` for what is no data, or has classes the model does not know; `InputError`, `WeightError`.
  /// - Parameter outputs: what the command writes; what is in them is no data.
  public init(_ path: String, classes: [String]?, outside outputs: [String] = []) throws {
    guard let info = try FileInfo.ifThere(path) else { throw DataError.missing(path) }
    let found: (items: [Unmapped], binaries: [CIFARFile])
    if info.kind != .folder, !InputList.isArchive(path) {
      found = path.hasSuffix(".bin") ? try Self.binary([path]) : (try Self.list(path), [])
    } else if info.kind == .folder, let files = try Self.binaries(in: path) {
      found = try Self.binary(files)
    } else {
      found = (try Self.folder(path, outputs), [])
    }
    self.path = path
    binaries = found.binaries
    let labels = try ClassMap(classes, data: path, names: found.items.map(\.label))
    items = try found.items.map { Item(name: $0.name, label: try labels($0.label), source: $0.source) }
  }

  /// Decodes picture `index`.
  public func image(_ index: Int, options: DecodeOptions = .init()) throws(ImageError) -> Image {
    switch items[index].source {
    case .file(let file): try file.read().decoded(options: options).image
    case .record(let file, let record): binaries[file].image(record)
    }
  }

  /// SHA-256 of names, labels and contents. Reads all of them; a file that cannot be read counts as none.
  package func sha256() -> String {
    var hash = SHA256()
    func add(_ text: String, to hash: inout SHA256) {
      Array((text + "\0").utf8).withUnsafeBytes { hash.update($0) }
    }
    if !binaries.isEmpty { add(LoadedModel.checksum(binaries.map(\.file)), to: &hash) }
    for item in items {
      add("\(item.name) \(item.label ?? -1)", to: &hash)
      guard case .file(let file) = item.source else { continue }
      add((try? file.read()).map { SHA256.of($0.bytes) } ?? "none", to: &hash)
    }
    return hash.finish()
  }

  // MARK: Forms

  /// A label as the data says it.
  enum Label: Sendable, Hashable {
    case number(Int)
    case name(String)
  }
  struct Unmapped {
    let name: String
    let label: Label?
    let source: Source
  }

  /// Class folders when there are at least two of them and no picture beside them, else pictures without labels.
  private static func folder(_ path: String, _ outputs: [String]) throws -> [Unmapped] {
    let files = try InputList.find([path], outside: outputs).files
    let parts = files.map { $0.name.split(separator: "/", maxSplits: 1) }
    let folders = Set(parts.map { $0.count == 2 ? String($0[0]) : "" })
    // An archive is no class.
    let isLabelled = folders.count > 1 && !folders.contains("") && files.allSatisfy { $0.place == .file }
    return zip(files, parts).map { file, parts in
      Unmapped(name: file.name, label: isLabelled ? Label(String(parts[0])) : nil, source: .file(file))
    }
  }

  private static func list(_ path: String) throws -> [Unmapped] {
    let bytes = try MappedFile(path: path).withBytes { [UInt8]($0) }
    guard !bytes.contains(0) else {
      throw DataError.line(file: path, number: 1, found: "bytes that are no text", expected: "path, tab, label")
    }
    let text = FileName.text(bytes)
    let folder = FileName.split(path).folder
    let names = try classNames(beside: path)
    var items: [Unmapped] = []
    for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated()
    where !line.allSatisfy(\.isWhitespace) && !line.hasPrefix("#") {
      // A space will do where the label is a number, as lists of that kind are about.
      let space = line.lastIndex(of: " ").flatMap { Int(line[$0...].dropFirst()) == nil ? nil : $0 }
      let tab = line.lastIndex(of: "\t") ?? space
      guard let tab, tab > line.startIndex, case let label = line[tab...].dropFirst(), !label.isEmpty else {
        throw DataError.line(
          file: path, number: index + 1, found: "'\(line.prefix(60))'", expected: "path, tab, label")
      }
      var mapped = Label(String(label))
      if let names, case .number(let number) = mapped {
        guard names.indices.contains(number) else {
          throw DataError.line(
            file: path, number: index + 1, found: "label \(number)",
            expected: "0 to \(names.count - 1), the lines of classes.txt")
        }
        mapped = .name(names[number])
      }
      let name = String(line[..<tab])
      let file = name.hasPrefix("/") || folder.isEmpty ? name : folder + "/" + name
      items.append(Unmapped(name: name, label: mapped, source: .file(InputFile(path: file, name: name))))
    }
    guard !items.isEmpty else { throw DataError.noImages(path, expected: "lines with path, tab, label") }
    return items
  }

  /// Names of numbered labels: `classes.txt` beside a list, one name a line.
  private static func classNames(beside path: String) throws -> [String]? {
    let folder = FileName.split(path).folder
    guard let data = try FileBytes.readIfThere(folder.isEmpty ? "classes.txt" : folder + "/classes.txt") else {
      return nil
    }
    return String(decoding: data, as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init)
  }

  /// The `.bin` files of a folder, sorted; nil if there are none.
  private static func binaries(in folder: String) throws -> [String]? {
    let names = try Folder.names(folder)
    let files = names.filter { $0.hasSuffix(".bin") && !$0.hasPrefix(".") }
    guard !files.isEmpty else { return nil }
    return files.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }.map { folder + "/" + $0 }
  }

  private static func binary(_ paths: [String]) throws -> ([Unmapped], [CIFARFile]) {
    let files = try paths.map { try CIFARFile($0) }
    let items = files.enumerated().flatMap { number, file in
      (0..<file.count).map { index in
        Unmapped(
          name: "\(FileName.split(file.path).name)#\(index)",
          label: .name(CIFARFile.classes[file.label(index)]), source: .record(file: number, index: index))
      }
    }
    return (items, files)
  }
}

extension LabelledImages.Label {
  /// Whole numbers are class numbers, everything else is a name.
  init(_ text: String) {
    if let number = Int(text), number >= 0 { self = .number(number) } else { self = .name(text) }
  }
}
