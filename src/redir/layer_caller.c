/*
 * layer_caller - a thread takes on the ids of who asks
 *
 * The kernel above has judged already; what is left is whose the new file is, whose the reserved blocks are and
 * whether set-id bits go when bytes are written. So a thread keeps its capabilities (SECBIT_NO_SETUID_FIXUP), all
 * but CAP_FSETID, which decides about these bits.
 */
#include "redir/layer_i.h"

#include <linux/securebits.h>
#include <sched.h>
#include <sys/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static _Thread_local struct {
	bool ready, own;
	uid_t uid;
	gid_t gid;
	mode_t umask;
	bool kill;
} self;

/* Of the process, before it had threads. */
static uid_t own_uid;
static gid_t own_gid;
static struct __user_cap_data_struct own_caps[_LINUX_CAPABILITY_U32S_3];

static struct __user_cap_header_struct caps_header(void)
{
	return (struct __user_cap_header_struct){ .version = _LINUX_CAPABILITY_VERSION_3 };
}

void rd_caller_prepare(struct rd_layer *layer)
{
	struct __user_cap_header_struct header = caps_header();

	own_uid = geteuid();
	own_gid = getegid();
	if (syscall(SYS_capget, &header, own_caps) < 0)
		memset(own_caps, 0, sizeof(own_caps));
	layer->privileged =
		own_uid == 0 &&
		prctl(PR_SET_SECUREBITS, prctl(PR_GET_SECUREBITS) | SECBIT_NO_SETUID_FIXUP) == 0;
}

bool rd_keeps_setid(const struct rd_layer *layer, pid_t thread)
{
	struct __user_cap_header_struct header = caps_header();
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];

	header.pid = thread;
	return layer->privileged && thread > 0 && syscall(SYS_capget, &header, caps) == 0 &&
	       caps[CAP_TO_INDEX(CAP_FSETID)].effective & CAP_TO_MASK(CAP_FSETID);
}

static void fsetid(bool kill)
{
	struct __user_cap_header_struct header = caps_header();
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];

	memcpy(caps, own_caps, sizeof(caps));
	if (kill)
		caps[CAP_TO_INDEX(CAP_FSETID)].effective &= ~(uint32_t)CAP_TO_MASK(CAP_FSETID);
	if (syscall(SYS_capset, &header, caps) == 0)
		self.kill = kill;
}

/*
 * The umask is the thread's own from here on. Its ids are not yet: libfuse starts threads from threads, which hand on
 * those of whoever they worked for last.
 */
static void thread_prepare(void)
{
	self.ready = true;
	self.uid = own_uid;
	self.gid = own_gid;
	self.umask = (mode_t)-1;
	(void)!unshare(CLONE_FS);
	setfsgid(own_gid);
	setfsuid(own_uid);
	fsetid(false);
}

void rd_thread_own(void)
{
	if (!self.ready)
		thread_prepare();
	self.own = true;
}

void rd_become(const struct rd_layer *layer, uid_t uid, gid_t gid, mode_t mask, bool kill)
{
	if (!self.ready)
		thread_prepare();
	if (self.umask != mask)
		umask(self.umask = mask);
	if (!layer->privileged)
		return;
	if (self.gid != gid)
		setfsgid(self.gid = gid);
	if (self.uid != uid)
		setfsuid(self.uid = uid);
	if (self.kill != kill)
		fsetid(kill);
}

void rd_become_self(const struct rd_layer *layer)
{
	if (!self.own)
		rd_become(layer, own_uid, own_gid, 022, false);
}
