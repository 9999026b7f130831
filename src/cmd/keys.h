/*
 * keys - single keys of the terminal that a program was started in, while it goes on printing lines there
 *
 *	fd = keys_begin();		poll() it with the rest
 *	if (keys_read() == 'q') ...
 *	keys_end();
 *
 * Keys are neither shown nor waited for until return; Ctrl-C and Ctrl-Z are what they always are. The terminal is as it
 * was on every way out but SIGKILL, and while the program is stopped. One at a time, for it belongs to the process.
 * What draws on the whole screen takes ncurses (cmd/top_screen.c).
 */
#ifndef PFS_CMD_KEYS_H
#define PFS_CMD_KEYS_H

#include "base/base.h"

/* -1: stdin and stdout are not a terminal of which we are the foreground. */
int keys_begin(void);
/* One that was pressed; 0: none; -1: there will be no more. Does not wait once poll() has said that there is one. */
int keys_read(void);
void keys_end(void);

#endif
