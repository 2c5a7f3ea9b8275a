import VTokFiles
import VTokModels
import VTokWeights

/// The two files of a vision-language model in GGUF.
struct GGUFPair {
  /// Of the text model.
  let model: String
  /// Of tower and projector.
  let mmproj: String

  /// What a user names: the two files, or a folder that holds one of each and no weights in another format.
  /// - Returns: nil for anything else.
  /// - Throws: `ModelError` where one of the two is missing, or a folder has several; `WeightError`.
  init?(_ path: String, _ mmproj: String?) throws {
    if path.hasSuffix(GGUF.ending) {
      guard let mmproj else {
        let beside = (try? Self.sorted(FileName.split(path).folder).projectors) ?? []
        throw ModelError.input(
          what: "model '\(path)'", found: "no file with its tower and projector (mmproj)", expected: "both",
          fix: beside.isEmpty
            ? "It is published beside the text model, most often with mmproj in its name: fetch and give it too."
            : "Give one of those beside it: \(listed(beside)).")
      }
      model = path
      self.mmproj = mmproj
      return
    }
    if let mmproj {
      throw ModelError.input(
        what: "model '\(path)' with the mmproj '\(mmproj)'", found: "a model that is no GGUF file",
        expected: "a text model in GGUF (\(GGUF.ending))", fix: "Leave the mmproj out, or give its text model.")
    }
    guard let files = try? Self.sorted(path), !files.models.isEmpty || !files.projectors.isEmpty else { return nil }
    guard files.models.count == 1, files.projectors.count == 1 else {
      func found(_ names: [String]) -> String { names.isEmpty ? "none" : listed(names) }
      throw ModelError.input(
        what: "model '\(path)'",
        found: "text models in GGUF: \(found(files.models)); towers with projectors: \(found(files.projectors))",
        expected: "one of each", fix: "Give the file of a text model, and its mmproj.")
    }
    model = path + "/" + files.models[0]
    self.mmproj = path + "/" + files.projectors[0]
  }

  /// The files of a folder by what they hold; those that cannot be read are in neither list.
  private static func sorted(_ directory: String) throws -> (models: [String], projectors: [String]) {
    let directory = directory.isEmpty ? "." : directory
    var files: (models: [String], projectors: [String]) = ([], [])
    for name in try GGUF.files(in: directory) {
      guard let file = try? GGUFFile(path: directory + "/" + name) else { continue }
      if file.values.isProjector {
        files.projectors.append(name)
      } else {
        files.models.append(name)
      }
    }
    return files
  }
}
