/*
 * shot - the running graph as somebody may see it, at one moment
 *
 * Taken under the control lock, quickly: numbers, names, and what filters say in .stats. What is made of it (text, dot,
 * JSON, OpenMetrics: show*.c) takes longer and needs no lock.
 *
 * Seen is what the kernel would let the same user read: directories that he may search all the way to and whose dot
 * files he may read. Others are counted where they begin, and what is below them is not looked at.
 */
#ifndef PFS_GRAPH_SHOT_I_H
#define PFS_GRAPH_SHOT_I_H

#include "graph/graph_i.h"

struct pfs_shot_node {
	uint64_t id, parent;
	uint64_t into;	  /* of a join: its target; 0: none */
	size_t above;	  /* index of the parent in the shot; SIZE_MAX: it is not there, but */
	char *dir;	  /* owned: that is its path; else NULL */
	unsigned depth;	  /* below the top of the shot, which is 0 */
	char *name;	  /* owned; as in its directory; of views all.json and so on */
	const char *kind; /* these are literals or the tables' */
	const char *type, *flow, *shape;
	uid_t uid;
	gid_t gid;
	mode_t mode;
	bool data; /* records flow there: no folder */
	bool running, lossy, kernel;
	uint64_t in, out, dropped, lost, bytes;
	struct {
		const char *name;
		uint64_t n;
	} reason[PFS_REASONS_MAX];
	size_t nreasons;
	double rate_in, rate_out, rate_lost, rate_bytes; /* a second */
	unsigned readers, writers;
	unsigned shared;		 /* of a stage of a run: how many pipelines use it */
	uint64_t delivered, missed, lag; /* of its readers; of those gone, too, but for lag */
	uint64_t memory;
	struct pfs_buf stats; /* owned; the filter's own lines */
};

struct pfs_shot_user {
	uid_t uid;
	uint64_t has[PFS_DUES];
};

struct pfs_shot {
	const struct pfs_graph *graph; /* borrowed */
	uint64_t real, mono;	       /* when it was taken, ns */
	double interval;	       /* s that the rates are over */
	struct pfs_shot_node *nodes;   /* owned; a parent before its children, siblings in order */
	size_t n, cap;
	struct pfs_shot_user *users; /* owned; whom the viewer may see */
	size_t nusers, cap_users;
	uint64_t used[PFS_DUES]; /* by all */
	uint64_t hidden;
	bool failed; /* no memory: it is not complete */
};

/* What is at top and below, as cred may see it. -ENOMEM; release it in any case. */
int pfs_shot_take(struct pfs_node *top, const struct pfs_cred *cred, struct pfs_shot *shot);
void pfs_shot_release(struct pfs_shot *shot);

/* Path of a node, appended. */
void pfs_shot_path(const struct pfs_shot *shot, size_t index, struct pfs_buf *out);
/*
 * Calls each() for every line "name value" that the filter of a node has in .stats.
 */
void pfs_shot_stats(const struct pfs_shot_node *node,
		    void (*each)(void *arg, const char *name, size_t len, const char *value),
		    void *arg);

void pfs_show_text(const struct pfs_shot *shot, struct pfs_buf *out);
void pfs_show_dot(const struct pfs_shot *shot, struct pfs_buf *out);
void pfs_show_json(const struct pfs_shot *shot, struct pfs_buf *out);
void pfs_show_metrics(const struct pfs_shot *shot, struct pfs_buf *out);

#endif
