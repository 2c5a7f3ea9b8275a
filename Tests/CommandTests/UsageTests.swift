import Foundation
import Testing
import VTok

/// What the command says and how it ends when something is asked wrongly, and the small commands.
@Suite struct UsageTests {
  /// Arguments, and what the one line on stderr must say.
  static let mistakes: [([String], String)] = [
    (["prune", pictures, "--method", "divprun"], "did you mean 'divprune'?"),
    (["prune", pictures, "--method", "tome:p=3"], "unknown option 'p' of method 'tome'"),
    (["prune", pictures, "--method", "tome:r=many"], "option 'r' of method 'tome'"),
    (["prune", pictures, "--method", "tome:"], "malformed method"),
    (["prune", pictures, "--method", "tome:r=4,keep=0.5"], "either r or keep"),
    (["prune", pictures, "--keep-ratio", "1.5"], "a number above 0 and at most 1"),
    (["prune", pictures, "--keep-ratio", "0"], "a number above 0 and at most 1"),
    (["prune", pictures, "--keep-tokens", "0.5"], "a whole number in 1..."),
    (["prune", pictures, "--keep-ratio", "0.5", "--keep-tokens", "9"], "expected one of them"),
    (["prune", pictures, "--method", "tome:r=4", "--keep-ratio", "0.5"], "an amount of their own"),
    (["prune", pictures, "--method", "tome:r=4", "--target-gmacs", "0.5"], "an amount of their own"),
    (["prune", pictures, "--target-gmacs", "0.5", "--keep-tokens", "9"], "expected one of them"),
    (["prune", pictures, "--target-gmacs", "0.5", "--target-ms", "9"], "expected one of them"),
    (["prune", pictures, "--target-gmacs", "0"], "a number above 0"),
    (["prune", pictures, "--target-gmacs", "7"], " to 0.837 GMACs"),
    (["prune", pictures, "--method", "divprune", "--target-gmacs", "0.5"], "acts inside the tower"),
    (["prune", pictures, "--method", "diffrate:preset=vit-s-deit-2.9"], "257 tokens, expected 197"),
    (["prune", pictures, "--method", "diffrate:rates=/no/such.json"], "no such file"),
    (["prune", pictures, "--method", "zero-tprune:schedule=vtok-deit-s-3.08"], "6 blocks, expected 12"),
    (["prune", pictures, "--target-ms", "5", "--shard", "0/2"], "one budget for all parts"),
    (["flops", "--image-size", "big"], "pixels as 224"),
    (["flops", "--method", "tome", "--target-ms", "9"], "Nothing is run here"),
    (["prune", pictures, "--method", "tome+tome", "--keep-ratio", "2"], "--keep-ratio"),
    (["prune", pictures, "--method", "divprune+divprune"], "cannot run together"),
    (["prune", pictures, "--method", "tome+tome"], "act twice"),
    (["prune", pictures, "--method", "tome:keep=1"], "cannot reach its budget"),
    (["prune", pictures, "--keep-tokens", "1000"], "at most the 256"),
    (["flops", "--model", "llava-1.5-7b", "--method", "divprune", "--keep-tokens", "577"], "at most the 576"),
    (["prune", pictures, "--method", "fastv"], "Use tome with this model"),
    (["prune", pictures, "--method", "random:block=77"], "block 77 of 6"),
    (["prune", pictures, "--shard", "2/2"], "i from 0 to n - 1"),
    (["prune", pictures, "--threads", "0"], "--threads"),
    (["prune", pictures, "--max-pixels", "0"], "--max-pixels"),
    (["prune", "/no/such/folder"], "no such file or folder"),
    (["prune", pictures, "--config", "/no/such.yaml"], "no such file"),
    (["prune"], "a folder or image files"),
    (["prune", pictures, "--colour"], "--colour"),
    (["generate", "--image", "a.png", "--prompt", "x"], "the directory of a vision-language model"),
    (["prune", pictures, "--alpha", "grey"], "--alpha"),
    (["show", pictures + "/cat.jpg", "-o", "/no/such/map.gif"], "expected .png, .jpg, .webp"),
    (["show", pictures + "/cat.jpg", "-o", "/no/such/map"], "-o '/no/such/map'"),
    (["generate", "--image", "a.png", "--prompt", "x", "--overlay", "a.tiff"], "--overlay 'a.tiff'"),
    (["methods", "tomb"], "did you mean 'tome'?"),
  ]

  @Test(arguments: mistakes) func usageErrorsAreOneLineAndEndWithTwo(_ mistake: ([String], String)) throws {
    try inTemporaryFolder { folder in
      let output = folder + "/out"
      let arguments = mistake.0 + (mistake.0[0] == "prune" ? ["-o", output] : [])
      let done = try vtok(arguments)
      #expect(done.error.contains(mistake.1), "\(done.error)")
      #expect(done.error.hasPrefix("vtok: error: ") && done.error.split(separator: "\n").count == 1)
      #expect(done.out.isEmpty)
      #expect(done.status == 2, "\(done.error)")
      #expect(!FileManager.default.fileExists(atPath: output + "/manifest.jsonl"))
    }
  }

  @Test func noOutputFolderIsAskedFor() throws {
    let done = try vtok("prune", pictures)
    #expect(done.status == 2 && done.error.contains("Add -o DIR"))
  }

  @Test(arguments: ["/no/such/model", pictures, malformed]) func aModelThatIsNone(path: String) throws {
    try inTemporaryFolder { folder in
      let done = try vtok("prune", pictures, "--model", path, "-o", folder + "/out")
      #expect(done.status == 1 && done.error.hasPrefix("vtok: error: "), "\(done.error)")
      #expect(done.error.contains(path))
      #expect(!FileManager.default.fileExists(atPath: folder + "/out"))
    }
  }

  @Test func everyCommandExplainsItself() throws {
    let help = try vtok("--help")
    #expect(help.status == 0)
    for name in ["prune", "show", "tokenize", "detokenize", "methods", "models", "inspect", "doctor"] {
      #expect(help.out.contains(name))
      let own = try vtok(name, "--help")
      #expect(own.status == 0 && own.out.contains("USAGE: vtok \(name)"), "\(own.error)")
    }
    let version = [
      "vtok \(vtokVersion)", "commit \(vtokCommit ?? "unknown")", "cpu \(cpuLevel)", "blas \(Machine.blas)",
    ]
    #expect(try vtok("--version").out == version.map { $0 + "\n" }.joined())
  }

  @Test func shellsCompleteTheNamesOfMethods() throws {
    for shell in ["bash", "zsh", "fish"] {
      let script = try vtok("--generate-completion-script", shell).out
      for method in Methods.all { #expect(script.contains(method.name), "\(shell), \(method.name)") }
    }
  }

  @Test func everyMethodIsExplained() throws {
    let list = try vtok("methods").out
    for method in Methods.all {
      #expect(list.contains(method.name))
      let own = try vtok("methods", method.name)
      #expect(own.status == 0)
      for remark in method.remarks { #expect(own.out.contains(remark)) }
    }
  }

  @Test func modelsAndInspect() throws {
    #expect(try vtok("models").out.contains("| vtok-tiny"))
    #expect(try vtok("inspect", "vtok-tiny").status == 0)
    let tokenizer = try vtok("inspect", "klt")
    #expect(tokenizer.status == 0 && tokenizer.out.contains("1 to 4096") && tokenizer.out.contains("any size"))
    let tensors = try vtok("inspect", "vtok-tiny", "--tensors", "--format", "jsonl")
    #expect(tensors.out.contains("\"patch_embed.proj.weight\""))
  }

  @Test func doctorNamesTheMachine() throws {
    let done = try vtok("doctor")
    #expect(done.status == 0 && done.out.contains("GFLOP/s") && done.out.contains("OpenBLAS"), "\(done.error)")
  }

  @Test func showDrawsOnePicture() throws {
    try inTemporaryFolder { folder in
      let done = try vtok("show", pictures + "/cat.jpg", "--keep-ratio", "0.25", "-o", folder + "/map.png")
      #expect(done.status == 0, "\(done.error)")
      let map = try Image.decode(contentsOf: folder + "/map.png").image
      let photo = try Image.decode(contentsOf: pictures + "/cat.jpg").image
      #expect(map.width > photo.width, "several stages side by side")
      let bad = try vtok("show", malformed + "/png-trunc-idat.png", "-o", folder + "/bad.png")
      #expect(bad.status == 1 && bad.error.contains("png-trunc-idat.png"))
      #expect(!FileManager.default.fileExists(atPath: folder + "/bad.png"))
    }
  }

  @Test func theEnvironmentGivesDefaults() throws {
    try inTemporaryFolder { folder in
      let bad = try vtok(
        "prune", pictures + "/cat.jpg", "-o", folder + "/a", environment: ["VTOK_THREADS": "two"])
      #expect(bad.status == 2 && bad.error.contains("VTOK_THREADS"))
      let model = try vtok(
        "prune", pictures + "/cat.jpg", "-o", folder + "/b", environment: ["VTOK_MODEL": "/no/such"])
      #expect(model.status == 1 && model.error.contains("/no/such"))
      let flag = try vtok(
        "prune", pictures + "/cat.jpg", "-o", folder + "/c", "--model", "vtok-tiny",
        environment: ["VTOK_MODEL": "/no/such"])
      #expect(flag.status == 0)
    }
  }
}
