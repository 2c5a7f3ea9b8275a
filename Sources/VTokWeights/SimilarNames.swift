import VTokTensor

/// A sentence with up to three names close to a missing one: the same name under another prefix, or a small slip.
func similarNames(_ name: String, in names: some Sequence<String>) -> String {
  let wanted = Array(name.utf8)
  let tail = lastParts(name, 2)
  var found: [(distance: Int, name: String)] = []
  for candidate in names.prefix(20_000) {
    let other = Array(candidate.utf8)
    if wanted.count != other.count, wanted.ends(with: "." + candidate) || other.ends(with: "." + name) {
      found.append((0, candidate))
    } else if wanted.count <= 512, abs(wanted.count - other.count) <= 4,
      case let distance = editDistance(wanted.map(UInt32.init), other.map(UInt32.init)), distance <= 4
    {
      found.append((distance, candidate))
    } else if tail.contains("."), tail.utf8.count < wanted.count, other.ends(with: "." + tail) {
      found.append((5, candidate))
    }
  }
  let best = found.sorted { ($0.distance, $0.name) < ($1.distance, $1.name) }.prefix(3).map {
    "`\(shortened($0.name))`"
  }
  return best.isEmpty
    ? "Nothing similar is there: check that the checkpoint is of the model that its config.json says."
    : "Similar names: \(best.joined(separator: ", "))."
}

private func lastParts(_ name: String, _ count: Int) -> String {
  name.split(separator: ".").suffix(count).joined(separator: ".")
}

extension [UInt8] {
  fileprivate func ends(with text: String) -> Bool {
    count >= text.utf8.count && suffix(text.utf8.count).elementsEqual(text.utf8)
  }
}
