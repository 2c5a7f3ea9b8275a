import VTokFiles
import VTokPipeline
import VTokWeights

/// Other forms of a job's tokens, for readers of them; they lie beside the token files and are made from these.
public enum ExportForm: String, Sendable, CaseIterable {
  /// For NumPy, of every shard: `tokens-NNNNN.npy` `[rows, width]`, the tokens of all images that are done;
  /// `tokens-NNNNN.offsets.npy` `[images + 1]`, where those of each image begin; `tokens-NNNNN.index.npy` `[images]`, its line of the
  /// manifest; `.keep.npy` `[rows]`, `.pooled.npy` `[images, width]`, `.deepstack.0.npy` and so on `[rows, width]`.
  case npy
  /// For WebDataset: `tokens-NNNNN.tar` with a sample for every image that is done. Its key is the nine digits of its line of the
  /// manifest; `KEY.json` is that line, `KEY.NAME.npy` a tensor of the token file.
  case webdataset
}

extension PruneJob {
  /// Writes what is not there yet. The folder's lock must be held, and the job be done.
  public func export(_ form: ExportForm) throws { try store.export(form) }
}

extension MergeParts {
  /// Of the whole, once it is put together.
  public func export(_ form: ExportForm) throws { try ShardStore(folder: folder).export(form) }
}

/// A shard as exports see it.
private struct ShardTensors {
  let file: MappedFile
  /// By line of the manifest, of the images that are done; each by name.
  let images: [(index: Int, line: ArraySlice<UInt8>, tensors: [String: TensorEntry])]

  init(_ marker: Marker, _ path: String) throws(WeightError) {
    let tokens = try Safetensors(path: path)
    file = tokens.file
    var found: [Int: [String: TensorEntry]] = [:]
    for entry in tokens.entries {
      guard let dot = entry.name.firstIndex(of: "."), let index = Int(entry.name[..<dot]) else { continue }
      found[index, default: [:]][String(entry.name[entry.name.index(after: dot)...])] = entry
    }
    images = marker.entries.enumerated().filter(\.element.isGood).map { place, entry in
      (marker.first + place, entry.line, found[marker.first + place] ?? [:])
    }
  }

  /// All rows of a tensor, image after image.
  func emit(_ name: String, _ sink: (UnsafeRawBufferPointer) -> Void) {
    for image in images { if let entry = image.tensors[name] { emit(entry, sink) } }
  }

  func emit(_ entry: TensorEntry, _ sink: (UnsafeRawBufferPointer) -> Void) {
    file.withBytes { sink(UnsafeRawBufferPointer(rebasing: $0[entry.range])) }
  }
}

extension ShardStore {
  static let exportEndings = [".npy", ".tar"]

  /// Whether a file in the folder is an export of a token file as that is now.
  func isCurrentExport(_ name: String) throws -> Bool {
    guard Self.exportEndings.contains(where: name.hasSuffix), name.hasPrefix("tokens-"),
      let shard = Int(name.dropFirst(7).prefix { $0 != "." }),
      let written = try FileInfo.ifThere(marker(shard))?.modified,
      let export = try FileInfo.ifThere(folder + "/" + name)
    else { return false }
    return export.kind == .file && export.modified >= written
  }

  func export(_ form: ExportForm) throws {
    for shard in try marked() {
      let stem = "tokens-" + Self.number(shard)
      // The last file that is written.
      let last = stem + (form == .npy ? ".npy" : ".tar")
      if try isCurrentExport(last) { continue }
      guard let marker = try finished(shard)?.marker else { continue }
      let tensors = try ShardTensors(marker, tokens(shard))
      switch form {
      case .npy: try arrays(of: tensors, to: folder + "/" + stem)
      case .webdataset: try archive(of: tensors, to: folder + "/" + last)
      }
    }
  }

  // MARK: NumPy

  private func arrays(of shard: ShardTensors, to stem: String) throws(WeightError) {
    let first = shard.images.first?.tensors ?? [:]
    let rows = shard.images.map { $0.tensors["tokens"]?.shape[0] ?? 0 }
    func write(_ values: [Int], _ name: String) throws(WeightError) {
      let head = NPYHeader.bytes(.i64, shape: [values.count])!
      try WholeFile.write(to: "\(stem).\(name).npy") { sink throws(WeightError) in
        head.withUnsafeBytes(sink)
        values.map(Int64.init).withUnsafeBytes(sink)
      }
    }
    try write(rows.reduce(into: [0]) { $0.append($0.last! + $1) }, "offsets")
    try write(shard.images.map(\.index), "index")
    // The tokens come last: with them the export is whole.
    for name in first.keys.sorted() where name != "tokens" {
      try array(name, of: shard, rows: rows.reduce(0, +), like: first[name], to: "\(stem).\(name).npy")
    }
    try array("tokens", of: shard, rows: rows.reduce(0, +), like: first["tokens"], to: stem + ".npy")
  }

  /// - Parameter like: of one image; nil where no image is done.
  private func array(
    _ name: String, of shard: ShardTensors, rows: Int, like: TensorEntry?, to path: String
  ) throws(WeightError) {
    let shape: [Int]
    switch PrunedImage.extent(ofTensor: name) {
    case .tokens: shape = [rows] + (like?.shape.dropFirst() ?? [0])
    case .image: shape = [shard.images.count] + (like?.shape ?? [0])
    case .other: return
    }
    guard let head = NPYHeader.bytes(like?.type ?? .f32, shape: shape) else { return }
    try WholeFile.write(to: path) { sink throws(WeightError) in
      head.withUnsafeBytes(sink)
      shard.emit(name, sink)
    }
  }

  // MARK: WebDataset

  private func archive(of shard: ShardTensors, to path: String) throws(WeightError) {
    try WholeFile.write(to: path) { sink throws(WeightError) in
      for image in shard.images {
        let digits = String(image.index)
        let key = String(repeating: "0", count: max(0, 9 - digits.count)) + digits
        let line = Array(image.line) + [10]
        for bytes in [TarWriter.header(key + ".json", size: line.count), line, TarWriter.filling(size: line.count)] {
          bytes.withUnsafeBytes(sink)
        }
        for (name, entry) in image.tensors.sorted(by: { $0.key < $1.key }) {
          guard let head = NPYHeader.bytes(entry.type, shape: entry.shape) else { continue }
          let size = head.count + entry.range.count
          (TarWriter.header("\(key).\(name).npy", size: size) + head).withUnsafeBytes(sink)
          shard.emit(entry, sink)
          TarWriter.filling(size: size).withUnsafeBytes(sink)
        }
      }
      TarWriter.end.withUnsafeBytes(sink)
    }
  }
}
