/* mechanisms - the table: in the order in which they are told */
#include "study.h"

#define LIST(X)             \
	X(memory)           \
	X(syscall)          \
	X(procfs)           \
	X(sysfs)            \
	X(netlink)          \
	X(chardev)          \
	X(relay)            \
	X(bpfring)          \
	X(perfbuf)          \
	X(userring)         \
	X(packetring)       \
	X(packetring2)      \
	X(xdp)              \
	X(uring)            \
	X(uring_many)       \
	X(fuse)             \
	X(fuse_uring)       \
	X(fuse_passthrough) \
	X(seccomp)          \
	X(fanotify)         \
	X(shm)              \
	X(pipe)             \
	X(vmsplice)         \
	X(unix_stream)      \
	X(unix_seqpacket)

#define DECLARE(name) extern const struct mechanism mechanism_##name;
#define ENTRY(name) &mechanism_##name,

LIST(DECLARE)

const struct mechanism *const mechanisms[] = { LIST(ENTRY) NULL };
