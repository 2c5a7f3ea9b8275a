import CVTokKernels

/// Hands back to the system what was freed in pieces that nothing will fit into: after a vocabulary is read, and after weights
/// are.
package func returnFreedMemory() { vtok_return_freed_memory() }
