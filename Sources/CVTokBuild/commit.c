#include "CVTokBuild.h"

// A target of its own, so that another commit compiles little again: this file, and VTokEval, which reads it.
#ifndef VTOK_COMMIT
#define VTOK_COMMIT ""
#endif

const char *vtok_build_commit(void) { return VTOK_COMMIT; }
