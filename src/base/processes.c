#include "base/processes.h"

#include <dirent.h>
#include <stdio.h>

struct process {
	pid_t pid, parent;
	unsigned threads; /* 0: another user's */
};

static int by_pid(const void *a, const void *b)
{
	const struct process *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

/* False: it has ended, or is not shown to us. */
static bool process_read(pid_t pid, uid_t uid, struct process *ret_process)
{
	unsigned real = 0, threads = 0;
	char path[40], line[256];
	int parent = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (threads == 0 && fgets(line, sizeof(line), f)) {
		(void)sscanf(line, "PPid: %d", &parent);
		(void)sscanf(line, "Uid: %u", &real);
		(void)sscanf(line, "Threads: %u", &threads);
	}
	fclose(f);
	*ret_process =
		(struct process){ .pid = pid, .parent = parent, .threads = real == uid ? threads : 0 };
	return true;
}

static int processes_read(uid_t uid, struct process **ret_list, size_t *ret_n)
{
	PFS_FREE struct process *list = NULL;
	DIR *dir = opendir("/proc");
	size_t n = 0, room = 0;
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return -errno;
	while (r == 0 && (entry = readdir(dir))) {
		pid_t pid = atoi(entry->d_name);

		if (pid <= 0)
			continue;
		if (n == room) {
			void *more = reallocarray(list, room ? room * 2 : 256, sizeof(*list));

			if (!more) {
				r = -ENOMEM;
				break;
			}
			list = more;
			room = room ? room * 2 : 256;
		}
		if (process_read(pid, uid, &list[n]))
			n++;
	}
	closedir(dir);
	if (r < 0)
		return r;
	if (n)
		qsort(list, n, sizeof(*list), by_pid);
	*ret_list = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

static bool is_below(const struct process *list, size_t n, const struct process *process, pid_t top)
{
	/* Parents were read at other times than their children: a chain may be broken or, once in a life, closed. */
	for (size_t steps = 0; process && steps < n; steps++) {
		struct process parent = { .pid = process->parent };

		if (process->parent == top)
			return true;
		process = bsearch(&parent, list, n, sizeof(*list), by_pid);
	}
	return false;
}

int pfs_processes_count(uid_t uid, pid_t except, uint64_t *ret_n)
{
	PFS_FREE struct process *list = NULL;
	uint64_t sum = 0;
	size_t n = 0;
	int r = processes_read(uid, &list, &n);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (list[i].threads && !is_below(list, n, &list[i], except))
			sum += list[i].threads;
	*ret_n = sum;
	return 0;
}
