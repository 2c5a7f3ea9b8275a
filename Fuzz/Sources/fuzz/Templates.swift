import VTok
import VTokTemplate

extension Target {
  /// A chat template, rendered with a conversation of every kind of content, bounded as a hostile one must be.
  static func template(_ bytes: [UInt8]) throws {
    let template = try Template(String(decoding: bytes, as: UTF8.self))
    let text = try template.render(
      conversation, now: LocalTime(year: 2026, month: 1, day: 2, hour: 3, minute: 4, second: 5), limits: limits)
    require(text.utf8.count <= limits.output, "\(text.utf8.count) bytes of output")
  }

  private static let limits = Template.Limits(steps: 50_000, bytes: 16 << 20, output: 1 << 20)

  private static let conversation: TemplateValue = [
    "messages": [
      ["role": "system", "content": "Be brief."],
      ["role": "user", "content": [["type": "image"], ["type": "text", "text": " What is “this”?\n"]]],
      ["role": "assistant", "content": "A cat.", "reasoning_content": "Fur."],
      [
        "role": "assistant", "content": "",
        "tool_calls": [["type": "function", "function": ["name": "f", "arguments": ["x": 1, "y": [true, "é"]]]]],
      ],
      ["role": "tool", "content": "42"],
    ],
    "tools": [
      [
        "type": "function",
        "function": [
          "name": "f", "description": "d", "parameters": ["type": "object", "properties": ["x": ["type": "integer"]]],
        ],
      ]
    ],
    "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>", "enable_thinking": false,
  ]
}
