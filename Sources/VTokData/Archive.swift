import VTokFiles
import VTokImage

/// A tar archive of pictures, as img2dataset and WebDataset write them: `000000012.jpg` beside `000000012.txt` and `.json`.
enum Archive {
  /// The pictures in an archive, by name; of those that share one the last, as tar has it. Behind what a damaged archive still holds
  /// comes one that says what is wrong with it.
  /// - Parameter name: of the archive, before theirs.
  static func pictures(_ path: String, name: String) throws -> [InputFile] {
    var found: [String: InputFile.Place] = [:]
    var fault: InputFile?
    do {
      var reader = try TarReader(path: path)
      while let entry = try reader.next() {
        let file = OutputNames.cleaned(entry.name)
        let last = FileName.split(file).name
        guard InputList.isImage(last), !last.hasPrefix(".") else { continue }
        found[file] = .archive(offset: entry.offset, size: entry.size)
      }
    } catch let error as TarReader.Fault {
      let error = ImageError(.corrupt, "the tar archive is damaged: \(error.reason)").named(path)
      fault = InputFile(path: path, name: name, place: .fault(error))
    } catch let error as SystemError {
      if error.isOfMachine { throw error }
      fault = InputFile(path: path, name: name, place: .fault(ImageError(error)))
    }
    let files = found.map { (FileName.bytes($0.key), $0) }.sorted { $0.0.lexicographicallyPrecedes($1.0) }
    return files.map { InputFile(path: path, name: name + "/" + $1.key, place: $1.value) } + (fault.map { [$0] } ?? [])
  }
}
