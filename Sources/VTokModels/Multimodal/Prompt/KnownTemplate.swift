/// A chat template that is known by a name and by models, in Jinja of our own.
struct KnownTemplate: Sendable {
  let name: String
  /// What comes after the macros `text(message)` and `images(message, mark)`.
  let body: String

  var source: String { Self.prelude + body }

  /// Every one that came with a family.
  static let all = Families.multimodal.flatMap(\.templates)

  /// The parts of a message, which here is always a list of them.
  private static let prelude = #"""
    {%- macro text(m) -%}{%- for p in m.content if p.type == 'text' -%}{{ p.text }}{%- endfor -%}{%- endmacro -%}
    {%- macro images(m, mark) -%}
      {%- for p in m.content if p.type != 'text' -%}{{ mark | replace('image', p.type) }}{%- endfor -%}
    {%- endmacro -%}

    """#
}
