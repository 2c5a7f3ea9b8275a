/// A split pattern as steps that are tried with a way back.
///
/// A step reads the text from its place on, never what matched before. So a fork that once failed at a place fails there again,
/// and a look or a group without a way back ends where it ended; both are remembered. So the work is at most the number of steps
/// times the length of the text, whatever the pattern.
struct SplitProgram {
  private enum Step {
    /// One scalar of a set: the next one, or the one before.
    case set(Int, backwards: Bool)
    case lineStart, lineEnd
    /// Tries one way, then the other.
    case fork(Int, Int)
    case jump(Int)
    /// Another run from a step on must match here, or must not.
    case look(Int, isNegated: Bool)
    /// Another run from a step on; goes on after it where that one ended.
    case atomic(Int, then: Int)
    case end
  }

  private static let mostSteps = 1024

  private var steps: [Step] = []
  private var sets: [MemoisedSet] = []

  init(_ tree: SplitNode) throws(SplitExpression.Refusal) {
    try add(tree, backwards: false)
    try add(.end)
  }

  // MARK: Making

  private mutating func add(_ step: Step) throws(SplitExpression.Refusal) {
    guard steps.count < Self.mostSteps else {
      throw SplitExpression.Refusal(reason: "more than \(Self.mostSteps) steps when its repetitions are written out")
    }
    steps.append(step)
  }

  private mutating func add(_ node: SplitNode, backwards: Bool) throws(SplitExpression.Refusal) {
    switch node {
    case .set(let set):
      sets.append(MemoisedSet(set))
      try add(.set(sets.count - 1, backwards: backwards))
    case .lineStart: try add(.lineStart)
    case .lineEnd: try add(.lineEnd)
    case .sequence(let nodes):
      for node in backwards ? nodes.reversed() : nodes { try add(node, backwards: backwards) }
    case .choice(let nodes): try addChoice(nodes, backwards: backwards)
    case .repetition(let node, let count, .possessive):
      try add(.atomic(.repetition(node, of: count, .greedy)), backwards: backwards)
    case .repetition(let node, let count, let greed):
      try addRepetition(of: node, count, isLazy: greed == .lazy, backwards: backwards)
    case .atomic(let node):
      guard !backwards else { throw SplitExpression.Refusal(reason: "a group without a way back in a look behind") }
      try addRun(node, backwards: false) { .atomic($0, then: $1) }
    case .look(let node, let ahead, let isNegated):
      try addRun(node, backwards: !ahead) { run, _ in .look(run, isNegated: isNegated) }
    }
  }

  private mutating func addChoice(_ nodes: [SplitNode], backwards: Bool) throws(SplitExpression.Refusal) {
    var exits: [Int] = []
    for node in nodes.dropLast() {
      let fork = steps.count
      try add(.end)  // set when its second way is known
      try add(node, backwards: backwards)
      exits.append(steps.count)
      try add(.end)
      steps[fork] = .fork(fork + 1, steps.count)
    }
    try add(nodes.last!, backwards: backwards)
    for exit in exits { steps[exit] = .jump(steps.count) }
  }

  private mutating func addRepetition(
    of node: SplitNode, _ count: ClosedRange<Int>, isLazy: Bool, backwards: Bool
  ) throws(SplitExpression.Refusal) {
    func fork(into: Int, past: Int) -> Step { isLazy ? .fork(past, into) : .fork(into, past) }
    for _ in 0..<count.lowerBound { try add(node, backwards: backwards) }
    if count.upperBound == SplitNode.unbounded {
      let start = steps.count
      try add(.end)
      try add(node, backwards: backwards)
      try add(.jump(start))
      steps[start] = fork(into: start + 1, past: steps.count)
      return
    }
    var starts: [Int] = []
    for _ in count.lowerBound..<count.upperBound {
      starts.append(steps.count)
      try add(.end)
      try add(node, backwards: backwards)
    }
    for start in starts { steps[start] = fork(into: start + 1, past: steps.count) }
  }

  /// Adds a run of its own, and the step that calls it.
  private mutating func addRun(
    _ node: SplitNode, backwards: Bool, call: (_ run: Int, _ then: Int) -> Step
  ) throws(SplitExpression.Refusal) {
    let caller = steps.count
    try add(.end)
    let skip = steps.count
    try add(.end)
    try add(node, backwards: backwards)
    try add(.end)
    steps[caller] = call(skip + 1, steps.count)
    steps[skip] = .jump(steps.count)
  }

  // MARK: Matching

  /// Where it matches, from left to right; no match is empty.
  mutating func matches(in text: UnsafeBufferPointer<Unicode.Scalar>) -> [Range<Int>] {
    var matches: [Range<Int>] = []
    var memory = Memory()
    var at = 0
    while at < text.count {
      memory.begin()
      if let end = end(from: 0, at: at, in: text, &memory), end > at {
        matches.append(at..<end)
        at = end
      } else {
        at += 1
      }
    }
    return matches
  }

  /// What is known of steps at places. It is kept once a search is long: most are not.
  private struct Memory {
    private var effort = 0
    /// Forks that failed, as bits of 64 places.
    private var failures: [Int: UInt64] = [:]
    /// Where runs ended, from their first step or a fork in them; -1 if they failed.
    private var ends: [Int: Int] = [:]
    private static let freeEffort = 32

    var isKept: Bool { effort > Self.freeEffort }
    mutating func begin() { effort = 0 }
    mutating func tryOne() { effort += 1 }

    mutating func addFailure(of fork: Int, at place: Int) {
      failures[key(fork, place / 64), default: 0] |= 1 << UInt64(place & 63)
    }
    func hasFailed(_ fork: Int, at place: Int) -> Bool {
      isKept && (failures[key(fork, place / 64)] ?? 0) >> UInt64(place & 63) & 1 == 1
    }
    func end(of run: Int, at place: Int) -> Int? { isKept ? ends[key(run, place)] : nil }
    mutating func addEnd(_ end: Int, of run: Int, at place: Int) { if isKept { ends[key(run, place)] = end } }
    private func key(_ step: Int, _ place: Int) -> Int { place * SplitProgram.mostSteps + step }
  }

  /// What is left to do when a way fails.
  private enum Resort {
    case other(step: Int, place: Int)
    /// Both ways of a fork have failed.
    case failed(step: Int, place: Int)
  }

  private mutating func end(
    from first: Int, at start: Int, in text: UnsafeBufferPointer<Unicode.Scalar>, _ memory: inout Memory
  ) -> Int? {
    var resorts: [Resort] = []
    var (step, place) = (first, start)
    while true {
      var isGood = true
      switch steps[step] {
      case .end:
        // Every fork on the way here leads here again.
        if first > 0 { for case .failed(let fork, let at) in resorts { memory.addEnd(place, of: fork, at: at) } }
        return place
      case .set(let set, let backwards):
        let index = backwards ? place - 1 : place
        isGood = text.indices.contains(index) && sets[set].contains(text[index])
        place += backwards ? -1 : 1
        step += 1
      case .lineStart:
        isGood = place == 0 || text[place - 1] == "\n"
        step += 1
      case .lineEnd:
        isGood = place == text.count || text[place] == "\n"
        step += 1
      case .jump(let to): step = to
      case .fork(let one, let other):
        if let known = memory.end(of: step, at: place) { return known }
        isGood = !memory.hasFailed(step, at: place)
        memory.tryOne()
        if memory.isKept { resorts.append(.failed(step: step, place: place)) }
        resorts.append(.other(step: other, place: place))
        step = one
      case .look(let run, let isNegated):
        isGood = (runEnd(run, at: place, in: text, &memory) != nil) != isNegated
        step += 1
      case .atomic(let run, let then):
        let ended = runEnd(run, at: place, in: text, &memory)
        isGood = ended != nil
        place = ended ?? place
        step = then
      }
      if isGood { continue }
      guard let next = Self.next(&resorts, &memory) else { return nil }
      (step, place) = next
    }
  }

  private mutating func runEnd(
    _ run: Int, at place: Int, in text: UnsafeBufferPointer<Unicode.Scalar>, _ memory: inout Memory
  ) -> Int? {
    if let known = memory.end(of: run, at: place) { return known < 0 ? nil : known }
    let found = end(from: run, at: place, in: text, &memory)
    memory.addEnd(found ?? -1, of: run, at: place)
    return found
  }

  private static func next(_ resorts: inout [Resort], _ memory: inout Memory) -> (Int, Int)? {
    while let resort = resorts.popLast() {
      switch resort {
      case .other(let step, let place): return (step, place)
      case .failed(let step, let place): memory.addFailure(of: step, at: place)
      }
    }
    return nil
  }
}
