/*
 * device - network devices: which there are, and what their frames begin with
 *
 * Looking only: nothing here captures, and no descriptor stays open.
 */
#ifndef PFS_SOURCE_DEVICE_H
#define PFS_SOURCE_DEVICE_H

#include "base/base.h"

#define DEVICE_ANY "any"

struct device {
	char name[16];
	uint32_t ifindex;
	uint16_t link_type; /* LINKTYPE_* */
	unsigned arphrd;
	bool loopback;
	bool up;
};

/* LINKTYPE_* value of frames on a device of that ARPHRD_ type; false: none that capture files know. */
bool device_link_type(unsigned arphrd, uint16_t *ret_link_type);

/*
 * Looks a device up by name or, when name is NULL, by index, in the network namespace of the socket. -ENODEV;
 * -EOPNOTSUPP: a link type that capture files do not know (*ret_device is filled in otherwise).
 */
int device_find(int sock, const char *name, uint32_t ifindex, struct device *ret_device);

/* In the caller's namespace. "any" is always there. The herd means nothing here; *ret_uid stays. */
struct rd_herd;
bool device_exists(struct rd_herd *herd, const char *name, uid_t *ret_uid);
void device_list(struct rd_herd *herd, void (*each)(void *arg, const char *name), void *arg);

#endif
