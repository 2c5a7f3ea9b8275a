import CVTokKernels

/// Hands back to the system what was freed in many small pieces, which no tensor would fit into: after a vocabulary is read,
/// before weights are.
package func returnFreedMemory() { vtok_return_freed_memory() }
