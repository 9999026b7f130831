#include "source/device.h"

#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#ifndef ARPHRD_NONE
#define ARPHRD_NONE 0xfffe
#endif
#ifndef ARPHRD_RAWIP
#define ARPHRD_RAWIP 519
#endif

/* The LINKTYPE_ values of https://www.tcpdump.org/linktypes.html, for what a packet socket shows as it is. */
static const struct {
	uint16_t arphrd;
	uint16_t link_type;
} link_types[] = {
	{ ARPHRD_ETHER, 1 },
	{ ARPHRD_LOOPBACK, 1 },
	{ ARPHRD_NONE, 101 },
	{ ARPHRD_RAWIP, 101 },
	{ ARPHRD_TUNNEL, 101 },
	{ ARPHRD_TUNNEL6, 101 },
	{ ARPHRD_SIT, 101 },
	{ ARPHRD_IPGRE, 101 },
	{ 823 /* ARPHRD_IP6GRE */, 101 },
	{ ARPHRD_PPP, 101 },
	{ ARPHRD_RAWHDLC, 101 },
	{ ARPHRD_AX25, 3 },
	{ ARPHRD_CHAOS, 5 },
	{ ARPHRD_PRONET, 4 },
	{ ARPHRD_FDDI, 10 },
	{ ARPHRD_IEEE80211, 105 },
	{ ARPHRD_IEEE80211_PRISM, 119 },
	{ ARPHRD_IEEE80211_RADIOTAP, 127 },
	{ ARPHRD_IEEE802154, 195 },
	{ ARPHRD_CISCO, 104 },
	{ ARPHRD_LAPB, 207 },
	{ 824 /* ARPHRD_NETLINK */, 253 },
	{ 826 /* ARPHRD_VSOCKMON */, 271 },
};

bool device_link_type(unsigned arphrd, uint16_t *ret_link_type)
{
	for (size_t i = 0; i < ARRAY_SIZE(link_types); i++) {
		if (link_types[i].arphrd == arphrd) {
			*ret_link_type = link_types[i].link_type;
			return true;
		}
	}
	return false;
}

int device_find(int sock, const char *name, uint32_t ifindex, struct device *ret_device)
{
	struct device d = { 0 };
	struct ifreq ifr = { 0 };

	if (name) {
		if (strlen(name) >= sizeof(ifr.ifr_name))
			return -ENODEV;
		memcpy(ifr.ifr_name, name, strlen(name));
		if (ioctl(sock, SIOCGIFINDEX, &ifr) < 0)
			return -errno;
		ifindex = (uint32_t)ifr.ifr_ifindex;
	} else {
		ifr.ifr_ifindex = (int)ifindex;
		if (ioctl(sock, SIOCGIFNAME, &ifr) < 0)
			return -errno;
	}
	d.ifindex = ifindex;
	static_assert(sizeof(d.name) == IFNAMSIZ, "names of devices");
	memcpy(d.name, ifr.ifr_name, sizeof(d.name) - 1);
	if (ioctl(sock, SIOCGIFHWADDR, &ifr) < 0)
		return -errno;
	d.arphrd = ifr.ifr_hwaddr.sa_family;
	if (ioctl(sock, SIOCGIFFLAGS, &ifr) < 0)
		return -errno;
	d.loopback = (ifr.ifr_flags & IFF_LOOPBACK) != 0;
	d.up = (ifr.ifr_flags & IFF_UP) != 0;
	if (!device_link_type(d.arphrd, &d.link_type)) {
		*ret_device = d;
		return -EOPNOTSUPP;
	}
	*ret_device = d;
	return 0;
}

bool device_exists(struct rd_herd *herd, const char *name, uid_t *ret_uid)
{
	(void)herd;
	(void)ret_uid;
	return strcmp(name, DEVICE_ANY) == 0 || if_nametoindex(name) != 0;
}

void device_list(struct rd_herd *herd, void (*each)(void *arg, const char *name), void *arg)
{
	struct if_nameindex *all = if_nameindex();

	(void)herd;
	for (struct if_nameindex *i = all; i && i->if_index; i++)
		each(arg, i->if_name);
	if_freenameindex(all);
	each(arg, DEVICE_ANY);
}
