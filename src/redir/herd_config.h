/*
 * herd_config - what of the registry one redirect process is told
 *
 * Pure functions; any thread.
 */
#ifndef RD_HERD_CONFIG_H
#define RD_HERD_CONFIG_H

#include "redir/link.h"
#include "redir/registry.h"

/* Has this filter anything to do with files of that tree? */
bool rd_registered_concerns(const struct rd_registered *filter, const char *tree);
/* The caller's, and all texts in it the registry's and the tree's. -ENOMEM. */
int rd_config_for(const struct rd_registry *registry, const char *tree,
		  struct rd_link_config *ret_config);

#endif
