import Foundation
import Testing
import VTok

/// `vtok import`: a question file from small files of every published form.
@Suite struct ImportTests {
  /// Pictures of these names, small ones.
  func draw(_ names: [String], in folder: String) throws {
    for name in names {
      let path = folder + "/" + name
      try FileManager.default.createDirectory(
        atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
      try WholeFile.write(try Image(width: 8, height: 8, colour: [1, 2, 3]).pngData(), to: path)
    }
  }

  /// The lines that a form makes of some files, read back as a bench reads them.
  func imported(
    _ form: String, _ files: [(name: String, text: String)], pictures: [String], _ flags: String = "", in folder: String
  ) throws -> (file: QuestionFile, lines: [JSON]) {
    try draw(pictures, in: folder)
    for (name, text) in files { try write(text, folder + "/" + name) }
    let names = files.map { quoted($0.name) }.joined(separator: " ")
    let done = try shell("vtok import \(form) \(names) --images . \(flags) --force -o q.jsonl", in: folder)
    #expect(done.status == 0, "\(done.error)")
    let text = try String(contentsOfFile: folder + "/q.jsonl", encoding: .utf8)
    return (
      try QuestionFile(folder + "/q.jsonl"), try text.split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }
    )
  }

  @Test func pope() throws {
    try inTemporaryFolder { folder in
      let text =
        #"{"question_id": 1, "image": "COCO_val2014_000000310196.jpg", "text": "Is there a snowboard in the image?", "label": "yes"}"#
        + "\n"
        + #"{"question_id": 2, "image": "COCO_val2014_000000310196.jpg", "text": "Is there a backpack in the image?", "label": "no"}"#
      let (file, lines) = try imported(
        "pope", [("coco_pope_adversarial.json", text + "\n")], pictures: ["COCO_val2014_000000310196.jpg"],
        "--suffix 'Answer yes or no.'", in: folder)
      #expect(
        lines[1] == [
          "image": "COCO_val2014_000000310196.jpg", "question": "Is there a backpack in the image?\nAnswer yes or no.",
          "answers": ["no"], "metric": "yes-no", "group": "adversarial",
        ])
      #expect(file.items.count == 1 && file.count == 2 && file.metrics == [.yesNo])
    }
  }

  @Test func textVQA() throws {
    try inTemporaryFolder { folder in
      let text = #"""
        {"dataset_type": "val", "data": [
          {"question": "what is the brand?", "image_id": "003a8ae2ef43b901", "question_id": 34602, "set_name": "val",
           "answers": ["nokia","nokia","nokia","nokia","toshiba","nokia","nokia","nokia","nokia","nokia"]},
          {"question": "and the year?", "image_id": "003a8ae2ef43b901", "question_id": 34603, "set_name": "test"}]}
        """#
      let (file, lines) = try imported(
        "textvqa", [("TextVQA_0.5.1_val.json", text)], pictures: ["003a8ae2ef43b901.jpg"], in: folder)
      #expect(lines[0]["metric"] == "vqa" && lines[0]["answers"]?.array?.count == 10)
      // Without answers it is scored by the agreement with the dense model.
      #expect(lines[1]["answers"] == nil && lines[1]["metric"] == nil)
      #expect(file.items[0].questions.map(\.metric) == [.vqa, .agreement])
      let (half, _) = try imported(
        "textvqa", [("TextVQA_0.5.1_val.json", text)], pictures: ["003a8ae2ef43b901.jpg"], "--split val", in: folder)
      #expect(half.count == 1)
    }
  }

  @Test func vqaV2() throws {
    try inTemporaryFolder { folder in
      let questions = #"""
        {"data_type": "mscoco", "data_subtype": "val2014", "questions": [
          {"image_id": 262148, "question": "Where is he looking?", "question_id": 262148000},
          {"image_id": 262148, "question": "Is it sunny?", "question_id": 262148001}]}
        """#
      let people = (1...10).map {
        #"{"answer": "\#($0 < 4 ? "down" : "at table")", "answer_confidence": "yes", "answer_id": \#($0)}"#
      }
      let notes = #"""
        {"annotations": [
          {"question_id": 262148001, "answer_type": "yes/no", "answers": [\#(people.joined(separator: ","))]},
          {"question_id": 262148000, "answer_type": "other", "answers": [\#(people.joined(separator: ","))]}]}
        """#
      let picture = "COCO_val2014_000000262148.jpg"
      let (_, lines) = try imported(
        "vqav2", [("annotations.json", notes), ("questions.json", questions)], pictures: [picture], in: folder)
      #expect(lines.map { $0["image"]?.string } == [picture, picture])
      #expect(lines.map { $0["group"]?.string } == ["other", "yes/no"])
      #expect(lines[0]["answers"]?.strings?.prefix(4) == ["down", "down", "down", "at table"])
      let lost = #"{"annotations": [{"question_id": 5, "answers": []}]}"#
      try write(lost, folder + "/lost.json")
      let done = try shell("vtok import vqav2 questions.json lost.json --images . -o r.jsonl", in: folder)
      #expect(done.status == 2 && done.error.contains("question 262148000: no annotation"), "\(done.error)")
    }
  }

  @Test func gqa() throws {
    try inTemporaryFolder { folder in
      let text = #"""
        {"201307251": {"isBalanced": true, "imageId": "n161313", "question": "Is it overcast?", "answer": "no",
           "fullAnswer": "No, it is clear.", "types": {"semantic": "global", "structural": "verify"}},
         "201640614": {"imageId": "n235859", "question": "Who is wearing the dress?", "answer": "women",
           "types": {"structural": "query"}}}
        """#
      let (file, lines) = try imported(
        "gqa", [("testdev.json", text)], pictures: ["n161313.jpg", "n235859.jpg"], in: folder)
      #expect(lines.map { $0["image"]?.string } == ["n161313.jpg", "n235859.jpg"])
      #expect(lines[1]["answers"] == ["women"] && file.groups == ["verify", "query"] && file.metrics == [.exact])
    }
  }

  @Test func scienceQA() throws {
    try inTemporaryFolder { folder in
      let text = #"""
        {"4": {"question": "Which is north?", "choices": ["Ohio", "Texas"], "answer": 0, "hint": "Look at the map.",
           "image": "image.png", "split": "test", "subject": "social science"},
         "5": {"question": "No picture?", "choices": ["a", "b"], "answer": 1, "hint": "", "image": null, "split": "test"},
         "6": {"question": "Other part?", "choices": ["a", "b"], "answer": 1, "hint": "", "image": "image.png", "split": "val"}}
        """#
      let (file, lines) = try imported(
        "ScienceQA", [("problems.json", text)], pictures: ["test/4/image.png", "val/6/image.png"], "--split test",
        in: folder)
      #expect(lines.count == 1 && file.metrics == [.multipleChoice])
      #expect(lines[0]["image"] == "test/4/image.png" && lines[0]["answers"] == ["A"])
      #expect(lines[0]["choices"] == ["Ohio", "Texas"] && lines[0]["group"] == "social science")
      #expect(lines[0]["question"]?.string?.hasPrefix("Look at the map.\nWhich is north?\nA. Ohio\nB. Texas\n") == true)
    }
  }

  @Test func chartQAAndOCRBench() throws {
    try inTemporaryFolder { folder in
      let chart = #"[{"imgname": "41.png", "query": "How many?", "label": "14"}]"#
      let (_, lines) = try imported("chartqa", [("test_human.json", chart)], pictures: ["41.png"], in: folder)
      #expect(lines[0]["metric"] == "relaxed" && lines[0]["answers"] == ["14"] && lines[0]["group"] == "human")
      let pages = #"""
        [{"dataset_name": "IIIT5K", "type": "Regular Text Recognition", "question": "what is written?", "answers": "CENTRE",
          "image_path": "a/1.png"},
         {"dataset_name": "HME100k", "type": "Formulas", "question": "formula?", "answers": ["x ^ 2", "x^{2}"], "image_path": "a/2.png"}]
        """#
      let (_, more) = try imported(
        "ocrbench", [("OCRBench.json", pages)], pictures: ["a/1.png", "a/2.png"], in: folder)
      #expect(more.map { $0["metric"]?.string } == ["ocrbench", "ocrbench-formulas"])
      #expect(more[0]["answers"] == ["CENTRE"] && more[1]["answers"] == ["x ^ 2", "x^{2}"])
    }
  }

  /// As pandas writes them: quotes around what holds tabs, line ends or quotes; a picture once for several rows.
  @Test func tablesWithPicturesInside() throws {
    try inTemporaryFolder { folder in
      let png = Data(try Image(width: 8, height: 8, colour: [9, 9, 9]).pngData())
      let base64 = png.base64EncodedString()
      let text =
        "index\timage\tquestion\thint\tA\tB\tC\tanswer\tcategory\n"
        + "241\t\(base64)\t\"Which \"\"one\"\" is it,\nand why?\"\tnan\tapples\tpears\t\tB\tsorts\n"
        + "242\t241\tIs it red?\tLook.\t\t\t\tYes\tcolour\n"
        + "1000243\t241\tWhat else?\t\t\t\t\t\"['a pear', 'pear']\"\t\n"
      let (file, lines) = try imported("tsv", [("MMBench_DEV_EN.tsv", text)], pictures: [], in: folder)
      #expect(lines.allSatisfy { $0["image"] == "q-images/241.png" } && lines.count == 3)
      #expect(FileManager.default.contents(atPath: folder + "/q-images/241.png") == png)
      #expect(
        lines[0]["question"]?.string?.hasPrefix("Which \"one\" is it,\nand why?\nA. apples\nB. pears\n") == true)
      #expect(
        lines[0]["answers"] == ["B"] && lines[0]["choices"] == ["apples", "pears"] && lines[0]["group"] == "sorts")
      #expect(lines[1]["question"] == "Look.\nIs it red?" && lines[1]["metric"] == "yes-no")
      #expect(lines[2]["answers"] == ["a pear", "pear"] && lines[2]["metric"] == "exact" && lines[2]["group"] == nil)
      #expect(file.items.count == 1)
      let other = try shell(
        "vtok import tsv MMBench_DEV_EN.tsv --metric ocrbench --limit 1 --force -o q.jsonl && cat q.jsonl", in: folder)
      #expect(other.status == 0 && other.out.contains(#""metric":"ocrbench""#) && !other.out.contains("choices"))
    }
  }

  /// Questions about one picture belong together, however often a table has it: MME counts pairs.
  @Test func copiesOfAPictureAreOne() throws {
    try inTemporaryFolder { folder in
      let base64 = Data(try Image(width: 8, height: 8, colour: [9, 9, 9]).pngData()).base64EncodedString()
      let text =
        "index\timage\tquestion\tanswer\tcategory\n1\t\(base64)\tIs it grey?\tYes\tcolour\n"
        + "2\t\(base64)\tIs it red?\tNo\tcolour\n"
      let (file, lines) = try imported("tsv", [("MME.tsv", text)], pictures: [], "--metric mme", in: folder)
      #expect(lines.allSatisfy { $0["image"] == "q-images/1.png" && $0["metric"] == "mme" })
      #expect(file.items.count == 1 && file.items[0].questions.count == 2)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/q-images") == ["1.png"])
    }
  }

  @Test(arguments: [
    ("index\tquestion\timage\n1\tWhat?\t7\n", "line 2: image '7', the index of no row"),
    ("index\tquestion\timage\n1\tWhat?\n", "line 2: 2 cells, expected 3"), ("a\tb\n", "no column `question`"),
    ("index\tquestion\timage\tA\tB\tanswer\n1\tWhat?\tx\tp\tq\tC\n", "line 2: image 'x'"),
  ]) func brokenTablesSayWhere(_ text: String, _ says: String) throws {
    try inTemporaryFolder { folder in
      try write(text, folder + "/t.tsv")
      let done = try shell("vtok import tsv t.tsv -o q.jsonl", in: folder)
      #expect(done.status == 2 && done.isOneError && done.error.contains(says), "\(done.error)")
    }
  }

  @Test func picturesThatAreNotThere() throws {
    try inTemporaryFolder { folder in
      let lines = ["a.png", "b.png"].map { #"{"image": "\#($0)", "text": "Is it?", "label": "yes"}"# }
      try draw(["b.png"], in: folder)
      try write(lines.joined(separator: "\n"), folder + "/p.jsonl")
      let refused = try shell("vtok import pope p.jsonl -o q.jsonl", in: folder)
      #expect(refused.status == 2 && refused.isOneError && refused.error.contains("a.png"), "\(refused.error)")
      #expect(!FileManager.default.fileExists(atPath: folder + "/q.jsonl"))
      let rest = try shell("vtok import pope p.jsonl --skip-missing -o q.jsonl", in: folder)
      #expect(rest.status == 0 && rest.error.contains("1 questions left out"), "\(rest.error)")
      #expect(try QuestionFile(folder + "/q.jsonl").count == 1)
      for (line, says) in [
        ("vtok import nothing p.jsonl -o r.jsonl", "no such form"), ("vtok import pope p.jsonl -o r.txt", ".jsonl"),
        ("vtok import gqa p.jsonl b.png -o r.jsonl", "2, expected 1"),
        ("vtok import pope p.jsonl -o q.jsonl", "a free name"),
        ("vtok import pope p.jsonl --metric bleu -o r.jsonl", "'bleu'"),
      ] {
        let done = try shell(line, in: folder)
        #expect(done.status == 2 && done.error.contains(says), "\(line): \(done.error)")
      }
    }
  }
}
