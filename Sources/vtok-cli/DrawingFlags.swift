import ArgumentParser
import VTok

/// How token maps are drawn.
struct DrawingFlags: ParsableArguments {
  @Flag(
    help: "In token maps, give every merged token a colour of its own instead of the mean colour of its pixels.")
  var tint = false

  var colours: TokenMap.Colours { tint ? .tint : .mean }

  /// Refuses the flag where nothing is drawn.
  func require(_ isDrawn: Bool) throws {
    if tint, !isDrawn {
      throw UsageError("--tint", found: "nothing to draw", expected: "--overlay beside it", fix: "Add --overlay.")
    }
  }
}
