/*
 * shipped - shared objects with filters of files, by the names that people type
 */
#ifndef PFS_CMD_SHIPPED_H
#define PFS_CMD_SHIPPED_H

#include "cmd/cmd.h"

/*
 * The absolute path, owned, of the shared object of "FILE[,ARGUMENT...]", and what is behind FILE. A name without a
 * slash that is no file here is looked for among those that ship: beside this program in the tree where it was built,
 * then where they are installed; ".so" may be left out. NULL, and errno: there is none.
 */
char *pfs_shipped_find(const char *text, const char **ret_rest);

#endif
