import ArgumentParser
import CVTokKernels
import CVTokProcess
import Foundation
import VTok

@main
struct VTokCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vtok",
    abstract: "Turn images into fewer, better tokens, and say honestly what that costs and saves.",
    discussion: """
      vtok prune photos/ -o out                          halve the tokens of every photo with ToMe
      vtok prune photos/ --method divprune --keep-ratio 0.25 --overlay -o out
      vtok generate --model llava-1.5-7b-hf --image photo.jpg --prompt "What is this?" --method visionzip
      vtok show photo.jpg --method tome:r=16 -o map.png  look at what stayed
      vtok flops --model deit-s --method tome            what it would cost, without weights
      vtok tokenize photos/ --tokens 64 -o p.vtokens    80 bytes a picture; vtok detokenize turns them back
      vtok methods                                       what can be asked for

      A model is a directory as downloaded from the Hub, or 'vtok-tiny', which is inside the program.
      """,
    version: vtokVersion,
    subcommands: [
      PruneCommand.self, GenerateCommand.self, ShowCommand.self, BenchCommand.self, FlopsCommand.self,
      CalibrateCommand.self, TokenizeCommand.self, DetokenizeCommand.self, MethodsCommand.self, ModelsCommand.self,
      InspectCommand.self, DoctorCommand.self,
    ])

  static func main() {
    vtok_process_begin()
    vtok_keep_freed_memory()
    do {
      let arguments = try JobFile.expand(Array(CommandLine.arguments.dropFirst()))
      var command = try parseAsRoot(arguments)
      try command.run()
    } catch {
      leave(with: error)
    }
    Output.end(0)
  }

  /// One line for what went wrong, and the exit code that says whose it was: 1 the run's, 2 the user's.
  static func leave(with error: any Error) -> Never {
    if let code = error as? ExitCode { Output.end(code.rawValue) }
    switch error {
    case is MethodError, is OptionError, is InputError, is CompressionError, is UsageError, is MergeError,
      is DataError, is CalibrationError, is MessageFile.Mistake:
      complain("\(error)")
      Output.end(2)
    case is ModelError, is WeightError, is TokenFileError, is JSONError, is ImageError, is TokenizerError:
      complain("\(error)")
      Output.end(1)
    default: break
    }
    let code = exitCode(for: error)
    if code == .success {
      print(fullMessage(for: error))
      Output.end(0)
    }
    if code == .validationFailure {
      let text = message(for: error)
      complain(text.isEmpty ? "unusable arguments. See 'vtok --help'." : text)
      Output.end(2)
    }
    complain((error as NSError).localizedDescription)
    Output.end(1)
  }

  static func complain(_ text: String) { Output.note("vtok: error: \(Output.line(text))") }
  static func say(_ text: String) { Output.note("vtok: \(Output.line(text))") }
  static func warn(_ text: String) { Output.note("vtok: warning: \(Output.line(text))") }

  /// A warning about one file; most of what is said about files names them already.
  static func warn(about path: String, _ text: String) { warn(text.contains(path) ? text : "\(path): \(text)") }
}

/// A mistake in the flags: what, found, expected, how to fix.
struct UsageError: Error, CustomStringConvertible {
  let description: String
  init(_ what: String, found: String, expected: String, fix: String) {
    description = "\(what): \(found), expected \(expected). \(fix)"
  }
}
