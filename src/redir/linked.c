#include "redir/linked.h"

static int answer(const struct rd_linked *linked, const struct rd_link_message *question,
		  int result, const struct pfs_diag *diag)
{
	struct rd_link_head head = { .type = RD_LINK_DONE,
				     .serial = question->head.serial,
				     .value = result };
	const char *text = result < 0 ? diag->text : "";

	return rd_link_send(linked->fd, &head, text, strlen(text), NULL, 0);
}

static int answer_numbers(const struct rd_linked *linked, const struct rd_link_message *question)
{
	struct rd_link_head head = { .type = RD_LINK_NUMBERS, .serial = question->head.serial };
	PFS_BUF struct pfs_buf body = { 0 };
	struct rd_link_number number = { 0 };

	for (size_t i = 0; body.len + sizeof(number) <= RD_LINK_BODY_MAX && linked->ops->number &&
			   linked->ops->number(linked->arg, i, &number);
	     i++) {
		pfs_buf_add(&body, &number, sizeof(number));
		number = (struct rd_link_number){ 0 };
	}
	return body.failed ? -ENOMEM : rd_link_send(linked->fd, &head, body.data, body.len, NULL, 0);
}

static int configure(struct rd_linked *linked, const struct rd_link_message *message)
{
	struct rd_link_config config = { 0 };
	struct pfs_diag diag = { "" };
	int r = rd_link_config_from_fd(message->fd[0], &config);

	if (r == -EPROTO)
		return r;
	if (r == 0)
		r = linked->ops->configure(linked->arg, &config, &diag);
	rd_link_config_release(&config);
	return answer(linked, message, r, &diag);
}

static int watch(struct rd_linked *linked, const struct rd_link_message *message)
{
	const struct rd_linked_ops *ops = linked->ops;
	struct pfs_diag diag = { "" };
	int r = 0;

	if (message->head.type == RD_LINK_UNWATCH && ops->unwatch)
		ops->unwatch(linked->arg, message->head.value);
	if (message->head.type == RD_LINK_WATCH)
		r = !ops->watch
			    ? -EOPNOTSUPP
			    : ops->watch(linked->arg, message->head.value,
					 (const char *)message->body, message->fd[0], message->fd[1]);
	return answer(linked, message, r, &diag);
}

static int join(struct rd_linked *linked, const struct rd_link_message *message)
{
	struct rd_link_head head = { .type = RD_LINK_CHANNEL, .serial = message->head.serial };
	struct pfs_diag diag = { "" };
	struct rd_link_join body;
	PFS_CLOSE int fd = -1;
	PFS_CLOSE int memory = -1;
	int r = -EOPNOTSUPP;

	memcpy(&body, message->body, sizeof(body));
	if (linked->ops->join)
		r = linked->ops->join(linked->arg, (uint64_t)message->head.value, body.pid, &fd,
				      &memory, &diag);
	return r < 0 ? answer(linked, message, r, &diag)
		     : rd_link_send(linked->fd, &head, NULL, 0, (const int[]){ fd, memory }, 2);
}

/* 0, or -errno: hang up. */
static int take(struct rd_linked *linked, struct rd_link_message *message)
{
	struct pfs_diag diag = { "" };

	switch (message->head.type) {
	case RD_LINK_CONFIGURE:
		return configure(linked, message);
	case RD_LINK_END:
		return answer(linked, message, linked->ops->end(linked->arg), &diag);
	case RD_LINK_ASK:
		return answer_numbers(linked, message);
	case RD_LINK_WATCH:
	case RD_LINK_UNWATCH:
		return watch(linked, message);
	case RD_LINK_JOIN:
		return join(linked, message);
	default:
		return -EPROTO;
	}
}

int rd_linked_handle(struct rd_linked *linked)
{
	PFS_FREE struct rd_link_message *message = malloc(sizeof(*message));
	int r;

	if (!message)
		return -ENOMEM;
	while ((r = rd_link_receive(linked->fd, message)) == 1) {
		r = take(linked, message);
		rd_link_fds_close(message);
		if (r < 0)
			return r;
	}
	return r == -EAGAIN || r == -EINTR ? 1 : r;
}
