// Where the library puts the line that vtok_last_error gives back. No part of the interface.
#ifndef VTOK_LAST_ERROR_H
#define VTOK_LAST_ERROR_H

#include "vtok.h"

void vtok_set_last_error(vtok_error error, const char *text);

#endif
