import VTok

// A quarter of the tokens of every image named on the command line, and the patches they stand on.
@main struct KeepTokens {
  static func main() throws {
    let pipeline = try Pipeline(model: "vtok-tiny", method: "divprune", keep: .ratio(0.25))
    for path in CommandLine.arguments.dropFirst() {
      let result = try pipeline(Image.decode(contentsOf: path).image)
      print(path, result.tokens.shape, result.keep)
    }
  }
}
