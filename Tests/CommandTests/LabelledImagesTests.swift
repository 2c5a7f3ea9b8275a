import Foundation
import Testing
import VTok

@Suite struct LabelledImagesTests {
  private let classes = ["bird", "cat", "tabby, striped cat"]
  private var png: [UInt8] {
    get throws { try Image(width: 2, height: 1, rgb: [255, 0, 0, 0, 255, 0]).pngData() }
  }

  @Test func classFolders() throws {
    let folder = try TemporaryFolder()
    for name in ["tabby/b.png", "Cat/z.png", "Cat/deep/a.png"] { try folder.write(name, png) }
    let data = try LabelledImages(folder.path, classes: classes)
    #expect(data.items.map(\.name) == ["Cat/deep/a.png", "Cat/z.png", "tabby/b.png"])
    #expect(data.items.map(\.label) == [1, 1, 2] && data.isLabelled)
    #expect(try data.image(2).size == Size(width: 2, height: 1))
    // Without names in the model, classes are numbered in sorted order.
    #expect(try LabelledImages(folder.path, classes: nil).items.map(\.label) == [0, 0, 1])
    try folder.write("wolf/c.png", png)
    #expect(throws: DataError.unknownClass(data: folder.path, found: "'wolf'", known: classes)) {
      try LabelledImages(folder.path, classes: classes)
    }
  }

  @Test func unlabelledFolder() throws {
    let folder = try TemporaryFolder()
    for name in ["a.png", "sub/b.png"] { try folder.write(name, png) }
    let data = try LabelledImages(folder.path, classes: classes)
    #expect(data.count == 2 && !data.isLabelled)
  }

  @Test func lists() throws {
    let folder = try TemporaryFolder()
    try folder.write("images/a b.png", png)
    let list = try folder.write("list.tsv", Array("# head\nimages/a b.png\tcat\n\nimages/a b.png\t0\n".utf8))
    let data = try LabelledImages(list, classes: classes)
    #expect(data.items.map(\.label) == [1, 0])
    #expect(try data.image(0).width == 2)
    // Numbers go by classes.txt where there is one; a space will do before them.
    try folder.write("classes.txt", Array("cat\nbird\n".utf8))
    let other = try folder.write("train.txt", Array("images/a b.png 0\r\nimages/a b.png 1\n".utf8))
    #expect(try LabelledImages(other, classes: classes).items.map(\.label) == [1, 0])
    for (line, number) in [("images/a.png", 1), ("a.png\tcat\nb.png\t7", 2), ("a.png\t", 1)] {
      let file = try folder.write("bad.txt", Array(line.utf8))
      do {
        _ = try LabelledImages(file, classes: classes)
        Issue.record("'\(line)' was taken")
      } catch DataError.line(_, let found, _, _) {
        #expect(found == number)
      }
    }
  }

  @Test func binaries() throws {
    let folder = try TemporaryFolder()
    var record = [UInt8](repeating: 0, count: 3073)
    (record[0], record[1], record[1 + 1024], record[1 + 2048]) = (3, 10, 20, 30)
    let names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    let file = try folder.write("data_batch_1.bin", record + record)
    for path in [file, folder.path] {
      let data = try LabelledImages(path, classes: Array(names.reversed()))
      #expect(data.items.map(\.label) == [6, 6] && data.items[1].name == "data_batch_1.bin#1")
      #expect(try Array(data.image(1).rgb.prefix(4)) == [10, 20, 30, 0])
    }
    for bad in [Array(record.dropLast()), [11] + record.dropFirst()] {
      let file = try folder.write("bad.bin", bad)
      #expect(throws: DataError.self) { try LabelledImages(file, classes: names) }
    }
  }

  @Test func missing() {
    #expect(throws: DataError.missing("/nowhere/at/all")) { try LabelledImages("/nowhere/at/all", classes: nil) }
  }
}
