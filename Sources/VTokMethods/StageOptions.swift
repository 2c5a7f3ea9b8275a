import VTokCore

extension Options {
  /// Layers counted from 0, ascending from 1 on.
  mutating func layers(_ key: String, default layers: [Int], _ about: String) throws(OptionError) -> [Int] {
    let expected = "whole numbers from 1 on, ascending"
    let standard = layers.map(String.init).joined(separator: "/")
    guard let list = try self.list(key, expected, "\(about) (default: \(standard))") else { return layers }
    if zip([0] + list, list).contains(where: { $0 >= $1 || $1 != $1.rounded() || $1 > 1000 }) {
      throw invalid(key, "\(list)", expected)
    }
    return list.map { Int($0) }
  }
}
