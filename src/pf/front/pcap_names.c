/*
 * Which words of an expression would libpcap ask a name server for?
 *
 * Its scanner knows keywords, numbers, addresses and identifiers; an identifier is a host or a network unless a
 * qualifier before it says otherwise (`port http`, `proto ospf`, `type mgt`), and in lists the qualifier of the first
 * word holds for all (`port http or https`). So it is enough to follow the words with one bit of state.
 */
#include "pf/front/pcap.h"

#include <arpa/inet.h>

#include "base/base.h"
#include "pf/error.h"

enum word {
	WORD_OTHER, /* a keyword after which an identifier would be a host */
	WORD_VALUE, /* a keyword whose identifiers are in tables or files of this host */
	WORD_JOIN,  /* and, or, not: what was in force stays */
};

/*
 * Sorted: the keywords of libpcap 1.10. A word that a later one knows must not be here, since an older one would look
 * it up. The constants that begin with icmp- icmp6- tcp- are apart.
 */
static const struct {
	const char *text;
	enum word word;
} words[] = {
	{ "aarp", WORD_OTHER },	      { "action", WORD_VALUE },	     { "addr1", WORD_OTHER },
	{ "addr2", WORD_OTHER },      { "addr3", WORD_OTHER },	     { "addr4", WORD_OTHER },
	{ "address1", WORD_OTHER },   { "address2", WORD_OTHER },    { "address3", WORD_OTHER },
	{ "address4", WORD_OTHER },   { "ah", WORD_OTHER },	     { "and", WORD_JOIN },
	{ "arp", WORD_OTHER },	      { "atalk", WORD_OTHER },	     { "bcc", WORD_OTHER },
	{ "broadcast", WORD_OTHER },  { "byte", WORD_OTHER },	     { "carp", WORD_OTHER },
	{ "clnp", WORD_OTHER },	      { "connectmsg", WORD_OTHER },  { "csnp", WORD_OTHER },
	{ "decnet", WORD_OTHER },     { "dir", WORD_VALUE },	     { "direction", WORD_VALUE },
	{ "dpc", WORD_OTHER },	      { "dst", WORD_OTHER },	     { "es-is", WORD_OTHER },
	{ "esis", WORD_OTHER },	      { "esp", WORD_OTHER },	     { "ether", WORD_OTHER },
	{ "fddi", WORD_OTHER },	      { "fisu", WORD_OTHER },	     { "gateway", WORD_OTHER },
	{ "geneve", WORD_OTHER },     { "greater", WORD_OTHER },     { "hdpc", WORD_OTHER },
	{ "hfisu", WORD_OTHER },      { "hlssu", WORD_OTHER },	     { "hmsu", WORD_OTHER },
	{ "hopc", WORD_OTHER },	      { "host", WORD_OTHER },	     { "hsio", WORD_OTHER },
	{ "hsls", WORD_OTHER },	      { "icmp", WORD_OTHER },	     { "icmp6", WORD_OTHER },
	{ "icmp6code", WORD_OTHER },  { "icmp6type", WORD_OTHER },   { "icmpcode", WORD_OTHER },
	{ "icmptype", WORD_OTHER },   { "ifindex", WORD_OTHER },     { "ifname", WORD_VALUE },
	{ "igmp", WORD_OTHER },	      { "igrp", WORD_OTHER },	     { "iih", WORD_OTHER },
	{ "ilmic", WORD_OTHER },      { "inbound", WORD_OTHER },     { "ip", WORD_OTHER },
	{ "ip6", WORD_OTHER },	      { "ipx", WORD_OTHER },	     { "is-is", WORD_OTHER },
	{ "isis", WORD_OTHER },	      { "iso", WORD_OTHER },	     { "l1", WORD_OTHER },
	{ "l2", WORD_OTHER },	      { "lane", WORD_OTHER },	     { "lat", WORD_OTHER },
	{ "len", WORD_OTHER },	      { "length", WORD_OTHER },	     { "less", WORD_OTHER },
	{ "link", WORD_OTHER },	      { "llc", WORD_VALUE },	     { "lsp", WORD_OTHER },
	{ "lssu", WORD_OTHER },	      { "lsu", WORD_OTHER },	     { "mask", WORD_OTHER },
	{ "metac", WORD_OTHER },      { "metaconnect", WORD_OTHER }, { "mopdl", WORD_OTHER },
	{ "moprc", WORD_OTHER },      { "mpls", WORD_OTHER },	     { "msu", WORD_OTHER },
	{ "multicast", WORD_OTHER },  { "net", WORD_OTHER },	     { "netbeui", WORD_OTHER },
	{ "not", WORD_JOIN },	      { "oam", WORD_OTHER },	     { "oamf4", WORD_OTHER },
	{ "oamf4ec", WORD_OTHER },    { "oamf4sc", WORD_OTHER },     { "on", WORD_VALUE },
	{ "opc", WORD_OTHER },	      { "or", WORD_JOIN },	     { "outbound", WORD_OTHER },
	{ "pim", WORD_OTHER },	      { "port", WORD_VALUE },	     { "portrange", WORD_VALUE },
	{ "ppp", WORD_OTHER },	      { "pppoed", WORD_OTHER },	     { "pppoes", WORD_OTHER },
	{ "proto", WORD_VALUE },      { "protochain", WORD_VALUE },  { "psnp", WORD_OTHER },
	{ "ra", WORD_OTHER },	      { "radio", WORD_OTHER },	     { "rarp", WORD_OTHER },
	{ "reason", WORD_VALUE },     { "rnr", WORD_OTHER },	     { "rset", WORD_VALUE },
	{ "rulenum", WORD_OTHER },    { "ruleset", WORD_VALUE },     { "sc", WORD_OTHER },
	{ "sca", WORD_OTHER },	      { "sctp", WORD_OTHER },	     { "sio", WORD_OTHER },
	{ "slip", WORD_OTHER },	      { "sls", WORD_OTHER },	     { "snp", WORD_OTHER },
	{ "src", WORD_OTHER },	      { "srnr", WORD_OTHER },	     { "stp", WORD_OTHER },
	{ "subrulenum", WORD_OTHER }, { "subtype", WORD_VALUE },     { "ta", WORD_OTHER },
	{ "tcp", WORD_OTHER },	      { "tcpflags", WORD_OTHER },    { "tr", WORD_OTHER },
	{ "type", WORD_VALUE },	      { "udp", WORD_OTHER },	     { "vci", WORD_OTHER },
	{ "vlan", WORD_OTHER },	      { "vpi", WORD_OTHER },	     { "vrrp", WORD_OTHER },
	{ "wlan", WORD_OTHER },
};

/* Not a keyword until it is whole: `icmp-foo` is a host to libpcap. */
static const char *const constants[] = {
	"icmp-echo",
	"icmp-echoreply",
	"icmp-ireq",
	"icmp-ireqreply",
	"icmp-maskreply",
	"icmp-maskreq",
	"icmp-paramprob",
	"icmp-redirect",
	"icmp-routeradvert",
	"icmp-routersolicit",
	"icmp-sourcequench",
	"icmp-timxceed",
	"icmp-tstamp",
	"icmp-tstampreply",
	"icmp-unreach",
	"icmp6-certpathadvert",
	"icmp6-certpathsolicit",
	"icmp6-destinationunreach",
	"icmp6-echo",
	"icmp6-echoreply",
	"icmp6-homeagentdiscoveryreply",
	"icmp6-homeagentdiscoveryrequest",
	"icmp6-ineighbordiscoveryadvert",
	"icmp6-ineighbordiscoverysolicit",
	"icmp6-mobileprefixadvert",
	"icmp6-mobileprefixsolicit",
	"icmp6-multicastlistenerdone",
	"icmp6-multicastlistenerquery",
	"icmp6-multicastlistenerreportv1",
	"icmp6-multicastlistenerreportv2",
	"icmp6-multicastrouteradvert",
	"icmp6-multicastroutersolicit",
	"icmp6-multicastrouterterm",
	"icmp6-neighboradvert",
	"icmp6-neighborsolicit",
	"icmp6-nodeinformationquery",
	"icmp6-nodeinformationresponse",
	"icmp6-packettoobig",
	"icmp6-parameterproblem",
	"icmp6-redirect",
	"icmp6-routeradvert",
	"icmp6-routerrenum",
	"icmp6-routersolicit",
	"icmp6-timeexceeded",
	"tcp-ack",
	"tcp-cwr",
	"tcp-ece",
	"tcp-fin",
	"tcp-push",
	"tcp-rst",
	"tcp-syn",
	"tcp-urg",
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* [A-Za-z0-9]([-_.A-Za-z0-9]*[.A-Za-z0-9])?, the longest; 0: none begins here. */
static size_t word_len(const char *s)
{
	size_t n = 0, len = 0;

	if (!is_alnum(s[0]))
		return 0;
	for (; is_alnum(s[n]) || s[n] == '-' || s[n] == '_' || s[n] == '.'; n++)
		if (s[n] != '-' && s[n] != '_')
			len = n + 1;
	return len;
}

/* Decimal digits, or 0x and hex ones: how many bytes of s. */
static size_t number_len(const char *s, size_t n)
{
	size_t len = 0;

	if (n > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') && is_hex(s[2])) {
		for (len = 2; len < n && is_hex(s[len]);)
			len++;
		return len;
	}
	while (len < n && is_digit(s[len]))
		len++;
	return len;
}

/* One to four numbers with dots between: 80, 0x50, 10.1, 10.0.0.1 */
static bool is_number(const char *s, size_t n)
{
	for (int parts = 0; parts < 4; parts++) {
		size_t len = number_len(s, n);

		if (len == 0)
			return false;
		if (len == n)
			return true;
		if (s[len] != '.')
			return false;
		s += len + 1;
		n -= len + 1;
	}
	return false;
}

/* `groups` groups of min to max hex digits with `separator` between. */
static bool is_groups(const char *s, size_t n, char separator, int groups, size_t min, size_t max)
{
	size_t at = 0;

	for (int i = 0; i < groups; i++) {
		size_t len = 0;

		if (i > 0 && (at == n || s[at++] != separator))
			return false;
		while (at < n && is_hex(s[at]) && len < max)
			at++, len++;
		if (len < min)
			return false;
	}
	return at == n;
}

static bool is_mac(const char *s, size_t n)
{
	return is_groups(s, n, ':', 6, 1, 2) || is_groups(s, n, '-', 6, 1, 2) ||
	       is_groups(s, n, '.', 6, 1, 2) || is_groups(s, n, '.', 3, 4, 4) ||
	       is_groups(s, n, '.', 1, 12, 12);
}

static bool is_ip6(const char *s, size_t n)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (n >= sizeof(text) || !memchr(s, ':', n))
		return false;
	memcpy(text, s, n);
	text[n] = '\0';
	return inet_pton(AF_INET6, text, &addr) == 1;
}

/* Order of the n bytes at s and a whole string. */
static int word_order(const char *s, size_t n, const char *text)
{
	int order = strncmp(s, text, n);

	return order ? order : text[n] ? -1 : 0;
}

static bool is_constant(const char *s, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(constants); i++)
		if (word_order(s, n, constants[i]) == 0)
			return true;
	return false;
}

static bool is_keyword(const char *s, size_t n, enum word *ret_word)
{
	size_t low = 0, high = ARRAY_SIZE(words);

	while (low < high) {
		size_t mid = (low + high) / 2;
		int order = word_order(s, n, words[mid].text);

		if (order == 0) {
			*ret_word = words[mid].word;
			return true;
		}
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return false;
}

/* What begins at s, as libpcap's scanner cuts it; a colon belongs to an address, except between brackets. */
static size_t token_len(const char *s, bool brackets)
{
	size_t n = 0;

	if (s[0] == '\\')
		return 1 + strcspn(s + 1, " !()\n\t");
	if (s[0] == '$' && is_hex(s[1]))
		return is_hex(s[2]) ? 3 : 2;
	if (!brackets) {
		while (is_hex(s[n]) || s[n] == ':' || s[n] == '.')
			n++;
		if (is_mac(s, n) || is_ip6(s, n))
			return n;
	}
	n = word_len(s);
	return n ? n : 1;
}

int pf_pcap_names(const char *text, struct pf_error *error)
{
	bool value = false; /* an identifier would not be a host */
	int brackets = 0;
	size_t n;

	for (const char *s = text; *s; s += n) {
		enum word word = WORD_OTHER;

		n = token_len(s, brackets > 0);
		if (*s == '[' || *s == ']')
			brackets += *s == '[' ? 1 : -1;
		if (*s != '\\') {
			if (!is_alnum(*s) || is_number(s, n) || is_mac(s, n) || is_ip6(s, n))
				continue;
			if (is_constant(s, n) || is_keyword(s, n, &word)) {
				value = word == WORD_JOIN ? value : word == WORD_VALUE;
				continue;
			}
		}
		if (!value)
			return pf_fail_at(error, EINVAL, 1, (unsigned)(s - text) + 1,
					  "'%.*s' is neither a word of pcap-filter(7) nor an address "
					  "(host names are not looked up)",
					  (int)pfs_min(n, 64), s);
	}
	return 0;
}
