#include "CVTokBuild.h"

// A file of its own: another commit compiles these lines again and nothing else.
#ifndef VTOK_COMMIT
#define VTOK_COMMIT ""
#endif

const char *vtok_build_commit(void) { return VTOK_COMMIT; }
