/*
 * chain - who is asked about an object, in which order; published immutable
 *
 * A *filter* has a unique name and a unique priority; smaller is asked earlier (pre ascending,
 * post descending). Its path rules include or exclude a path, single or with all below it
 * (subtree); of the rules that cover a path the longest wins, of equally long ones single before
 * subtree, of the same path the later. A chain is the array of the active filters that cover a
 * path, with the operations that each wants before and after. Chains are made when the
 * configuration changes, found by path, cached in the object with the configuration's number
 * (rd_config_serial()), and freed when the last object and call let go.
 *
 * What is already open is not touched by a change (RedirFS's rule): a file keeps the chain it was
 * opened with, and a filter that was deactivated since is asked about it until it is closed.
 * About everything else it is not asked any more at once: one deactivated between pre and post
 * gets no post. One that has been taken out of the configuration is asked about nothing; what it
 * should have done to the data of an open file fails as its policy says.
 *
 * A filter is never asked about what its own process (in-process filters: ours) or a child of
 * that does: the caller's pid tells. Other filters are.
 */
#ifndef RD_CHAIN_H
#define RD_CHAIN_H

#include "redir/call.h"

struct rd_config; /* the filters and their rules, as of now; one per redirect process */

/*
 * The chain for a path (absolute, no links, no dots), of an object of that type. A reference;
 * it may be empty; NULL: no memory, -ENOMEM is the result.
 */
const struct rd_chain *rd_chain_find(struct rd_config *config, const char *path);
const struct rd_chain *rd_chain_ref(const struct rd_chain *chain);
void rd_chain_unref(const struct rd_chain *chain);

/* Grows with each change. A chain with an older number is to be looked for again (not that of an open file). */
uint64_t rd_config_serial(const struct rd_config *config);

/* Does anybody want to be asked about it? `type` as in rd_call. If not, no call has to be made. */
bool rd_chain_wants(const struct rd_chain *chain, enum rd_op op, mode_t type);
/* Does anybody want the data of regular files (READ or WRITE)? If not, they may go by passthrough. */
bool rd_chain_wants_data(const struct rd_chain *chain);

/* Is that thread one of a filter's own that wants the data? It is to see the bytes below, past the page cache. */
bool rd_chain_own(const struct rd_chain *chain, pid_t pid);

/*
 * See call.h. Never fails: what goes wrong on the way is the call's result, by the policy of the
 * filter with which it did.
 */
void rd_call_run(struct rd_call *call);

#endif
