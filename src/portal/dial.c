#include "portal/dial.h"

#include <fcntl.h>
#include <poll.h>

#include "portal/conf_i.h"

#define TIMEOUT 10000000000ULL /* ns; mkdir is answered sooner (mount/work.c) */

/* --- what is meant ------------------------------------------------------------------------- */

static int path_parse(const char *text, struct pfs_portal_plan *plan, struct pfs_diag *diag)
{
	if (text[0] != '/' && text[0] != '@')
		return pfs_diag_set(diag, EINVAL,
				    "the whole path of a socket is needed (slashes as %%2f), or @NAME");
	if (strlen(text) < 2)
		return pfs_diag_set(diag, EINVAL, "'%.10s' is no socket", text);
	plan->path = strdup(text);
	return plan->path ? 0 : -ENOMEM;
}

/* Where the port begins: behind the last colon, or behind blanks; NULL: there is none. */
static const char *port_find(const char *text, size_t *ret_host_len)
{
	size_t n = strcspn(text, " \t");
	const char *colon;

	*ret_host_len = n;
	if (text[n])
		return text + n + strspn(text + n, " \t");
	colon = strrchr(text, ':');
	if (!colon || (text[0] == '[' && colon[-1] != ']'))
		return NULL;
	*ret_host_len = (size_t)(colon - text);
	return colon + 1;
}

/* plan->listen: as it was asked for; to receive datagrams from anybody is to listen, too. */
static int address_parse(const char *text, struct pfs_portal_plan *plan, struct pfs_diag *diag)
{
	size_t len = 0;
	const char *port = port_find(text, &len);
	bool listen = plan->listen, any = len == 3 && !memcmp(text, "ANY", 3);
	const char *host = text;
	int r;

	if (!port && listen && text[0] && !strchr(text, '[')) {
		port = text;
		len = 0;
	}
	if (!port || !*port || (!len && !listen))
		return pfs_diag_set(diag, EINVAL,
				    "'%.100s': a host and a port are needed: HOST:PORT", text);
	if (strpbrk(port, " \t/"))
		return pfs_diag_set(diag, EINVAL, "'%.60s' is no port or service", port);
	r = pfs_host_unwrap(&host, &len, diag);
	if (r < 0)
		return r;
	if (host == text && len && port[-1] == ':' && memchr(text, ':', len))
		return pfs_diag_set(diag, EINVAL,
				    "'%.100s': write an IPv6 address in brackets: [::1]:80", text);
	if (len > 255 || strlen(port) > 255)
		return pfs_diag_set(diag, ENAMETOOLONG, "host and port have at most 255 bytes");
	plan->port = strdup(port);
	if (!plan->port)
		return -ENOMEM;
	plan->listen |= any && plan->kind == PFS_PORTAL_UDP;
	if (plan->listen && (len == 0 || any))
		return 0;
	plan->host = strndup(host, len);
	return plan->host ? 0 : -ENOMEM;
}

int pfs_dial_parse(enum pfs_portal_kind kind, bool listen, const char *text,
		   struct pfs_portal_plan *ret_plan, struct pfs_diag *diag)
{
	PFS_PORTAL_PLAN struct pfs_portal_plan plan = { .kind = kind, .listen = listen };
	int r = kind == PFS_PORTAL_UNIX ? path_parse(text, &plan, diag)
					: address_parse(text, &plan, diag);

	if (r < 0)
		return r;
	*ret_plan = plan;
	plan = (struct pfs_portal_plan){ 0 };
	return 0;
}

/* --- life ------------------------------------------------------------------------------------ */

void pfs_dial_init(struct pfs_dial *dial, struct pfs_spawner *spawner, struct pfs_caller *caller,
		   struct pfs_portal_plan *plan)
{
	*dial = (struct pfs_dial){ .spawner = spawner, .caller = *caller, .plan = *plan, .fd = -1 };
	*caller = (struct pfs_caller){ .netns_fd = -1 };
	*plan = (struct pfs_portal_plan){ 0 };
}

void pfs_dial_release(struct pfs_dial *dial)
{
	if (!dial->spawner)
		return;
	pfs_dial_cancel(dial);
	pfs_caller_release(&dial->caller);
	pfs_portal_plan_release(&dial->plan);
	dial->spawner = NULL;
}

/* --- opening ----------------------------------------------------------------------------------- */

static bool is_expected(const struct pfs_dial *dial, enum pfs_portal_type type)
{
	if (dial->plan.listen && dial->plan.kind != PFS_PORTAL_UDP)
		return type == PFS_PORTAL_LISTENER;
	return type == PFS_PORTAL_STREAM || type == PFS_PORTAL_PACKETS;
}

static void on_done(struct pfs_portal_opening *opening, int result,
		    const struct pfs_portal_result *res, const struct pfs_diag *diag)
{
	struct pfs_dial *dial = CONTAINER_OF(opening, struct pfs_dial, opening);

	dial->done = true;
	dial->result = result;
	dial->diag = *diag;
	if (result < 0)
		return;
	dial->fd = res->fd;
	dial->type = res->type;
	memcpy(dial->what, res->what, sizeof(dial->what));
	if (!is_expected(dial, res->type))
		dial->result =
			pfs_diag_set(&dial->diag, EIO, "the helper process has answered nonsense");
}

int pfs_dial_begin(struct pfs_dial *dial, struct pfs_diag *diag)
{
	static const struct pfs_helpers_options options = { .portals_max = 1 };
	int r;

	assert(!dial->helpers);
	dial->opening = (struct pfs_portal_opening){
		.plan = &dial->plan,
		.flags = O_RDWR | O_NONBLOCK,
		.umask = dial->caller.umask,
		.done = on_done,
	};
	dial->done = false;
	dial->deadline = pfs_clock_mono() + TIMEOUT;
	r = pfs_helpers_new(dial->spawner, &options, &dial->helpers);
	if (r < 0)
		return pfs_diag_set(diag, -r, "%s", strerrordesc_np(-r));
	r = pfs_helper_open(dial->helpers, &dial->caller, &dial->opening, diag);
	if (r < 0)
		pfs_dial_cancel(dial);
	return r;
}

bool pfs_dial_busy(const struct pfs_dial *dial)
{
	return dial->helpers;
}

int pfs_dial_fd(const struct pfs_dial *dial)
{
	return pfs_helpers_fd(dial->helpers);
}

uint64_t pfs_dial_due(const struct pfs_dial *dial)
{
	return dial->deadline;
}

void pfs_dial_cancel(struct pfs_dial *dial)
{
	if (!dial->helpers)
		return;
	pfs_helper_end(dial->helpers, &dial->opening);
	pfs_helpers_free(TAKE_PTR(dial->helpers));
	pfs_closep(&dial->fd);
	dial->fd = -1;
}

int pfs_dial_run(struct pfs_dial *dial, int *ret_fd, struct pfs_diag *diag)
{
	int r, fd = -1;

	pfs_helpers_run(dial->helpers);
	if (!dial->done) {
		if (pfs_clock_mono() < dial->deadline)
			return -EAGAIN;
		pfs_dial_cancel(dial);
		return pfs_diag_set(diag, ETIMEDOUT, "no answer in ten seconds");
	}
	r = dial->result;
	if (r == 0)
		fd = TAKE_FD(dial->fd);
	else if (diag)
		*diag = dial->diag;
	pfs_dial_cancel(dial);
	if (r == 0)
		*ret_fd = fd;
	return r;
}

int pfs_dial_wait(struct pfs_dial *dial, int *ret_fd, struct pfs_diag *diag)
{
	int r = pfs_dial_begin(dial, diag);

	if (r < 0)
		return r;
	while ((r = pfs_dial_run(dial, ret_fd, diag)) == -EAGAIN) {
		struct pollfd fd = { .fd = pfs_dial_fd(dial), .events = POLLIN };
		uint64_t now = pfs_clock_mono(), due = pfs_dial_due(dial);

		if (poll(&fd, 1, due > now ? (int)((due - now) / 1000000) + 1 : 0) < 0) {
			r = -errno;
			pfs_dial_cancel(dial);
			return pfs_diag_set(diag, -r, "%s", strerrordesc_np(-r));
		}
	}
	return r;
}
