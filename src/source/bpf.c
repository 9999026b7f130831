#include "source/bpf.h"

#include <linux/membarrier.h>
#include <stdio.h>
#include <sys/syscall.h>

/* Room for the verifier's complaint; programs that pass cost nothing, the log is asked for on failure. */
#define VERIFIER_LOG ((size_t)1 << 20)

static int bpf_call(int cmd, void *attr, size_t size)
{
	long r;

	/* The verifier gives up with EAGAIN when a signal comes; a few rounds, as libbpf does. */
	for (int tries = 0; tries < 5; tries++) {
		r = syscall(SYS_bpf, cmd, attr, size);
		if (r >= 0)
			return (int)r;
		if (errno != EAGAIN)
			break;
	}
	return -errno;
}

static uint64_t pointer(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static void name_copy(char *to, const char *name)
{
	size_t n = name ? strnlen(name, BPF_OBJ_NAME_LEN - 1) : 0;

	if (n)
		memcpy(to, name, n);
}

int kbpf_map_new(const struct kbpf_map_spec *spec)
{
	union bpf_attr attr = {
		.map_type = spec->type,
		.key_size = spec->key_size,
		.value_size = spec->value_size,
		.max_entries = spec->entries,
		.map_flags = spec->flags,
	};

	if (spec->inner >= 0)
		attr.inner_map_fd = (uint32_t)spec->inner;
	name_copy(attr.map_name, spec->name);
	return bpf_call(BPF_MAP_CREATE, &attr, sizeof(attr));
}

int kbpf_map_set(int map, const void *key, const void *value)
{
	union bpf_attr attr = { .map_fd = (uint32_t)map };

	attr.key = pointer(key);
	attr.value = pointer(value);
	return bpf_call(BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr));
}

int kbpf_map_set_all(int map, const uint32_t *values, uint32_t n)
{
	PFS_FREE uint32_t *keys = pfs_zalloc(n, sizeof(*keys));
	union bpf_attr attr = { 0 };
	int r = 0;

	if (!keys)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		keys[i] = i;
	attr.batch.map_fd = (uint32_t)map;
	attr.batch.keys = pointer(keys);
	attr.batch.values = pointer(values);
	attr.batch.count = n;
	if (bpf_call(BPF_MAP_UPDATE_BATCH, &attr, sizeof(attr)) == 0)
		return 0;
	for (uint32_t i = 0; i < n && r == 0; i++)
		r = kbpf_map_set(map, &keys[i], &values[i]);
	return r;
}

int kbpf_map_get(int map, const void *key, void *ret_value)
{
	union bpf_attr attr = { .map_fd = (uint32_t)map };

	attr.key = pointer(key);
	attr.value = pointer(ret_value);
	return bpf_call(BPF_MAP_LOOKUP_ELEM, &attr, sizeof(attr));
}

int kbpf_map_unset(int map, const void *key)
{
	union bpf_attr attr = { .map_fd = (uint32_t)map };

	attr.key = pointer(key);
	return bpf_call(BPF_MAP_DELETE_ELEM, &attr, sizeof(attr));
}

/* Programs run below RCU, and this is synchronize_rcu(). */
int kbpf_grace(void)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) < 0 ? -errno : 0;
}

/* The last lines of the verifier's log that say what is wrong, on one line. */
static int verifier_said(char *log, int err, const char *name, struct pfs_diag *diag)
{
	size_t n = strlen(log);
	char *from;

	/* The final line is a statistic, "processed 12 insns ...". */
	from = strstr(log, "\nprocessed ");
	if (from) {
		*from = 0;
		n = (size_t)(from - log);
	}
	while (n > 0 && log[n - 1] == '\n')
		log[--n] = 0;
	from = log + (n > 140 ? n - 140 : 0);
	for (char *p = from; *p; p++)
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	return pfs_diag_set(diag, err, "the kernel refused the program %s (%s)%s%s", name,
			    strerror(err), *from ? ": " : "", from);
}

int kbpf_prog_load(const struct kbpf_prog_spec *spec, struct pfs_diag *diag)
{
	union bpf_attr attr = {
		.prog_type = spec->type,
		.insn_cnt = (uint32_t)spec->n,
		.expected_attach_type = spec->attach_type,
	};
	PFS_FREE char *log = NULL;
	int fd, err;

	attr.insns = pointer(spec->insns);
	attr.license = pointer("GPL");
	name_copy(attr.prog_name, spec->name);
	fd = bpf_call(BPF_PROG_LOAD, &attr, sizeof(attr));
	if (fd >= 0)
		return fd;
	err = -fd;
	if (err == EPERM)
		return pfs_diag_set(diag, err, "this process may not load kernel programs (CAP_BPF)");
	log = pfs_zalloc(VERIFIER_LOG, 1);
	if (!log)
		return -ENOMEM;
	attr.log_buf = pointer(log);
	attr.log_size = VERIFIER_LOG;
	attr.log_level = 1;
	fd = bpf_call(BPF_PROG_LOAD, &attr, sizeof(attr));
	if (fd >= 0)
		return fd;
	return verifier_said(log, err, spec->name, diag);
}

int kbpf_prog_run(int prog, const void *packet, size_t n, uint32_t *ret_value)
{
	union bpf_attr attr = { 0 };
	int r;

	attr.test.prog_fd = (uint32_t)prog;
	attr.test.data_in = pointer(packet);
	attr.test.data_size_in = (uint32_t)n;
	attr.test.repeat = 1;
	r = bpf_call(BPF_PROG_TEST_RUN, &attr, sizeof(attr));
	if (r < 0)
		return r;
	*ret_value = attr.test.retval;
	return 0;
}

int kbpf_link_netfilter(int prog, unsigned family, unsigned hook, int priority)
{
	/* The part of union bpf_attr that BPF_LINK_CREATE reads for this attach type. */
	struct {
		uint32_t prog;
		uint32_t target;
		uint32_t attach_type;
		uint32_t flags;
		uint32_t family;
		uint32_t hook;
		int32_t priority;
		uint32_t netfilter_flags;
	} attr = {
		.prog = (uint32_t)prog,
		.attach_type = KBPF_ATTACH_NETFILTER,
		.family = family,
		.hook = hook,
		.priority = priority,
	};

	return bpf_call(BPF_LINK_CREATE, &attr, sizeof(attr));
}

uint32_t kbpf_prog_id(int prog)
{
	struct bpf_prog_info info = { 0 };
	union bpf_attr attr = { 0 };

	attr.info.bpf_fd = (uint32_t)prog;
	attr.info.info_len = sizeof(info);
	attr.info.info = pointer(&info);
	return bpf_call(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) < 0 ? 0 : info.id;
}

bool kbpf_prog_lives(uint32_t id)
{
	union bpf_attr attr = { .prog_id = id };
	int fd = bpf_call(BPF_PROG_GET_FD_BY_ID, &attr, sizeof(attr));

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* "0-3,8-11" */
unsigned kbpf_cpus(const char *which, uint8_t *set, size_t n)
{
	char path[64];
	unsigned first, last, end = 1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/%s", which);
	memset(set, 0, n);
	set[0] = n > 0;
	f = fopen(path, "re");
	if (!f)
		return end;
	while (fscanf(f, "%u", &first) == 1) {
		int c = fgetc(f);

		last = first;
		if (c == '-' && fscanf(f, "%u", &last) == 1)
			c = fgetc(f);
		for (unsigned cpu = first; cpu <= last && cpu < n; cpu++)
			set[cpu] = 1;
		if (last >= end)
			end = last + 1;
		if (c != ',')
			break;
	}
	fclose(f);
	return end;
}
