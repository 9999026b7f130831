#include "base/session.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#define ABOVE_MAX 64
#define SOCKETS_MAX 1024
#define ESTABLISHED 1
#define ENVIRON_MAX 131072

struct sockets {
	uint64_t inode[SOCKETS_MAX];
	size_t n;
};

static FILE *proc_open(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return fopen(path, "re");
}

static pid_t parent_of(pid_t pid)
{
	FILE *f = proc_open(pid, "status");
	char line[256];
	int parent = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "PPid: %d", &parent) == 1)
			break;
	if (f)
		fclose(f);
	return parent;
}

static void sockets_read(pid_t pid, struct sockets *s)
{
	char path[64], link[64];
	struct dirent *entry;
	DIR *dir;

	s->n = 0;
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	while (dir && s->n < SOCKETS_MAX && (entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
		unsigned long long inode;

		if (n <= 0)
			continue;
		link[n] = '\0';
		if (sscanf(link, "socket:[%llu]", &inode) == 1)
			s->inode[s->n++] = inode;
	}
	if (dir)
		closedir(dir);
}

static bool sockets_have(const struct sockets *s, uint64_t inode)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->inode[i] == inode)
			return true;
	return false;
}

/* Hexadecimal words, each as the machine has it in memory. */
static bool address_parse(const char *text, size_t words, uint8_t *ret_bytes)
{
	for (size_t w = 0; w < words; w++) {
		unsigned value;

		if (sscanf(text + 8 * w, "%8x", &value) != 1)
			return false;
		memcpy(ret_bytes + 4 * w, &value, 4);
	}
	return true;
}

/* ::ffff:10.0.0.1 is a packet of IPv4. */
static void unmap(struct pfs_session *s)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (memcmp(s->local, mapped, 12) != 0)
		return;
	s->version = 4;
	memmove(s->local, s->local + 12, 4);
	memmove(s->remote, s->remote + 12, 4);
}

/* A line of /proc/PID/net/tcp. False: it is none of these. */
static bool line_parse(const char *line, const struct sockets *sockets, unsigned version,
		       struct pfs_session *ret_session)
{
	struct pfs_session s = { .version = version };
	char local[40], remote[40];
	unsigned local_port, remote_port, state;
	unsigned long long inode;

	if (sscanf(line, " %*u: %39[0-9A-F]:%x %39[0-9A-F]:%x %x %*s %*s %*s %*u %*u %llu", local,
		   &local_port, remote, &remote_port, &state, &inode) != 6)
		return false;
	if (state != ESTABLISHED || !sockets_have(sockets, inode) ||
	    !address_parse(local, version == 4 ? 1 : 4, s.local) ||
	    !address_parse(remote, version == 4 ? 1 : 4, s.remote))
		return false;
	s.local_port = (uint16_t)local_port;
	s.remote_port = (uint16_t)remote_port;
	if (version == 6)
		unmap(&s);
	*ret_session = s;
	return true;
}

static uint64_t netns_of(pid_t pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	return stat(path, &st) == 0 ? st.st_ino : 0;
}

static size_t of_process(pid_t pid, struct pfs_session *sessions, size_t max)
{
	static const struct {
		const char *name;
		unsigned version;
	} tables[] = { { "net/tcp", 4 }, { "net/tcp6", 6 } };
	struct sockets sockets;
	char line[512];
	size_t n = 0;

	sockets_read(pid, &sockets);
	for (size_t t = 0; t < ARRAY_SIZE(tables) && sockets.n; t++) {
		FILE *f = proc_open(pid, tables[t].name);

		while (f && n < max && fgets(line, sizeof(line), f)) {
			if (!line_parse(line, &sockets, tables[t].version, &sessions[n]))
				continue;
			sessions[n].pid = pid;
			sessions[n++].netns = netns_of(pid);
		}
		if (f)
			fclose(f);
	}
	return n;
}

/* "CLIENT PORT SERVER PORT" */
static bool ssh_parse(const char *text, struct pfs_session *s)
{
	char client[64], server[64];
	unsigned client_port, server_port;
	int family;

	if (sscanf(text, "%63s %u %63s %u", client, &client_port, server, &server_port) != 4)
		return false;
	s->version = strchr(client, ':') ? 6 : 4;
	family = s->version == 6 ? AF_INET6 : AF_INET;
	s->local_port = (uint16_t)server_port;
	s->remote_port = (uint16_t)client_port;
	if (inet_pton(family, client, s->remote) != 1 || inet_pton(family, server, s->local) != 1)
		return false;
	if (s->version == 6)
		unmap(s);
	return true;
}

/* What sshd left in the environment, where its socket is not shown to us. */
static size_t of_environment(pid_t pid, struct pfs_session *session)
{
	static const char key[] = "SSH_CONNECTION=";
	FILE *f = proc_open(pid, "environ");
	PFS_FREE char *text = pfs_zalloc(1, ENVIRON_MAX + 1);
	size_t n = f && text ? fread(text, 1, ENVIRON_MAX, f) : 0;
	bool found = false;

	if (f)
		fclose(f);
	for (size_t at = 0; at < n && !found; at += strlen(text + at) + 1)
		if (strncmp(text + at, key, sizeof(key) - 1) == 0)
			found = ssh_parse(text + at + sizeof(key) - 1, session);
	session->pid = pid;
	session->netns = netns_of(pid);
	return found;
}

size_t pfs_sessions_of(pid_t pid, struct pfs_session *sessions, size_t max)
{
	size_t n = 0;
	pid_t p = pid;

	memset(sessions, 0, max * sizeof(*sessions));
	for (unsigned i = 0; i < ABOVE_MAX && p > 1 && n < max; i++) {
		n += of_process(p, sessions + n, max - n);
		p = parent_of(p);
	}
	if (n == 0 && max > 0 && pid > 0)
		n = of_environment(pid, sessions);
	return n;
}

void pfs_session_text(const struct pfs_session *session, char *text, size_t size)
{
	int family = session->version == 6 ? AF_INET6 : AF_INET;
	char local[INET6_ADDRSTRLEN] = "?", remote[INET6_ADDRSTRLEN] = "?", command[32] = "?";
	FILE *f = proc_open(session->pid, "comm");

	if (f && fgets(command, sizeof(command), f))
		command[strcspn(command, "\n")] = '\0';
	if (f)
		fclose(f);
	(void)inet_ntop(family, session->local, local, sizeof(local));
	(void)inet_ntop(family, session->remote, remote, sizeof(remote));
	snprintf(text, size,
		 session->version == 6 ? "[%s]:%u - [%s]:%u of %s (pid %d)"
				       : "%s:%u - %s:%u of %s (pid %d)",
		 local, session->local_port, remote, session->remote_port, command, (int)session->pid);
}

uint64_t pfs_session_netns(const char *name)
{
	char path[300] = "/proc/self/ns/net";
	struct stat st;

	if (name && *name)
		snprintf(path, sizeof(path), "/run/netns/%s", name);
	return stat(path, &st) == 0 ? st.st_ino : 0;
}
