/*
 * name - directory names: type[:argument][,key=value...]
 *
 * `%xx` escapes any byte, so an argument may hold slashes (`%2f`) and commas (`%2c`).
 * `,key=` starts a parameter only for keys that the type's own table names; any other comma
 * belongs to the argument: `match:ip[0,1]`, `sample:100,phase=3`. `type:` with an empty
 * argument forces the type where a class of the same name would win.
 */
#ifndef PFS_BASE_NAME_H
#define PFS_BASE_NAME_H

#include "base/base.h"

#define PFS_NAME_MAX 255 /* bytes of one directory name, as elsewhere in Linux */
#define PFS_PARAMS_MAX 12

struct pfs_param {
	const char *key;
	const char *summary; /* for the manual: unit, default */
};

/* A parsed argument and its parameters. Strings are owned by the struct, NUL-terminated. */
struct pfs_args {
	char *arg;	/* unescaped argument, NULL when there was no colon */
	size_t arg_len; /* it may hold NUL bytes after %00: those are refused with EINVAL */
	size_t n;
	struct {
		const char *key; /* borrowed from the table */
		char *value;	 /* owned, unescaped */
	} param[PFS_PARAMS_MAX];
};

void pfs_args_release(struct pfs_args *args);

/* Length of the type part of a name: up to the first ':' or ','. */
size_t pfs_name_type_len(const char *name);

/*
 * Parses what follows the type. `params` is NULL or ends with an entry whose key is NULL.
 * -EINVAL (bad escape, NUL byte, a key twice), -ENOMEM. diag gets the sentence.
 */
int pfs_args_parse(const char *name, const struct pfs_param *params, struct pfs_args *ret_args,
		   struct pfs_diag *diag);

/* Deep copy. -ENOMEM. */
int pfs_args_copy(const struct pfs_args *args, struct pfs_args *ret_args);

/*
 * Merges `key=value` lines (or one line) into args: the text written to .params. Unknown key, no '=',
 * or an empty key: -EINVAL and args unchanged.
 */
int pfs_args_merge(struct pfs_args *args, const struct pfs_param *params, const char *text,
		   size_t len, struct pfs_diag *diag);
/* The same argument and parameters, in whatever order? */
bool pfs_args_equal(const struct pfs_args *a, const struct pfs_args *b);

/* The value of key, or NULL. */
const char *pfs_args_get(const struct pfs_args *args, const char *key);

/*
 * A number with an optional suffix k, M, G (1024-based when `binary`, else 1000), within [min, max].
 * -EINVAL (not a number), -ERANGE.
 */
int pfs_number_parse(const char *text, bool binary, uint64_t min, uint64_t max, uint64_t *ret_value);

/*
 * A time as ns: digits, a fraction, a unit (ns us ms s m h; none: seconds): "1.5ms". -EINVAL, -ERANGE.
 */
int pfs_time_parse(const char *text, uint64_t *ret_ns);

/*
 * The number that a parameter says, as pfs_number_parse(); *value stays what it is without it. -EINVAL with a sentence.
 */
int pfs_args_number(const struct pfs_args *args, const char *key, bool binary, uint64_t min,
		    uint64_t max, uint64_t *value, struct pfs_diag *diag);

/* Writes `name` with '/', '%', ',' and control bytes escaped, so that it can be one path component. */
void pfs_name_escape(struct pfs_buf *out, const char *name, size_t len);

#endif
