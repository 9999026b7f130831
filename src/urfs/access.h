/*
 * access - rules of who may do what with which files: text to rules, and what they decide
 *
 * For the filter accessflt and its tools; needs nothing but the C library. One rule a line, words separated by blanks,
 * quoted with "" where they hold blanks; `#` begins a comment. The first rule that fits decides; if none does,
 * `default`.
 *
 *	default allow
 *	deny=EPERM log user=www-data op=write,create path=/srv/etc/
 *	allow exe=/usr/bin/backup op=read path=/srv/
 *	deny exe!=/usr/sbin/nginx op=read path=/srv/keys/key?
 *
 *	default ACTION	once; without it what no rule fits is allowed
 *	ACTION		allow, deny (EACCES), deny=ERRNO; behind it `log`: say it each time
 *	uid= gid=	numbers and ranges: 0,1000-1999
 *	user= group=	names. A group is that of the caller, or one that lists him as a member (group(5))
 *	exe=		pattern of the program's path. What is not known fits no pattern
 *	path=		pattern of the file's path
 *	op=		read write exec list create remove attr
 *
 * KEY!= fits when KEY= would not. In patterns `?` is any byte but a slash, `*` any number of them, `**` any bytes at
 * all, and a backslash takes what follows as it is; one that ends with a slash fits all that is below that
 * directory. A rule has each key at most once, and fits when all of its keys do.
 */
#ifndef URFS_ACCESS_H
#define URFS_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define ACCESS_LINE_MAX 8192
#define ACCESS_RULES_MAX 65536
#define ACCESS_ERROR_SIZE 256

enum access_op {
	ACCESS_READ,   /* a file is opened to be read */
	ACCESS_WRITE,  /* ... to be written; truncate, fallocate, copied into */
	ACCESS_EXEC,   /* ... to be executed */
	ACCESS_LIST,   /* a directory is opened */
	ACCESS_CREATE, /* a name is made: a file, directory, link; the new name of a rename */
	ACCESS_REMOVE, /* a name goes; the old name of a rename */
	ACCESS_ATTR,   /* modes, owners, times and extended attributes are set */
	ACCESS_OPS,
};
extern const char *const access_op_names[ACCESS_OPS];
int access_op_parse(const char *name, enum access_op *ret_op); /* -EINVAL */

/* For a parser of lines: where it is, and what is wrong there. */
struct access_lines {
	unsigned line;
	char *error; /* of ACCESS_ERROR_SIZE */
	char text[ACCESS_ERROR_SIZE - 32];
};
/* The error is at->text, with the number of the line. -EINVAL. */
int access_say_wrong(struct access_lines *at);
/* The same of a format and its arguments. */
#define access_wrong(at, ...) \
	(snprintf((at)->text, sizeof((at)->text), __VA_ARGS__), access_say_wrong(at))
/* take() gets each line as a string that it may change; ends with its first -errno. */
int access_lines(struct access_lines *at, const char *text, size_t len,
		 int (*take)(void *arg, char *line), void *arg);

struct access_rules; /* immutable */

/* -EINVAL: error says the line and why, in a sentence; -E2BIG: too many rules; -ENOMEM. */
int access_rules_parse(const char *text, size_t len, struct access_rules **ret_rules,
		       char error[ACCESS_ERROR_SIZE]);
/* The same of a file, at most 16 MiB of it. -errno of reading it. */
int access_rules_load(const char *file, struct access_rules **ret_rules,
		      char error[ACCESS_ERROR_SIZE]);
void access_rules_free(struct access_rules *rules); /* NULL is fine */
size_t access_rules_count(const struct access_rules *rules);
/* Does any rule ask for the program? If not, it need not be found out. */
bool access_rules_want_exe(const struct access_rules *rules);

struct access_request {
	uid_t uid;
	gid_t gid;
	const char *exe; /* NULL or "": not known */
	const char *path;
	enum access_op op;
};
struct access_verdict {
	int error; /* 0: allowed; > 0: the errno */
	bool log;
	unsigned line; /* of the rule; 0: the default */
};
struct access_verdict access_decide(const struct access_rules *rules,
				    const struct access_request *request);

/* Does it match, all of it? Takes at most strlen(pattern) * strlen(text) steps. */
bool access_match(const char *pattern, const char *text);

#endif
