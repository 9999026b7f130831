#include "redir/link.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/socket.h"
#include "urfs/filter.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* --- messages -------------------------------------------------------------------------------- */

static bool is_sentence(const uint8_t *body, size_t len, size_t max)
{
	return len <= max && !memchr(body, 0, len);
}

static bool are_numbers(const uint8_t *body, size_t len)
{
	const size_t size = sizeof(struct rd_link_number);

	if (len % size)
		return false;
	for (size_t at = 0; at < len; at += size)
		if (!memchr(body + at, 0, RD_NAME_MAX))
			return false;
	return true;
}

/* Of a filter, and a newline. */
static bool has_name(const uint8_t *body, size_t len)
{
	const uint8_t *end = len ? memchr(body, '\n', len) : NULL;

	return end && end > body && end - body < RD_NAME_MAX;
}

bool rd_link_check(const struct rd_link_head *head, const uint8_t *body, size_t len, size_t nfds)
{
	if (head->magic != RD_LINK_MAGIC || len > RD_LINK_BODY_MAX)
		return false;
	switch (head->type) {
	case RD_LINK_CONFIGURE:
		return nfds == 1 && len == 0;
	case RD_LINK_END:
	case RD_LINK_ASK:
		return nfds == 0 && len == 0;
	case RD_LINK_DONE:
		return nfds == 0 && head->value <= 0 && head->value >= -4095 &&
		       is_sentence(body, len, sizeof(((struct pfs_diag *)0)->text) - 1);
	case RD_LINK_NUMBERS:
		return nfds == 0 && are_numbers(body, len);
	case RD_LINK_WATCH:
		return nfds == 2 && len > 0 && is_sentence(body, len, RD_NAME_MAX - 1);
	case RD_LINK_UNWATCH:
		return nfds == 0 && len == 0;
	case RD_LINK_JOIN:
		return nfds == 0 && len == sizeof(struct rd_link_join);
	case RD_LINK_SAY:
		return nfds == 0 &&
		       is_sentence(body, len, RD_NAME_MAX + sizeof(((struct pfs_diag *)0)->text)) &&
		       has_name(body, len);
	case RD_LINK_CHANNEL:
		return nfds == 2 && len == 0;
	default:
		return false;
	}
}

int rd_link_send(int fd, const struct rd_link_head *head, const void *body, size_t len,
		 const int *fds, size_t nfds)
{
	struct rd_link_head full = *head;
	struct iovec iov[2] = {
		{ .iov_base = &full, .iov_len = sizeof(full) },
		{ .iov_base = (void *)(uintptr_t)body, .iov_len = len },
	};
	ssize_t r;

	if (len > RD_LINK_BODY_MAX || nfds > RD_LINK_FDS_MAX)
		return -EMSGSIZE;
	full.magic = RD_LINK_MAGIC;
	r = pfs_socket_send(fd, iov, len ? 2 : 1, MSG_DONTWAIT, fds, nfds);
	return r < 0 ? (int)r : 0;
}

void rd_link_fds_close(struct rd_link_message *message)
{
	for (size_t i = 0; i < RD_LINK_FDS_MAX; i++) {
		if (message->fd[i] >= 0)
			close(message->fd[i]);
		message->fd[i] = -1;
	}
}

int rd_link_receive(int fd, struct rd_link_message *ret_message)
{
	struct rd_link_message *m = ret_message;
	uint8_t bytes[sizeof(m->head) + RD_LINK_BODY_MAX + 1];
	size_t nfds = 0;
	ssize_t n = pfs_socket_receive(fd, bytes, sizeof(bytes), MSG_DONTWAIT, m->fd, RD_LINK_FDS_MAX);

	if (n == -ECONNRESET)
		return 0;
	if (n <= 0)
		return (int)n;
	while (nfds < RD_LINK_FDS_MAX && m->fd[nfds] >= 0)
		nfds++;
	if ((size_t)n >= sizeof(m->head)) {
		memcpy(&m->head, bytes, sizeof(m->head));
		m->len = (size_t)n - sizeof(m->head);
		if (rd_link_check(&m->head, bytes + sizeof(m->head), m->len, nfds)) {
			memcpy(m->body, bytes + sizeof(m->head), m->len);
			m->body[m->len] = '\0';
			return 1;
		}
	}
	rd_link_fds_close(m);
	return -EPROTO;
}

/* --- the configuration ------------------------------------------------------------------------- */

#define NONE UINT32_MAX
enum { FLAG_ACTIVE = 1, FLAG_WANTS = 2, FLAGS = 3 };
enum { RULE_INCLUDE = 1, RULE_SUBTREE = 2, RULES = 3 };

static void put32(struct pfs_buf *out, uint32_t value)
{
	uint8_t bytes[4];

	le32_store(bytes, value);
	pfs_buf_add(out, bytes, sizeof(bytes));
}

static void put64(struct pfs_buf *out, uint64_t value)
{
	uint8_t bytes[8];

	le64_store(bytes, value);
	pfs_buf_add(out, bytes, sizeof(bytes));
}

/* With its NUL, so that it can be used where it lies. */
static void put_text(struct pfs_buf *out, const char *text)
{
	size_t n = text ? strlen(text) : 0;

	put32(out, text ? (uint32_t)n : NONE);
	if (text)
		pfs_buf_add(out, text, n + 1);
}

void rd_link_config_put(const struct rd_link_config *config, struct pfs_buf *out)
{
	put_text(out, config->tree);
	put32(out, (uint32_t)config->n);
	for (size_t i = 0; i < config->n; i++) {
		const struct rd_link_filter *filter = &config->filter[i];

		put_text(out, filter->desc.name);
		put_text(out, filter->object);
		put_text(out, filter->args);
		put32(out, (uint32_t)filter->desc.priority);
		put32(out, (uint32_t)filter->desc.policy);
		put64(out, filter->desc.deadline);
		put32(out, (filter->desc.active ? FLAG_ACTIVE : 0) |
				   (filter->desc.wants ? FLAG_WANTS : 0));
		put64(out, filter->peer);
		put32(out, filter->id);
		if (filter->desc.wants)
			pfs_buf_add(out, filter->desc.wants, sizeof(*filter->desc.wants));
		put32(out, (uint32_t)filter->desc.n_rules);
		for (size_t j = 0; j < filter->desc.n_rules; j++) {
			const struct rd_rule_desc *rule = &filter->desc.rules[j];

			put_text(out, rule->path);
			put32(out, (rule->include ? RULE_INCLUDE : 0) |
					   (rule->subtree ? RULE_SUBTREE : 0));
		}
	}
}

/* What is left of the bytes; failed once, for good. */
struct reader {
	const uint8_t *p;
	size_t n;
	bool failed;
};

static const uint8_t *take(struct reader *in, size_t n)
{
	const uint8_t *p = in->p;

	if (in->failed || n > in->n) {
		in->failed = true;
		return NULL;
	}
	in->p += n;
	in->n -= n;
	return p;
}

static uint32_t get32(struct reader *in)
{
	const uint8_t *p = take(in, 4);

	return p ? le32_load(p) : 0;
}

static uint64_t get64(struct reader *in)
{
	const uint8_t *p = take(in, 8);

	return p ? le64_load(p) : 0;
}

/* Into the bytes. NULL: none, or failed. */
static const char *get_text(struct reader *in, size_t max, bool may_be_none)
{
	uint32_t n = get32(in);
	const uint8_t *p;

	if (n == NONE && may_be_none)
		return NULL;
	if (n > max) {
		in->failed = true;
		return NULL;
	}
	p = take(in, (size_t)n + 1);
	if (p && memchr(p, 0, (size_t)n + 1) != p + n) {
		in->failed = true;
		return NULL;
	}
	return (const char *)p;
}

static uint32_t get_flags(struct reader *in, uint32_t known)
{
	uint32_t flags = get32(in);

	in->failed |= (flags & ~known) != 0;
	return flags;
}

/* rules: room for what is still to come; NULL: only counts. Returns how many there are. */
static size_t get_filter(struct reader *in, struct rd_link_filter *filter, struct rd_rule_desc *rules)
{
	struct rd_link_filter one = { 0 };
	uint32_t flags, flags_of, n;

	one.desc.name = get_text(in, RD_NAME_MAX - 1, false);
	one.object = get_text(in, PATH_MAX - 1, true);
	one.args = get_text(in, RD_ARGS_MAX - 1, true);
	one.desc.priority = (int)get32(in);
	one.desc.policy = (int)get32(in);
	one.desc.deadline = get64(in);
	flags = flags_of = get_flags(in, FLAGS);
	one.desc.active = flags & FLAG_ACTIVE;
	one.peer = get64(in);
	one.id = get32(in);
	in->failed |= one.id >= URFS_FILTERS_MAX;
	if (flags & FLAG_WANTS) {
		const uint8_t *p = take(in, sizeof(one.wants));

		if (p)
			memcpy(&one.wants, p, sizeof(one.wants));
	}
	n = get32(in);
	in->failed |= n > RD_RULES_MAX;
	for (uint32_t i = 0; i < n && !in->failed; i++) {
		struct rd_rule_desc rule = { .path = get_text(in, PATH_MAX - 1, false) };

		flags = get_flags(in, RULES);
		rule.include = flags & RULE_INCLUDE;
		rule.subtree = flags & RULE_SUBTREE;
		if (rules)
			rules[i] = rule;
	}
	one.desc.rules = rules;
	one.desc.n_rules = n;
	if (filter) {
		*filter = one;
		filter->desc.wants = flags_of & FLAG_WANTS ? &filter->wants : NULL;
	}
	return in->failed ? 0 : n;
}

const struct rd_link_filter *rd_link_config_find(const struct rd_link_config *config, const char *name)
{
	for (size_t i = 0; i < config->n; i++)
		if (!strcmp(config->filter[i].desc.name, name))
			return &config->filter[i];
	return NULL;
}

void rd_link_config_release(struct rd_link_config *config)
{
	free(config->memory);
	*config = (struct rd_link_config){ 0 };
}

int rd_link_config_get(const uint8_t *bytes, size_t n, struct rd_link_config *ret_config)
{
	struct reader in = { .p = bytes, .n = n }, count;
	struct rd_rule_desc *rules;
	struct rd_link_config config = { 0 };
	size_t n_rules = 0, head;
	char *copy;
	uint32_t n_filters;

	(void)get_text(&in, PATH_MAX - 1, false);
	n_filters = get32(&in);
	if (in.failed || n_filters > RD_FILTERS_MAX)
		return -EPROTO;
	count = in;
	for (uint32_t i = 0; i < n_filters && !count.failed; i++)
		n_rules += get_filter(&count, NULL, NULL);
	if (count.failed || count.n)
		return -EPROTO;
	/* Filters, their rules, then the bytes, in which the texts are. */
	head = n_filters * sizeof(*config.filter) + n_rules * sizeof(*rules);
	config.memory = pfs_zalloc(1, head + n);
	if (!config.memory)
		return -ENOMEM;
	config.filter = config.memory;
	rules = (void *)(config.filter + n_filters);
	copy = (char *)config.memory + head;
	memcpy(copy, bytes, n);
	in = (struct reader){ .p = (const uint8_t *)copy, .n = n };
	config.tree = get_text(&in, PATH_MAX - 1, false);
	config.n = get32(&in);
	for (size_t i = 0; i < config.n; i++)
		rules += get_filter(&in, &config.filter[i], rules);
	*ret_config = config;
	return 0;
}

int rd_link_config_to_fd(const struct rd_link_config *config, int *ret_fd)
{
	PFS_BUF struct pfs_buf bytes = { 0 };
	PFS_CLOSE int fd = -1;

	rd_link_config_put(config, &bytes);
	if (bytes.failed)
		return -ENOMEM;
	if (bytes.len > RD_LINK_CONFIG_MAX)
		return -E2BIG;
	fd = memfd_create("redir-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	for (size_t at = 0; at < bytes.len;) {
		ssize_t n = write(fd, bytes.data + at, bytes.len - at);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int rd_link_config_from_fd(int fd, struct rd_link_config *ret_config)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	uint8_t *bytes;
	int r;

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0)
		return -EPROTO;
	if (st.st_size <= 0 || (uint64_t)st.st_size > RD_LINK_CONFIG_MAX)
		return -EPROTO;
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	r = rd_link_config_get(bytes, (size_t)st.st_size, ret_config);
	munmap(bytes, (size_t)st.st_size);
	return r;
}
