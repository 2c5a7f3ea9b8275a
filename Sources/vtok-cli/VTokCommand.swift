import ArgumentParser
import CVTokKernels
import CVTokProcess
import Dispatch
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
      vtok tokenize photos/ --tokens 64 -o p.vtokens    80 bytes an image; vtok detokenize turns them back
      vtok methods                                       what can be asked for

      A model is a directory as downloaded from the Hub, or 'vtok-tiny', which is inside the program.
      """,
    version: Provenance.version(of: "vtok"),
    subcommands: [
      PruneCommand.self, GenerateCommand.self, ShowCommand.self, BenchCommand.self, SearchCommand.self,
      FlopsCommand.self,
      CalibrateCommand.self, ImportCommand.self, TokenizeCommand.self, DetokenizeCommand.self, SimilarCommand.self,
      MethodsCommand.self,
      ModelsCommand.self,
      InspectCommand.self, DoctorCommand.self,
    ])

  static func main() {
    vtok_process_begin()
    vtok_keep_freed_memory()
    signal(SIGXFSZ, SIG_IGN)  // a limit on file sizes is an error of the write, which is told
    do {
      let arguments = try JobFile.expand(commandLineArguments())
      var command = try parseAsRoot(arguments)
      try takeHandles()
      try command.run()
    } catch {
      leave(with: error)
    }
    Output.end(0)
  }

  /// Dispatch takes file handles when its first thread starts, and ends the process if there are none: so that comes
  /// first, and only if there are some.
  private static func takeHandles() throws {
    let probes = (0..<8).map { _ in open("/dev/null", O_RDONLY | O_CLOEXEC) }
    let code = errno
    for probe in probes where probe >= 0 { close(probe) }
    if probes.contains(where: { $0 < 0 }) { throw SystemError("open files", "vtok", code: code) }
    let started = DispatchSemaphore(value: 0)
    DispatchQueue.global().async { started.signal() }
    started.wait()
  }

  /// One line for what went wrong, and the exit code that says whose it was: 1 the run's, 2 the user's.
  static func leave(with error: any Error) -> Never {
    if let code = error as? ExitCode { Output.end(code.rawValue) }
    switch error {
    case is MethodError, is OptionError, is InputError, is CompressionError, is UsageError, is MergeError,
      is DataError, is CalibrationError, is OutputError, is LockError, is MessageFile.Mistake,
      is MemoryLimit.Excess, is FrameFolder.Mistake:
      complain(error)
      Output.end(2)
    case is ModelError, is WeightError, is TokenFileError, is JSONError, is ImageError, is TokenizerError,
      is SystemError:
      complain(error)
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
    complain(reason(of: error))
    Output.end(1)
  }

  /// What went wrong behind an error of Foundation: the path and the system's words, not a domain and a code.
  private static func reason(of error: any Error) -> String {
    let outer = error as NSError
    let inner = (outer.userInfo[NSUnderlyingErrorKey] as? NSError) ?? outer
    guard inner.domain == NSPOSIXErrorDomain else { return "\(error)" }
    let path = (outer.userInfo[NSFilePathErrorKey] as? String).map { "\(printable($0)): " } ?? ""
    return path + SystemError.reason(Int32(inner.code))
  }

  private static func complain(_ error: any Error) {
    complain("\(error)" + (Hint.of(error).map { " \($0)" } ?? ""))
  }

  static func complain(_ text: String) { Output.note("vtok: error: \(oneLine(text))") }
  static func say(_ text: String) { Output.note("vtok: \(oneLine(text))") }
  static func warn(_ text: String) { Output.note("vtok: warning: \(oneLine(text))") }

  /// Warnings about inputs that failed, and the number of those that are not told one by one.
  /// - Parameters:
  ///   - failures: what is wrong with them, with their paths.
  ///   - count: all of them, where `failures` are the first only.
  ///   - rest: where the others are told.
  static func warn(failures: some Sequence<String>, count: Int? = nil, rest: String) {
    var all = 0
    for message in failures {
      all += 1
      if all <= PruneJob.mostFailures { warn(message) }
    }
    let more = (count ?? all) - min(all, PruneJob.mostFailures)
    if more > 0 { warn("and \(more) more, \(rest)") }
  }
}

/// A mistake in the flags: what, found, expected, how to fix.
struct UsageError: OneLineError {
  let message: String
  init(_ what: String, found: String, expected: String, fix: String) {
    message = "\(what): \(found), expected \(expected). \(fix)"
  }
}
