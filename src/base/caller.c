#include "base/caller.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define GROUPS_MAX 16384       /* what fits into a message to the spawner */
#define STATUS_MAX (1U << 20)  /* bytes of /proc/TID/status: 65,536 groups */
#define KEYCTL_JOIN_SESSION 1U /* KEYCTL_JOIN_SESSION_KEYRING; its header is the kernel's */

/* The last one differs only in that we can follow. */
static const char *const namespaces[] = { "mnt", "user",   "pid",  "ipc",
					  "uts", "cgroup", "time", "net" };
#define NET 7
static_assert(ARRAY_SIZE(namespaces) == NET + 1, "the network namespace comes last");

/* --- what /proc says ------------------------------------------------------------------- */

static int open_of(pid_t tid)
{
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld", (long)tid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* A whole file of /proc. */
static int read_at(int dir, const char *name, struct pfs_buf *out)
{
	PFS_CLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while (out->len < STATUS_MAX) {
		void *to = pfs_buf_reserve(out, 4096);
		ssize_t n;

		if (!to)
			return -ENOMEM;
		n = read(fd, to, 4096);
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		out->len += (size_t)n;
	}
	pfs_buf_add(out, "", 1);
	return out->failed ? -ENOMEM : 0;
}

static int ns_name(int dir, unsigned i, char name[40])
{
	char path[16];
	ssize_t n;

	snprintf(path, sizeof(path), "ns/%s", namespaces[i]);
	n = readlinkat(dir, path, name, 39);
	if (n < 0 && errno == ENOENT)
		n = 0; /* a kernel without it */
	if (n < 0)
		return -errno;
	name[n] = '\0';
	return 0;
}

static uint64_t ns_number(const char *name)
{
	const char *at = strchr(name, '[');

	return at ? strtoull(at + 1, NULL, 10) : 0;
}

/* The rest of a line "Name:\t...", NULL: there is none. */
static const char *field(const struct pfs_buf *status, const char *name)
{
	size_t n = strlen(name);

	for (const char *line = status->data; line && *line; line = strchr(line, '\n') + 1) {
		if (!strncmp(line, name, n) && line[n] == ':')
			return line + n + 1;
		if (!strchr(line, '\n'))
			break;
	}
	return NULL;
}

static uint64_t number_of(const struct pfs_buf *status, const char *name, int base, uint64_t otherwise)
{
	const char *at = field(status, name);

	return at ? strtoull(at, NULL, base) : otherwise;
}

/* The fourth number of "Uid:" and "Gid:" is the one of the filesystem. */
static uint64_t fs_id_of(const struct pfs_buf *status, const char *name)
{
	const char *at = field(status, name);
	unsigned long long id;

	return at && sscanf(at, "%*u %*u %*u %llu", &id) == 1 ? id : UINT64_MAX;
}

static unsigned seccomp_of(const struct pfs_buf *status)
{
	/* Before Linux 5.9 their number is not told: then any is one. */
	return (unsigned)number_of(status, "Seccomp_filters", 10,
				   number_of(status, "Seccomp", 10, 0) == 2);
}

static int root_of(int dir, struct pfs_home *ret_home)
{
	struct statx st;

	/* What is cached will do, and asks no filesystem: a caller's root may be ours. */
	if (statx(dir, "root", AT_STATX_DONT_SYNC, STATX_INO | STATX_MNT_ID, &st) < 0)
		return -errno;
	ret_home->root_dev = makedev(st.stx_dev_major, st.stx_dev_minor);
	ret_home->root_ino = st.stx_ino;
	ret_home->root_mnt = st.stx_mask & STATX_MNT_ID ? st.stx_mnt_id : 0;
	return 0;
}

int pfs_home_get(struct pfs_home *ret_home)
{
	PFS_CLOSE int dir = open_of(getpid());
	PFS_BUF struct pfs_buf status = { 0 };
	struct pfs_home home = { 0 };
	int r;

	if (dir < 0)
		return dir;
	r = read_at(dir, "status", &status);
	for (unsigned i = 0; r == 0 && i < ARRAY_SIZE(namespaces); i++)
		r = ns_name(dir, i, home.ns[i]);
	if (r == 0)
		r = root_of(dir, &home);
	if (r < 0)
		return r;
	home.netns = ns_number(home.ns[NET]);
	home.cap_prm = number_of(&status, "CapPrm", 16, 0);
	home.cap_bnd = number_of(&status, "CapBnd", 16, 0);
	home.seccomp = seccomp_of(&status);
	*ret_home = home;
	return 0;
}

/* --- is the caller where we are, and all that his uid says? ------------------------------- */

static int check_place(const struct pfs_home *home, int dir, struct pfs_diag *diag)
{
	struct pfs_home his = { 0 };

	for (unsigned i = 0; i < NET; i++) {
		int r = ns_name(dir, i, his.ns[i]);

		if (r < 0)
			return pfs_diag_set(
				diag, EPERM,
				"the kernel does not show who the caller is (%s): as the caller or not at all",
				strerror(-r));
		if (strcmp(his.ns[i], home->ns[i]) != 0)
			return pfs_diag_set(
				diag, EPERM,
				"the caller lives in another %s namespace, in a container perhaps",
				namespaces[i]);
	}
	if (root_of(dir, &his) < 0 || his.root_dev != home->root_dev ||
	    his.root_ino != home->root_ino || his.root_mnt != home->root_mnt)
		return pfs_diag_set(diag, EPERM, "the caller has another root directory");
	return 0;
}

static int check_rights(const struct pfs_home *home, const struct pfs_buf *status, uid_t uid,
			struct pfs_diag *diag)
{
	uint64_t eff = number_of(status, "CapEff", 16, 0), bnd = number_of(status, "CapBnd", 16, 0);

	if (uid == 0 && (home->cap_prm & ~eff))
		return pfs_diag_set(
			diag, EPERM,
			"the caller is root without capabilities that root has (%llx are missing)",
			(unsigned long long)(home->cap_prm & ~eff));
	if (home->cap_bnd & ~bnd)
		return pfs_diag_set(
			diag, EPERM,
			"the caller's capability bounding set is smaller than ours (%llx are missing)",
			(unsigned long long)(home->cap_bnd & ~bnd));
	if (seccomp_of(status) > home->seccomp)
		return pfs_diag_set(
			diag, EPERM,
			"the caller is confined by a seccomp filter, which would not hold here");
	return 0;
}

/* --- taking a caller down ------------------------------------------------------------------- */

static int groups_get(const struct pfs_buf *status, struct pfs_caller *caller, struct pfs_diag *diag)
{
	const char *at = field(status, "Groups");
	size_t room = 0;
	char *end;

	while (at && *at && *at != '\n') {
		unsigned long gid = strtoul(at, &end, 10);

		if (end == at)
			break;
		if (caller->ngroups == GROUPS_MAX)
			return pfs_diag_set(diag, EPERM, "the caller is in more than %d groups",
					    GROUPS_MAX);
		if (caller->ngroups == room) {
			gid_t *more = realloc(caller->groups,
					      (room = room ? room * 2 : 16) * sizeof(gid_t));

			if (!more)
				return -ENOMEM;
			caller->groups = more;
		}
		caller->groups[caller->ngroups++] = (gid_t)gid;
		at = end + strspn(end, " \t");
	}
	return 0;
}

static rlim_t limit_of(const char *word)
{
	return *word == 'u' ? RLIM_INFINITY : (rlim_t)strtoull(word, NULL, 10);
}

/* /proc/TID/limits: "Max open files            1024                 4096                 files". */
static int limits_get(int dir, struct rlimit limits[RLIM_NLIMITS])
{
	static const struct {
		const char *name;
		int which;
	} names[] = {
		{ "Max cpu time", RLIMIT_CPU },
		{ "Max file size", RLIMIT_FSIZE },
		{ "Max data size", RLIMIT_DATA },
		{ "Max stack size", RLIMIT_STACK },
		{ "Max core file size", RLIMIT_CORE },
		{ "Max resident set", RLIMIT_RSS },
		{ "Max processes", RLIMIT_NPROC },
		{ "Max open files", RLIMIT_NOFILE },
		{ "Max locked memory", RLIMIT_MEMLOCK },
		{ "Max address space", RLIMIT_AS },
		{ "Max file locks", RLIMIT_LOCKS },
		{ "Max pending signals", RLIMIT_SIGPENDING },
		{ "Max msgqueue size", RLIMIT_MSGQUEUE },
		{ "Max nice priority", RLIMIT_NICE },
		{ "Max realtime priority", RLIMIT_RTPRIO },
		{ "Max realtime timeout", RLIMIT_RTTIME },
	};
	PFS_BUF struct pfs_buf text = { 0 };
	int r = read_at(dir, "limits", &text);

	if (r == 0 && !text.data)
		r = -EIO;
	static_assert(ARRAY_SIZE(names) == RLIM_NLIMITS, "one line a limit");
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(names); i++) {
		const char *at = strstr(text.data, names[i].name);
		char soft[24], hard[24];

		if (!at || sscanf(at + strlen(names[i].name), "%23s %23s", soft, hard) != 2)
			return -EIO;
		limits[names[i].which] = (struct rlimit){ limit_of(soft), limit_of(hard) };
	}
	return r;
}

static int netns_get(const struct pfs_home *home, int dir, struct pfs_caller *caller,
		     struct pfs_diag *diag)
{
	char name[40];
	int r = ns_name(dir, NET, name);

	if (r < 0)
		return pfs_diag_set(diag, EPERM, "the caller's network namespace cannot be seen: %s",
				    strerror(-r));
	caller->netns = ns_number(name);
	if (caller->netns == home->netns)
		return 0;
	caller->netns_fd = openat(dir, "ns/net", O_RDONLY | O_CLOEXEC);
	if (caller->netns_fd < 0 || !(home->cap_prm & 1ULL << CAP_SYS_ADMIN))
		return pfs_diag_set(
			diag, EPERM,
			"the caller lives in another network namespace, which we may not enter");
	return 0;
}

/* A daemon that is not root can be nobody else, nor leave a group. */
static int check_own(const struct pfs_home *home, const struct pfs_caller *caller, struct pfs_diag *diag)
{
	PFS_CALLER struct pfs_caller self = { .netns_fd = -1 };
	int r;

	if (home->cap_prm & 1ULL << CAP_SETUID)
		return 0;
	r = pfs_caller_self(&self);
	if (r < 0)
		return r;
	self.no_new_privs = caller->no_new_privs;
	self.netns = caller->netns;
	if (!pfs_caller_same(&self, caller))
		return pfs_diag_set(
			diag, EPERM,
			"this pipesfs was mounted by an ordinary user: it acts for him alone, with his groups");
	return 0;
}

static int caller_get(const struct pfs_home *home, int dir, struct pfs_caller *caller,
		      struct pfs_diag *diag)
{
	PFS_BUF struct pfs_buf status = { 0 };
	int r = read_at(dir, "status", &status);

	if (r < 0)
		return r;
	/* His number may belong to somebody else by now: then the ids are another's, or the next question fails. */
	if (fs_id_of(&status, "Uid") != caller->uid || fs_id_of(&status, "Gid") != caller->gid)
		return pfs_diag_set(diag, EPERM, "the caller has changed who it is");
	caller->umask = (mode_t)number_of(&status, "Umask", 8, 022) & 0777;
	caller->no_new_privs = number_of(&status, "NoNewPrivs", 10, 0);
	r = check_place(home, dir, diag);
	if (r == 0)
		r = check_rights(home, &status, caller->uid, diag);
	if (r == 0)
		r = groups_get(&status, caller, diag);
	if (r == 0)
		r = limits_get(dir, caller->limits);
	if (r == 0)
		r = netns_get(home, dir, caller, diag);
	return r < 0 ? r : check_own(home, caller, diag);
}

int pfs_caller_get(const struct pfs_home *home, pid_t tid, uid_t uid, gid_t gid,
		   struct pfs_caller *ret_caller, struct pfs_diag *diag)
{
	PFS_CALLER struct pfs_caller caller = { .uid = uid, .gid = gid, .netns_fd = -1 };
	PFS_CLOSE int dir = tid > 0 ? open_of(tid) : -ESRCH;
	struct pfs_diag none = { "" };
	int r;

	diag = diag ? diag : &none;
	diag->text[0] = '\0';
	if (dir < 0)
		return pfs_diag_set(
			diag, EPERM,
			"the caller cannot be seen from here: it lives in another container");
	r = caller_get(home, dir, &caller, diag);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return diag->text[0] ? r
				     : pfs_diag_set(diag, EPERM, "the caller cannot be looked at: %s",
						    strerror(-r));
	*ret_caller = caller;
	caller = (struct pfs_caller){ .netns_fd = -1 };
	return 0;
}

int pfs_caller_self(struct pfs_caller *ret_caller)
{
	PFS_CALLER struct pfs_caller caller = { .uid = geteuid(), .gid = getegid(), .netns_fd = -1 };
	PFS_CLOSE int dir = open_of(getpid());
	PFS_BUF struct pfs_buf status = { 0 };
	char name[40];
	int r = dir < 0 ? dir : read_at(dir, "status", &status);

	if (r == 0)
		r = groups_get(&status, &caller, NULL);
	if (r == 0)
		r = limits_get(dir, caller.limits);
	if (r == 0)
		r = ns_name(dir, NET, name);
	if (r < 0)
		return r;
	caller.umask = (mode_t)number_of(&status, "Umask", 8, 022) & 0777;
	caller.no_new_privs = number_of(&status, "NoNewPrivs", 10, 0);
	caller.netns = ns_number(name);
	*ret_caller = caller;
	caller = (struct pfs_caller){ .netns_fd = -1 };
	return 0;
}

int pfs_caller_copy(const struct pfs_caller *caller, struct pfs_caller *ret_caller)
{
	PFS_CALLER struct pfs_caller copy = *caller;

	copy.netns_fd = -1;
	copy.groups = pfs_zalloc(copy.ngroups, sizeof(gid_t));
	if (!copy.groups)
		return -ENOMEM;
	if (copy.ngroups)
		memcpy(copy.groups, caller->groups, copy.ngroups * sizeof(gid_t));
	if (caller->netns_fd >= 0) {
		copy.netns_fd = fcntl(caller->netns_fd, F_DUPFD_CLOEXEC, 0);
		if (copy.netns_fd < 0)
			return -errno;
	}
	*ret_caller = copy;
	copy = (struct pfs_caller){ .netns_fd = -1 };
	return 0;
}

void pfs_caller_release(struct pfs_caller *caller)
{
	free(caller->groups);
	pfs_closep(&caller->netns_fd);
	*caller = (struct pfs_caller){ .netns_fd = -1 };
}

/* Groups as a set: the kernel keeps them sorted, and who has set them may have named one twice. */
static bool has_groups_of(const struct pfs_caller *a, const struct pfs_caller *b)
{
	for (size_t i = 0, j = 0; i < b->ngroups; i++) {
		while (j < a->ngroups && a->groups[j] < b->groups[i])
			j++;
		if (j == a->ngroups || a->groups[j] != b->groups[i])
			return false;
	}
	return true;
}

bool pfs_caller_same(const struct pfs_caller *a, const struct pfs_caller *b)
{
	return a->uid == b->uid && a->gid == b->gid && a->no_new_privs == b->no_new_privs &&
	       a->confined == b->confined && a->netns == b->netns && has_groups_of(a, b) &&
	       has_groups_of(b, a);
}

/* --- becoming the caller ------------------------------------------------------------------------ */

/* What we are already needs no right to become. */
static int ids_take(const struct pfs_caller *caller)
{
	PFS_CALLER struct pfs_caller self = { .netns_fd = -1 };
	uid_t uid[3];
	gid_t gid[3];
	int r = pfs_caller_self(&self);

	if (r < 0)
		return r;
	if (!(has_groups_of(&self, caller) && has_groups_of(caller, &self)) &&
	    setgroups(caller->ngroups, caller->groups) < 0)
		return -errno;
	if (setresgid(caller->gid, caller->gid, caller->gid) < 0 ||
	    setresuid(caller->uid, caller->uid, caller->uid) < 0)
		return -errno;
	if (getresgid(&gid[0], &gid[1], &gid[2]) < 0 || getresuid(&uid[0], &uid[1], &uid[2]) < 0)
		return -errno;
	for (unsigned i = 0; i < 3; i++)
		if (gid[i] != caller->gid || uid[i] != caller->uid)
			return -EPERM;
	/* There must be no way back. */
	return caller->uid != 0 && setuid(0) == 0 ? -EPERM : 0;
}

/* Root keeps what he has but for what he could inherit; others, and who is confined, have nothing. */
static int caps_take(const struct pfs_caller *caller)
{
	cap_t caps = caller->uid == 0 && !caller->confined ? cap_get_proc() : cap_init();
	int r = caps ? 0 : -ENOMEM;

	if (r == 0 && (cap_clear_flag(caps, CAP_INHERITABLE) < 0 || cap_set_proc(caps) < 0))
		r = -errno;
	if (caps)
		cap_free(caps);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return r;
}

int pfs_caller_become(const struct pfs_caller *caller, bool limits)
{
	int r;

	if (caller->netns_fd >= 0 && setns(caller->netns_fd, CLONE_NEWNET) < 0)
		return -errno;
	/* Above one's own hard limit only with privilege: then ours must do. */
	for (int i = 0; limits && i < RLIM_NLIMITS; i++)
		setrlimit((__rlimit_resource_t)i, &caller->limits[i]);
	r = ids_take(caller);
	/* Keys of the daemon's session are not the caller's. A kernel without keys has none to hide. */
	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION, NULL);
	if (r == 0)
		r = caps_take(caller);
	if (r < 0)
		return r;
	if ((caller->no_new_privs || caller->confined) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	umask(caller->umask);
	return 0;
}
