import Testing
import VTok
import VTokServe

@Suite struct StopTextTests {
  @Test(
    arguments: [
      (["a", "b", "c"], ["bc"], "a"), (["abc"], ["bc"], "a"), (["ab", "d"], ["bc"], "abd"), (["ab"], ["bc"], "ab"),
      (["xx", "xy"], ["xxy"], "x"), (["one two"], ["two", "e"], "on"), (["äö"], ["ö"], "ä"), (["a", "b"], [], "ab"),
      (["aab"], ["ab", "aab"], ""),
    ] as [([String], [String], String)]) func endsAtTheFirst(_ pieces: [String], _ stops: [String], _ expected: String)
  {
    var stop = StopText(stops)
    var text = ""
    for piece in pieces where !stop.isOver { text += stop.append(piece) }
    text += stop.finish()
    #expect(text == expected)
  }

  /// What cannot be part of a stop goes out at once.
  @Test func holdsBackOnlyWhatMayEnd() {
    var stop = StopText(["end"])
    #expect(
      stop.append("the ") == "the " && stop.append("e") == "" && stop.append("x") == "ex" && stop.append("en") == "")
    #expect(stop.append("d!") == "" && stop.isOver)
  }
}

@Suite struct WaitingLineTests {
  @Test func refusesWhereNobodyFits() async throws {
    let line = WaitingLine(queue: 0)
    try await line.enter {
      #expect(line.isFull)
      await #expect(throws: APIError.busy) { try await line.enter {} }
    }
    #expect(line.count == 0)
    try await line.enter {}
  }

  /// A client that leaves gives its place back while its work still ends.
  @Test func leavingGivesThePlaceBack() async throws {
    let line = WaitingLine(queue: 0)
    let task = Task {
      try await line.enter {
        withUnsafeCurrentTask { $0!.cancel() }
        #expect(!line.isFull)
        try await line.enter {}
      }
    }
    try await task.value
    #expect(line.count == 0)
  }
}

@Suite struct MetricsTests {
  @Test func textIsWhatPrometheusReads() {
    let metrics = Metrics()
    metrics.reply("/v1/models", status: 200, seconds: 0.02)
    metrics.reply("/v1/models", status: 200, seconds: 200)
    metrics.reply("other", status: 404, seconds: 0.02)
    let text = metrics.text(inside: 2)
    let lines = Set(text.split(separator: "\n").map(String.init))
    for line in [
      #"vtok_requests_total{route="/v1/models",status="200"} 2"#, #"vtok_requests_total{route="other",status="404"} 1"#,
      "# TYPE vtok_requests_total counter", "vtok_requests_inside 2", #"vtok_request_seconds_bucket{le="0.01"} 0"#,
      #"vtok_request_seconds_bucket{le="0.03"} 2"#, #"vtok_request_seconds_bucket{le="+Inf"} 3"#,
      "vtok_request_seconds_count 3",
    ] {
      #expect(lines.contains(line), "\(line)\n\(text)")
    }
    // Every sample has its kind said before it.
    for line in lines where !line.hasPrefix("#") {
      #expect(line.split(separator: " ").count == 2 && Double(line.split(separator: " ")[1]) != nil, "\(line)")
    }
  }
}
