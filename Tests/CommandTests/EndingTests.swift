import Foundation
import Testing
import VTok

/// How runs end that cannot go on: no memory, no room to write, a signal.
@Suite struct EndingTests {
  /// Commands that print, each with what it needs of `Images`.
  static let printing = [
    "methods", "methods tome", "models", "inspect vtok-tiny", "inspect vtok-tiny --tensors", "flops",
    "flops --format json",
    "doctor", "show PICTURE -o map.png", "prune PICTURE -o out", "bench --data list.txt --timing-samples 0 --seeds 1",
    "tokenize PICTURE --tokens 4 -o a.vtokens --force", "detokenize b.vtokens -o out --force", "--help", "--version",
    "generate --model MODEL --image PICTURE --prompt x --max-tokens 1 --quiet",
    "calibrate --data list.txt --target-ratio 0.6 --steps 1 --batch 1 -o rates.json --quiet --force",
  ]

  func line(_ command: String) -> String {
    "vtok "
      + command.replacing("PICTURE", with: quoted(pictures + "/cat.jpg"))
      .replacing("MODEL", with: quoted(repository + "/Benchmarks/models/vqa-small"))
  }

  func prepare(_ folder: String) throws {
    try write(pictures + "/cat.jpg\tcat\n", folder + "/list.txt")
    _ = try shell(line("tokenize PICTURE --tokens 4 -o b.vtokens"), in: folder)
  }

  @Test(arguments: printing) func outputThatCannotBeWritten(_ command: String) throws {
    try inTemporaryFolder { folder in
      try prepare(folder)
      for (target, reason) in [("/dev/full", "No space left"), ("&-", "Bad file descriptor")] {
        let done = try shell("\(line(command)) >\(target)", in: folder)
        #expect(done.status == 1, "\(target): \(done.error)")
        #expect(done.error.contains("vtok: error: standard output: ") && done.error.contains(reason), "\(done.error)")
      }
      // A reader that has seen enough.
      let done = try shell("{ sleep 0.2; \(line(command)); echo $? >&2; } | true", in: folder)
      #expect(done.error.hasSuffix("1\n") && !done.error.contains("error"), "\(done.error)")
    }
  }

  @Test func aLogNobodyReadsStopsNoWork() throws {
    try inTemporaryFolder { folder in
      try prepare(folder)
      for stream in ["2>/dev/full", "2>&-", "<&- 2>&-"] {
        let done = try shell("vtok prune \(quoted(malformed)) \(quoted(pictures)) -o out --force \(stream)", in: folder)
        #expect(done.status == 3, "\(stream)")
      }
      let done = try shell(
        "{ vtok prune \(quoted(malformed)) \(quoted(pictures)) -o out2 2>&1 >table; echo $? >status; } | true; cat status",
        in: folder)
      #expect(done.out == "3\n")
    }
  }

  /// Address space for the program and little more; and threads that cannot be had.
  @Test(arguments: [150_000, 200_000, 250_000, 300_000, 400_000]) func memoryThatIsNotThere(_ limit: Int) throws {
    try inTemporaryFolder { folder in
      try prepare(folder)
      for command in ["prune PICTURE -o out --force --threads 8", "methods", "doctor", Self.printing[15]] {
        let done = try shell("ulimit -v \(limit); \(line(command))", in: folder)
        // Below some size the system cannot even load the libraries.
        if done.error.contains("shared libraries") { continue }
        #expect(done.status == 0 || done.status == 1, "\(command): \(done.status) \(done.error)")
        if done.status == 1 {
          let tells = ["out of memory", "not enough memory"].contains { done.error.contains($0) }
          #expect(done.isOneError && tells, "\(command): \(done.error)")
        }
      }
    }
  }

  @Test func aPictureLargerThanTheMemory() throws {
    try inTemporaryFolder { folder in
      try write(pictures + "/cat.jpg\tcat\n", folder + "/list.txt")
      try WholeFile.write(
        try Image(width: 12000, height: 8000, colour: [9, 9, 9]).pngData(), to: folder + "/large.png")
      let done = try shell("ulimit -v 500000; vtok show large.png -o map.png --threads 1", in: folder)
      #expect(done.isOneError && done.status == 1 && done.error.contains("memory"), "\(done.error)")
    }
  }

  /// The first signal ends what leaves nothing behind at once, and the second everything.
  @Test(arguments: ["INT", "TERM"]) func signalsEndWhatDoesNotAsk(_ signal: String) throws {
    try inTemporaryFolder { folder in
      _ = try shell("mkfifo pipe", in: folder)
      let wait = "sleep 0.3; kill -\(signal) $!; wait $!; echo $?"
      // Waits for a list that never comes.
      let reading = try shell("exec 3<>pipe; \"$VTOK\" prune --files-from - -o out <&3 & \(wait)", in: folder)
      #expect(reading.out == "130\n", "\(reading.error)")
      let model = quoted(repository + "/Benchmarks/models/vqa-small")
      let bench = try shell(
        "\"$VTOK\" bench --data \(quoted(pictures)) --seeds 500 --keep-tokens 90,80,70,60,50,40 & \(wait)", in: folder)
      #expect(bench.out == "130\n", "\(bench.error)")
      let answer = try shell(
        "\"$VTOK\" generate --model \(model) --image \(quoted(pictures + "/cat.jpg")) --prompt x --max-tokens 1000000 "
          + "--temperature 900 --quiet >answer & \(wait)", in: folder)
      #expect(["130\n", "0\n"].contains(answer.out), "\(answer.error)")
    }
  }

  @Test func aSecondSignalEndsAJob() throws {
    try inTemporaryFolder { folder in
      try FileManager.default.createDirectory(atPath: folder + "/many", withIntermediateDirectories: true)
      try manyPictures(400, in: folder + "/many")
      let done = try shell(
        "\"$VTOK\" prune many -o out --threads 1 & sleep 1; kill -TERM $!; kill -TERM $!; wait $!; echo $?",
        in: folder)
      #expect(done.out == "130\n", "\(done.error)")
    }
  }

  /// Names and values that would break or flood a line.
  @Test func errorsAreOneShortLine() throws {
    for name in [
      "a\nb", "a\u{1b}[31mb", String(repeating: "x", count: 100_000), String(repeating: "a b ", count: 20_000),
    ] {
      for arguments in [
        ["prune", name, "-o", "/no/such"], ["prune", pictures, "-o", "/no/such", "--method", name],
        ["inspect", name], ["flops", "--model", name], ["flops", "--seed", name], ["prune", pictures, "--\(name)"],
        ["prune", pictures, "--keep-ratio", name, "-o", "/no/such"],
      ] {
        let done = try vtok(arguments)
        #expect(done.isOneError, "\(arguments[0]): \(done.status) \(done.error.prefix(300))")
        #expect(done.error.utf8.count < 4000 && !done.error.contains("\u{1b}"), "\(done.error.prefix(200))")
      }
    }
  }

  /// Warnings about files say their names once.
  @Test func warningsNameAFileOnce() throws {
    try inTemporaryFolder { folder in
      let bad = malformed + "/png-trunc-idat.png"
      for command in ["prune \(quoted(bad)) -o out", "tokenize \(quoted(bad)) --tokens 4 -o a.vtokens"] {
        let warnings = try shell("vtok \(command)", in: folder).error.split(separator: "\n").filter {
          $0.contains("warning")
        }
        #expect(!warnings.isEmpty)
        for warning in warnings { #expect(warning.components(separatedBy: bad).count == 2, "\(warning)") }
      }
    }
  }
}
