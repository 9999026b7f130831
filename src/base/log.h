/*
 * log - the two places where the processes of a mount speak
 */
#ifndef PFS_BASE_LOG_H
#define PFS_BASE_LOG_H

#include "base/base.h"

/* Says a sentence: on stderr, or in syslog once pfs_log_to_syslog() was called. */
void pfs_log(const char *fmt, ...) PFS_PRINTF(1, 2);
/* To syslog, or to stderr, if that does not make us wait: what users' commands say. */
void pfs_log_try(const char *text);
/* To syslog from here on; nothing of ours keeps a terminal or whoever reads our output. Before there are threads. */
void pfs_log_to_syslog(void);

#endif
