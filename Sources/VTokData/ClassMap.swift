/// From labels as data says them to the classes of a model.
struct ClassMap {
  private let data: String
  private let known: [String]?
  private var numbers: [String: Int] = [:]

  /// - Parameters:
  ///   - classes: names of the model's classes; nil: names in the data are numbered in sorted order.
  ///   - names: all labels of the data.
  init(_ classes: [String]?, data: String, names: [LabelledImages.Label?]) throws(DataError) {
    self.data = data
    known = classes
    var used: Set<String> = []
    for case .name(let name)? in names { used.insert(name) }
    let listed = classes ?? used.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    for (number, name) in listed.enumerated() {
      // ImageNet's labels are lists of synonyms; the whole text counts, and each of them.
      for word in [name] + name.split(separator: ",").map(String.init) {
        let key = Self.key(word)
        if numbers[key] == nil { numbers[key] = number }
      }
    }
  }

  package func callAsFunction(_ label: LabelledImages.Label?) throws(DataError) -> Int? {
    switch label {
    case nil: return nil
    case .number(let number)?:
      if let known, !known.indices.contains(number) {
        throw .unknownClass(data: data, found: "number \(number)", known: known)
      }
      return number
    case .name(let name)?:
      guard let number = numbers[Self.key(name)] else {
        throw .unknownClass(data: data, found: "'\(name)'", known: known ?? [])
      }
      return number
    }
  }

  private static func key(_ name: String) -> String {
    name.lowercased().replacing("_", with: " ").split(separator: " ").joined(separator: " ")
  }
}
