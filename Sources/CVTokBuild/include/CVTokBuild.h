#pragma once

/// The commit that this was built from, with `-changed` behind it where files differed from that; empty where the build was not
/// told. Package.swift hands on VTOK_COMMIT of the environment, which the Makefile sets.
const char *vtok_build_commit(void);
