/*
 * pipe_share - the reader of a pipe file, for a client that maps
 */
#include "mount/pipe_i.h"

static int reader_give(struct pfs_file *file, struct pfs_gift *ret_gift, struct pfs_diag *diag)
{
	struct pfs_pipe *pipe = pfs_pipe_of(pfs_channel_of(file));
	struct pfs_given *given = &pipe->given;
	int r = pfs_reader_share(pipe->reader, given, diag);

	if (r < 0)
		return r;
	*ret_gift = (struct pfs_gift){ .hello = &given->hello,
				       .size = sizeof(given->hello),
				       .nfds = PFS_GIVEN_COUNT };
	memcpy(ret_gift->fds, given->fds, sizeof(given->fds));
	return 0;
}

static void reader_mute(struct pfs_file *file)
{
	pfs_reader_mute(pfs_pipe_of(pfs_channel_of(file))->reader);
}

void pfs_pipe_hold(struct pfs_file *file)
{
	pfs_channel_ref(pfs_channel_of(file));
}

void pfs_pipe_drop(struct pfs_file *file)
{
	pfs_channel_unref(pfs_channel_of(file));
}

static const struct pfs_share_kind readers = {
	.give = reader_give,
	.mute = reader_mute,
	.hold = pfs_pipe_hold,
	.drop = pfs_pipe_drop,
};

int pfs_pipe_answer(struct pfs_file *file, unsigned command, void *ret, size_t size)
{
	struct pfs_pipe *pipe = pfs_pipe_of(pfs_channel_of(file));

	if (command == PFS_IOC_READER && size == sizeof(struct pfs_ticket) && pipe->reader)
		return pfs_share_ticket(file, &readers, pipe->close.uid, ret);
	if (command == PFS_IOC_ON && size == 0 && pipe->reader && !pipe->lent.reads) {
		pfs_reader_on(pipe->reader);
		return 0;
	}
	return pfs_pipe_lend(file, command, ret, size);
}
