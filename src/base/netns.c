#include "base/netns.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

struct call {
	int ns; /* borrowed */
	int (*fn)(void *arg);
	void *arg;
	int entered; /* 0 or -errno of setns */
	int result;
};

static void *call_there(void *arg)
{
	struct call *call = arg;

	call->entered = setns(call->ns, CLONE_NEWNET) < 0 ? -errno : 0;
	if (call->entered == 0)
		call->result = call->fn(call->arg);
	return NULL;
}

int pfs_netns_call(const char *name, int (*fn)(void *arg), void *arg, struct pfs_diag *diag)
{
	struct call call = { .ns = -1, .fn = fn, .arg = arg };
	PFS_CLOSE int ns = -1;
	pthread_t thread;
	char path[300];
	int r;

	if (!name || !*name)
		return fn(arg);
	if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strlen(name) > 255)
		return pfs_diag_set(diag, EINVAL, "netns=%.60s is not the name of a namespace", name);
	snprintf(path, sizeof(path), "/run/netns/%s", name);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0)
		return pfs_diag_set(diag, errno, "there is no network namespace %.60s: %s", name,
				    strerror(errno));
	call.ns = ns;
	r = pthread_create(&thread, NULL, call_there, &call);
	if (r)
		return pfs_diag_set(diag, r, "no thread for the namespace: %s", strerror(r));
	pthread_join(thread, NULL);
	if (call.entered < 0)
		return pfs_diag_set(
			diag, -call.entered,
			"cannot enter the network namespace %.60s: %s (it needs CAP_SYS_ADMIN)",
			name, strerror(-call.entered));
	return call.result;
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

int pfs_netns_check(const char *name, struct pfs_diag *diag)
{
	return pfs_netns_call(name, nothing, NULL, diag);
}
