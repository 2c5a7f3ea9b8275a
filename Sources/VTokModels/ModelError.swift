import VTokFiles
import VTokWeights

/// Why a checkpoint cannot become a model.
public enum ModelError: OneLineError, Equatable {
  /// No family knows the model; `nearest` is the name of one that is known.
  case unknownFamily(found: String, known: [String], nearest: String? = nil)
  /// A value of a configuration file is missing or makes no sense.
  case configuration(file: String, key: String, found: String, expected: String)
  /// Nothing says how images are prepared for the model. A guess would change every result.
  case noProcessor(model: String)
  /// The files hold tensors that no part of the model reads.
  case unknownTensors([String])
  /// A prompt template cannot be run, or there is none.
  case template(what: String, found: String, expected: String, fix: String)
  /// An input does not fit the model.
  case input(what: String, found: String, expected: String, fix: String)

  public var message: String {
    switch self {
    case .unknownFamily(let found, let known, let nearest):
      "no model family fits: \(found), expected one of \(known.joined(separator: ", ")). "
        + (nearest.map { "The nearest that is known is '\($0)'. " } ?? "")
        + "Give a directory of one of these as downloaded from the Hub."
    case .configuration(let file, let key, let found, let expected):
      "\(file): '\(key)' is \(found), expected \(expected). Use the file as published with the weights."
    case .noProcessor(let model):
      "model '\(model)': no file says how its images are prepared, expected \(ProcessorFile.names.joined(separator: " or ")) "
        + "beside its weights, or the pretrained_cfg of a timm model in config.json. Copy the file that was published with "
        + "the weights into the folder, or name one that says it."
    case .unknownTensors(let names):
      "the weights hold \(names.count) \(names.count == 1 ? "tensor" : "tensors") that the model of config.json does not "
        + "have: \(listed(names, limit: 3)); expected none. It is another model than its config.json says, or files of two revisions: fetch both again."
    case .input(let what, let found, let expected, let fix), .template(let what, let found, let expected, let fix):
      "\(what): \(found), expected \(expected). \(fix)"
    }
  }
}
