import ArgumentParser
@main struct VTokCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "vtok")
}
