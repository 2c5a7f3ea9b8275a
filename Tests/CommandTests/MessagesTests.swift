import Foundation
import Testing
import VTok

/// `vtok generate --messages`, `--system` and `--template` with the trained model of the repository.
@Suite struct MessagesTests {
  static let model = repository + "/Benchmarks/models/vqa-small"
  static let question = "what is the color of the triangle?"
  static let image = model + "/reference/0.png"

  static func generate(_ arguments: [String]) throws -> Finished {
    try vtok(["generate", "--model", model, "--max-tokens", "4", "--format", "json"] + arguments)
  }

  /// The row of a run with these messages, in a folder that holds a copy of the image as `a.png`.
  static func row(_ messages: JSON, _ more: [String] = []) throws -> JSON {
    try inTemporaryFolder { folder in
      try FileManager.default.copyItem(atPath: image, toPath: folder + "/a.png")
      try write(messages.text(), folder + "/m.json")
      let done = try generate(["--messages", folder + "/m.json"] + more)
      #expect(done.status == 0, "\(done.error)")
      return try #require(JSON(parsing: done.out)[0])
    }
  }

  static let parts: JSON = [["type": "image", "image": "a.png"], ["type": "text", "text": JSON(question)]]

  /// One question of a file is the same question of the flags, in every way to write it.
  @Test func oneQuestionIsTheSame() throws {
    let plain = try #require(JSON(parsing: Self.generate(["--image", Self.image, "--prompt", Self.question]).out)[0])
    #expect(plain["answer"] == "red")
    let ways: [(JSON, [String])] = [
      ([["role": "user", "content": Self.parts]], []),
      ([["role": "user", "content": [["type": "image", "path": "a.png"], Self.parts[1]!]]], []),
      ([["role": "user", "content": [["type": "image", "url": JSON("file://" + Self.image)], Self.parts[1]!]]], []),
      ([["role": "user", "content": [["type": "image_url", "image_url": ["url": "a.png"]], Self.parts[1]!]]], []),
      ([["role": "user", "content": [["type": "image"], Self.parts[1]!]]], ["--image", Self.image]),
    ]
    for (messages, more) in ways {
      let row = try Self.row(messages, more)
      #expect(row["ids"] == plain["ids"] && row.value(at: "tokens.prompt") == plain.value(at: "tokens.prompt"))
      #expect(row["prompt"] == JSON(Self.question) && row["turns"] == 1)
    }
  }

  /// Turns before the question, and a system sentence, are in the prompt.
  @Test func severalTurns() throws {
    let answer: JSON = ["role": "assistant", "content": "red"]
    let more: JSON = ["role": "user", "content": "what shape does the image contain?"]
    let first: JSON = ["role": "user", "content": Self.parts]
    let one = try Self.row([first])
    let two = try Self.row([first, answer, more])
    #expect(two["turns"] == 2 && two["prompt"] == "what shape does the image contain?")
    #expect(try two.int("tokens.prompt") > one.int("tokens.prompt"))
    let system: JSON = ["role": "system", "content": "Be brief."]
    let inFile = try Self.row([system, first])
    let inFlag = try Self.row([first], ["--system", "Be brief."])
    #expect(inFile["ids"] == inFlag["ids"] && inFile["tokens"] == inFlag["tokens"])
    #expect(try inFile.int("tokens.prompt") > one.int("tokens.prompt"))
    // Two images in two turns.
    let both = try Self.row([first, answer, first])
    #expect(try both.int("tokens.in") == 2 * one.int("tokens.in"))
  }

  /// What is in the file, and what the one line on stderr says.
  static let mistakes: [(file: String, says: [String])] = [
    ("", ["not valid JSON"]), ("{", ["not valid JSON"]), ("{}", ["no list"]), ("[]", ["an empty list"]),
    ("[1]", ["`[0]`", "role"]), (#"[{"role": "user"}]"#, ["`[0].content`", "nothing"]),
    (#"[{"content": "?"}]"#, ["`[0].role`", "'user'"]),
    (#"[{"role": "tool", "content": "?"}]"#, ["`[0].role`", "tool"]),
    (#"[{"role": "user", "content": 5}]"#, ["`[0].content`", "5"]),
    (#"[{"role": "user", "content": []}]"#, ["`[0].content`"]),
    (#"[{"role": "user", "content": ["?"]}]"#, ["`[0].content[0]`"]),
    (#"[{"role": "user", "content": [{"text": "?"}]}]"#, ["`[0].content[0].type`", "'image'"]),
    (#"[{"role": "user", "content": [{"type": "video"}]}]"#, ["`[0].content[0].type`", "video"]),
    (#"[{"role": "user", "content": [{"type": "text"}]}]"#, ["`[0].content[0].text`"]),
    (#"[{"role": "user", "content": [{"type": "text", "text": 3}]}]"#, ["`[0].content[0].text`", "3"]),
    (#"[{"role": "user", "content": [{"type": "image", "image": "none.png"}]}]"#, ["none.png", "folder of this file"]),
    (#"[{"role": "user", "content": [{"type": "image", "image": 3}]}]"#, ["`[0].content[0].image`", "a path"]),
    (
      #"[{"role": "user", "content": [{"type": "image", "url": "https://a.b/c.png"}]}]"#,
      ["https", "nothing is fetched"]
    ),
    (#"[{"role": "user", "content": [{"type": "image", "url": "data:image/png;base64,AA"}]}]"#, ["nothing is fetched"]),
    (#"[{"role": "user", "content": [{"type": "image", "path": "m.json", "image": "m.json"}]}]"#, ["one of image"]),
    (#"[{"role": "user", "content": "?", "tool_calls": []}]"#, ["'tool_calls'", "Remove"]),
    (#"[{"role": "user", "content": "?"}, {"role": "assistant", "content": "A"}]"#, ["'assistant' at the end"]),
    (#"[{"role": "user", "content": "?"}, {"role": "system", "content": "A"}]"#, ["'system' behind"]),
    (#"[{"role": "user", "content": "  "}]"#, ["no text"]), (#"[{"role": "user", "content": "?"}]"#, ["no image"]),
    (#"[{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}]"#, ["--image"]),
  ]

  @Test(arguments: mistakes.indices) func mistakesAreOneLine(_ index: Int) throws {
    let mistake = Self.mistakes[index]
    try inTemporaryFolder { folder in
      try write(mistake.file, folder + "/m.json")
      let done = try Self.generate(["--messages", folder + "/m.json"])
      #expect(done.status == 2 && done.out.isEmpty, "\(done.error)")
      #expect(done.error.hasPrefix("vtok: error: ") && done.error.split(separator: "\n").count == 1, "\(done.error)")
      #expect(mistake.says.allSatisfy { done.error.contains($0) }, "\(done.error)")
    }
  }

  @Test func flagsThatContradict() throws {
    try inTemporaryFolder { folder in
      let path = folder + "/m.json"
      let user: JSON = ["role": "user", "content": [["type": "image", "path": JSON(Self.image)], Self.parts[1]!]]
      try write((.array([["role": "system", "content": "S"], user]) as JSON).text(), path)
      for (more, says) in [
        (["--prompt", "?"], "--prompt"), (["--system", "S"], "--system"), (["--image", Self.image], "--image"),
      ] {
        let done = try Self.generate(["--messages", path] + more)
        #expect(done.status == 2 && done.error.contains(says), "\(done.error)")
      }
      let none = try Self.generate(["--messages", folder + "/none.json"])
      #expect(none.status == 2 && none.error.contains("none.json"), "\(none.error)")
    }
  }

  /// A template by name, as text, as Jinja and as a file of it; a wrong one is one line.
  @Test func takesATemplate() throws {
    let question = ["--image", Self.image, "--prompt", Self.question]
    func ids(_ template: String) throws -> JSON? {
      let done = try Self.generate(question + ["--template", template])
      #expect(done.status == 0, "\(done.error)")
      return try JSON(parsing: done.out)[0]?["ids"]
    }
    let plain = try #require(JSON(parsing: Self.generate(question).out)[0]?["ids"])
    let jinja =
      "{% for m in messages %}USER: {% for p in m.content %}{% if p.type == 'image' %}<image>\n{% else %}{{ p.text }}"
      + "{% endif %}{% endfor %}{% endfor %} ASSISTANT:"
    try inTemporaryFolder { folder in
      try write(jinja, folder + "/t.jinja")
      for template in ["llava", #"USER: {images}\n{prompt} ASSISTANT:"#, jinja, folder + "/t.jinja"] {
        #expect(try ids(template) == plain)
      }
      try write("{% include 'x' %}", folder + "/wrong.jinja")
      let wrong = try Self.generate(question + ["--template", folder + "/wrong.jinja"])
      #expect(
        wrong.status == 1 && wrong.error.contains("line 1") && wrong.error.contains("`include`"), "\(wrong.error)")
      let none = try Self.generate(question + ["--template", folder + "/none.jinja"])
      #expect(none.status == 2 && none.error.contains("none.jinja"), "\(none.error)")
    }
  }

  /// The checkpoint's own template is used, whatever the model is known by; the ledger says which one it is.
  @Test func runsTheTemplateOfTheCheckpoint() throws {
    try inTemporaryFolder { folder in
      let model = folder + "/m"
      try FileManager.default.copyItem(atPath: Self.model, toPath: model)
      let base = ["generate", "--model", model, "--image", Self.image, "--prompt", Self.question, "--max-tokens", "4"]
      let before = try vtok(base)
      #expect(before.out == "red\n" && before.error.contains("template llava, which models"), "\(before.error)")
      try write(
        "{% for m in messages %}{{ m.content[0].type }}<image>\n?{% endfor %} ASSISTANT:",
        model + "/chat_template.jinja")
      let own = try vtok(base + ["--format", "json"])
      #expect(own.status == 1 && own.error.contains("chat_template.jinja"), "\(own.error)")
      try write(
        "{{ bos_token }}{% for m in messages %}{% for p in m.content %}{% if p.type == 'image' %}<image>\n{% else %}"
          + "{{ p.text | upper }}{% endif %}{% endfor %}{% endfor %}", model + "/chat_template.jinja")
      let done = try vtok(base)
      #expect(
        done.status == 0 && done.error.contains("template chat_template.jinja of the checkpoint"), "\(done.error)")
      // The template writes the token that the tokenizer would put in front too: it is there once.
      let generator = try Generator(model: model)
      let ids = try generator.prepare(
        "A", about: [Image](repeating: try Image.decode(contentsOf: Self.image).image, count: 1)
      ).ids
      #expect(ids[0] == 1 && ids[1] != 1)
      try write("{{ messages | nosuch }}", model + "/chat_template.jinja")
      let broken = try vtok(base)
      #expect(broken.status == 1 && broken.out.isEmpty && broken.error.split(separator: "\n").count == 1)
      #expect(["line 1", "`nosuch`", "--template"].allSatisfy { broken.error.contains($0) }, "\(broken.error)")
      #expect(try vtok(base + ["--template", "llava"]).out == "red\n")
    }
  }
}
