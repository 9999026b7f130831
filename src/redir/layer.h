/*
 * layer - a directory, overmounted by itself: every operation goes through a chain, or straight on
 *
 *	rd_layer_new(&options, &layer, &diag)	takes hold of the directory and mounts over it
 *	rd_layer_start(layer)			answers, on threads of its own, until the mount has ended
 *	poll(rd_layer_ended_fd(layer))		readable: nobody asks any more
 *	rd_layer_stop(layer), rd_layer_free(layer)
 *
 * The original is reached by a descriptor taken before: a private copy of its mount (open_tree(2)), in which what
 * was mounted below it does not lie on top, or the directory itself where that is not allowed. Mounts below it are
 * mounted again on top of ours. After rd_layer_new() this process must not touch the path, which would ask itself.
 *
 * Objects: one for each file that the kernel above knows, found by (device, inode, file handle), so hard links are
 * one and a number that was used again is another. None holds a descriptor: a file is found again by its handle,
 * where the process may (CAP_DAC_READ_SEARCH) and the filesystem has them, else by the directory it was last seen
 * in and its name, and is compared then. Descriptors: one an open file, and up to KEPT_MAX of directories.
 *
 * Who may do what is judged by the kernel above, for the real caller with all of his groups and capabilities, by
 * the modes, owners and ACLs of the files (default_permissions). The layer does it with all of its privileges and
 * the caller's fsuid, fsgid and umask. Locks (flock, fcntl, OFD) are the kernel's above and seen by all who come
 * through the mount, so chains are not asked about RD_LOCK, nor, for the same reason, about RD_ACCESS.
 *
 * Data: a regular file whose chain does not want any is opened by passthrough where that is possible; then neither
 * read, write nor mmap comes here. Else the kernel's page cache above holds what the chain made of it. All opens
 * of a file share one way as long as one is open; who opens a file with a data chain while it is open by
 * passthrough reads and writes through the chain, but maps the original. A filter's own process sees the bytes
 * below, past the page cache.
 *
 * What others change in the original, past the mount, nobody tells: names and attributes are asked for again after
 * a second, and at once where a filter wants to be asked about them.
 */
#ifndef RD_LAYER_H
#define RD_LAYER_H

#include "redir/chain.h"

struct rd_layer;

/*
 * The functions of chain.h, data.h and call.h; a table, so that the layer can be linked and
 * tested without the chains.
 */
struct rd_chains {
	const struct rd_chain *(*find)(struct rd_config *config, const char *path);
	const struct rd_chain *(*ref)(const struct rd_chain *chain);
	void (*unref)(const struct rd_chain *chain);
	uint64_t (*serial)(const struct rd_config *config);
	bool (*wants)(const struct rd_chain *chain, enum rd_op op, mode_t type);
	bool (*wants_data)(const struct rd_chain *chain);
	bool (*own)(const struct rd_chain *chain, pid_t pid);
	void (*run)(struct rd_call *call);
	int (*data_get)(const struct rd_chain *chain, size_t size, struct rd_data *ret_data);
	void (*data_put)(struct rd_data *data);
	void (*slots_release)(struct rd_slots *slots);
};

struct rd_layer_options {
	const char *dir;		/* absolute, resolved */
	const struct rd_chains *chains; /* borrowed; NULL: nobody is asked about anything */
	struct rd_config *config;	/* borrowed */
	bool allow_other;		/* always, for root */
	bool no_passthrough;
};

int rd_layer_new(const struct rd_layer_options *options, struct rd_layer **ret_layer,
		 struct pfs_diag *diag);
/*
 * In the process that is to serve; -errno of starting threads. keeper: the process that asks by statfs(2) whether we
 * answer, which no filter hears of; 0: none.
 */
int rd_layer_start(struct rd_layer *layer, pid_t keeper);
int rd_layer_ended_fd(const struct rd_layer *layer);
/* Readable once the kernel has said hello. */
int rd_layer_ready_fd(const struct rd_layer *layer);
/* In the process that does not serve, once the other one does: mounts again on top what was mounted below. */
void rd_layer_submounts(struct rd_layer *layer);
/* Our end of /dev/fuse, for the process that does not serve: closes it. */
void rd_layer_leave(struct rd_layer *layer);
/* Waits up to so long for the threads; -ETIMEDOUT: some still work, and the layer must not be freed. */
int rd_layer_stop(struct rd_layer *layer, unsigned milliseconds);
void rd_layer_free(struct rd_layer *layer);

/* Numbers, for what shows them. */
struct rd_layer_numbers {
	uint64_t requests, asked; /* in all; those that went through a chain */
	uint64_t objects, passthrough_opens, other_opens;
};
void rd_layer_numbers(struct rd_layer *layer, struct rd_layer_numbers *ret_numbers);

#endif
