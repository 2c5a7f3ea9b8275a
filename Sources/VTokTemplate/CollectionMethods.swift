// Methods of dictionaries, lists and tuples: those that change nothing. The sandbox has no others.

extension Builtin {
  static let dictMethods: [String: Builtin] = [
    "items": Builtin([]) { run, value, _ in
      let dict = value.dict!
      try run.charge(elements: 3 * dict.count)
      return .view("dict_items", try Items(dict.pairs.map { .tuple(try Items([$0, $1])) }))
    },
    "keys": Builtin([]) { _, value, _ in .view("dict_keys", try Items(value.dict!.keys)) },
    "values": Builtin([]) { _, value, _ in .view("dict_values", try Items(value.dict!.values)) },
    "get": Builtin(["", ""], required: 1) { _, value, given in
      value.dict![try Key(given[0]!)] ?? given[1] ?? Value.none
    },
    "copy": Builtin([]) { _, value, _ in value },
  ]

  static let listMethods: [String: Builtin] = [
    "index": Builtin(["", "", ""], required: 1) { run, value, given in
      let elements = try run.elements(of: value)
      func bound(_ index: Int, _ standard: Int) throws -> Int {
        let bound = try given.integer(index) ?? standard
        return min(max(bound < 0 ? bound + elements.count : bound, 0), elements.count)
      }
      let (start, end) = (try bound(1, 0), try bound(2, elements.count))
      for place in start..<max(start, end) where try run.equal(elements[place], given[0]!) { return .integer(place) }
      throw TemplateError(.value, "the value is not in the list")
    },
    "count": Builtin([""], required: 1) { run, value, given in
      .integer(try run.elements(of: value).count { try run.equal($0, given[0]!) })
    },
    "copy": Builtin([]) { _, value, _ in value },
  ]
}

extension Value {
  var dict: Dict? { if case .dict(let dict) = self { dict } else { nil } }
}
