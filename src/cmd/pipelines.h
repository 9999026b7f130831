/*
 * pipelines - the *.pipe files of a folder, made in a tree when it is mounted
 *
 * Each is a text of the pipeline language (lang/lang.h) whose sources stand at the root of the tree: `dev eth0 | tcp`
 * is dev/eth0/tcp. They are made in the order of their names, and what is there already is fine. What is wrong in one
 * is said, on stderr and in the log, and the others are made all the same.
 */
#ifndef PFS_CMD_PIPELINES_H
#define PFS_CMD_PIPELINES_H

#define PIPELINES_DIR "/etc/pipesfs/pipelines.d"
#define REDIRECTIONS_DIR "/etc/pipesfs/redir.d"

/* optional: it is no error when the folder is not there. Returns how many files could not be made as they say. */
unsigned pipelines_make(const char *mount, const char *folder, int optional);
/*
 * The same with *.conf files, whose lines are commands of redirctl(8): of a file in which a line makes no sense nothing
 * is done.
 */
unsigned redirections_make(const char *mount, const char *folder, int optional);

#endif
