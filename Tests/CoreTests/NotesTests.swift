import Testing
import VTokCore

/// How methods choose.
@Suite struct NotesTests {
  @Test func topKBreaksTiesByIndexAndBooksTheMargin() {
    var notes = Notes()
    #expect(notes.top([1, 3, 3, 2, 3], 2) == [1, 2])
    #expect(notes.margin == 0)
    notes = Notes()
    #expect(notes.top([1, 5, 3], 2) == [1, 2] && notes.margin == 2)
    #expect(notes.top([1, 5, 3], 3) == [1, 2, 0])
    #expect(Notes().margin == .infinity)
  }
}
