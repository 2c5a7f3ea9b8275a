#include <string.h>

#include "last_error.h"
#include "vtok.h"

// A line of an error has at most 2400 characters, so that it fits.
static _Thread_local char line[1 << 14];
static _Thread_local vtok_error kind = VTOK_OK;

void vtok_set_last_error(vtok_error error, const char *text) {
  size_t length = strlen(text);
  if (length >= sizeof line) {
    length = sizeof line - 1;
    while (length > 0 && (text[length] & 0xC0) == 0x80) length--;  // between characters
  }
  memcpy(line, text, length);
  line[length] = 0;
  kind = error;
}

vtok_error vtok_last_error_kind(void) { return kind; }

const char *vtok_last_error(void) { return line; }
