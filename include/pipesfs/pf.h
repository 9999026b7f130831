/*
 * pf - packet filters: text or bytes in, an immutable program out
 *
 * The library opens no file and no socket, prints nothing and keeps nothing between calls. A
 * program is made once, never changes, may be run by any number of threads, and is freed by the
 * last pf_unref().
 *
 *	struct pf_error error;
 *	struct pf_prog *prog;
 *
 *	if (pf_compile("pcap", "tcp port 80", 11, NULL, &prog, &error) < 0)
 *		errx(1, "%s", error.text);
 *	if (pf_run(prog, &packet))
 *		...
 *	pf_unref(prog);
 *
 * What a program means is in docs/ir.md, the same for every language and every back end. Functions
 * return 0 (or a count) or a negative errno value; `error` (which may be NULL) then holds a
 * sentence. Outputs are set on success only.
 */
#ifndef PIPESFS_PF_H
#define PIPESFS_PF_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pf_prog;

struct pf_error {
	char text[256];	 /* one sentence, no newline */
	unsigned line;	 /* of a text, from 1; 0: it does not matter */
	unsigned column; /* likewise */
};

/* --- packets --------------------------------------------------------------------------------- */

/* What is known of a packet beside its bytes: the ancillary data of Linux's classic BPF. */
enum pf_aux_field {
	PF_AUX_PROTOCOL,     /* proto: the ethertype as the kernel sees it */
	PF_AUX_PKTTYPE,	     /* type: 0 to us, 1 broadcast, 2 multicast, 3 to others, 4 outgoing */
	PF_AUX_IFINDEX,	     /* ifidx */
	PF_AUX_MARK,	     /* mark */
	PF_AUX_QUEUE,	     /* queue */
	PF_AUX_HATYPE,	     /* hatype: the ARPHRD_ type of the device */
	PF_AUX_RXHASH,	     /* rxhash */
	PF_AUX_CPU,	     /* cpu */
	PF_AUX_VLAN_TCI,     /* vlan_tci: the tag that is not among the bytes */
	PF_AUX_VLAN_PRESENT, /* vlan_avail: 1 when there is one */
	PF_AUX_VLAN_TPID,    /* vlan_tpid */
	PF_AUX_PAYLOAD,	     /* poff: where the kernel thinks that the payload begins */
	PF_AUX_RANDOM,	     /* rand: one number for the whole run */
	PF_AUX_FIELDS
};

struct pf_aux {
	uint32_t known; /* bit i: value[i] counts; a filter that asks for another one rejects */
	uint32_t value[PF_AUX_FIELDS];
};

struct pf_packet {
	const uint8_t *data;
	uint32_t caplen;	  /* bytes at data */
	uint32_t len;		  /* of the packet on the wire: what `len` means */
	const struct pf_aux *aux; /* NULL: nothing is known */
};

/* --- compiling ------------------------------------------------------------------------------- */

/* Back ends that this machine can run. */
enum pf_engine {
	PF_ENGINE_BEST,	  /* native code where there is any, else the interpreter */
	PF_ENGINE_INTERP, /* portable */
	PF_ENGINE_NATIVE  /* -ENOTSUP where there is none */
};

#define PF_ALL_PASSES UINT64_MAX

struct pf_options {
	size_t size; /* sizeof(struct pf_options), so that it can grow */
	enum pf_engine engine;
	uint64_t without;   /* bit i: leave out pass i (see pf_pass_name); PF_ALL_PASSES: all */
	uint16_t link_type; /* pcap, cspf: LINKTYPE_ value */
	uint8_t big_endian; /* pcap: byte order of a capture whose link header is in that of its host */
	uint8_t little_words; /* cspf: packet words are little endian, as `.order little` says in a text */
	uint32_t snaplen; /* pcap, cspf, dpf: what a match returns */
	/* Called before the first pass (pass NULL) and after each that changed something; may be NULL. */
	void (*trace)(void *arg, const char *pass, const char *listing);
	void *trace_arg;
};

/* The best engine, all passes, Ethernet, whole packets. What pf_compile() takes for a NULL. */
#define PF_OPTIONS_INIT                                                                   \
	{                                                                                 \
		sizeof(struct pf_options), PF_ENGINE_BEST, 0, 1, 0, 0, 262144, NULL, NULL \
	}

/*
 * Languages: "pcap" (the expressions of pcap-filter(7)), "bpf" (classic BPF: the listings of tcpdump -d, -dd and
 * -ddd, assembler with labels), "cspf" (pf-cspf(7)), "mpf" (pf-mpf(7)), "dpf" (lists of atoms, pf-dpf(7)) and "xpf"
 * (classic BPF with memory and loops, pf-xpf(7)). -EINVAL: not understood; -ENOENT: no such language; -E2BIG: larger
 * than any use for it; -ENOMEM.
 */
int pf_compile(const char *language, const char *text, size_t len, const struct pf_options *options,
	       struct pf_prog **ret_prog, struct pf_error *error);

/* Names of the languages and of the passes in their order; NULL behind the last. */
const char *pf_language_name(unsigned i);
const char *pf_pass_name(unsigned i);
const char *pf_pass_summary(unsigned i);

struct pf_prog *pf_ref(struct pf_prog *prog); /* NULL is fine for both */
void pf_unref(struct pf_prog *prog);

/* --- running --------------------------------------------------------------------------------- */

/* How many bytes of the packet to keep; 0: reject. With memory (below) each run finds it anew, zero. */
uint32_t pf_run(const struct pf_prog *prog, const struct pf_packet *packet);

/*
 * What pf_run() calls, for those who call it often: code(packet, self). Both are there as long as the program.
 */
typedef uint32_t(pf_code_fn)(const struct pf_packet *packet, const void *self);
pf_code_fn *pf_get_code(const struct pf_prog *prog, const void **ret_self);

/* The same for n packets: results[i] is what pf_run() says of packets[i]. */
void pf_run_batch(const struct pf_prog *prog, const struct pf_packet *packets, size_t n,
		  uint32_t *results);

/* --- sets ------------------------------------------------------------------------------------ */

/*
 * Any number of filters, asked about a packet at once. Filters that differ in constants only (addresses, ports,
 * ...) are one program and a table of their constants, so a thousand of them cost about what one costs, and one
 * more is a line in that table: nothing is compiled. The rest is merged, as far as programs stay small. See
 * the manual pf_set.
 *
 *	pf_set_add(set, prog, NULL, &id, &error);	any thread
 *	n = pf_set_run(reader, &packet, match, 16);	each thread with a reader of its own
 *	for (i = 0; i < n && i < 16; i++)
 *		... match[i].id ...
 *
 * Threads: add and remove may be called by any, at any time (they wait for each other), also while others run. A reader
 * is for one thread at a time. Each run sees a set as it was at some moment since pf_set_enter().
 */
struct pf_set;
struct pf_set_reader;

struct pf_member {
	size_t size;	  /* sizeof(struct pf_member) */
	int32_t priority; /* greater ones come first; of those that are equal, the lesser number */
	uint8_t consumes; /* who comes behind it does not get what it accepts */
	uint8_t unused[3];
};

/*
 * As a CSPF kernel had them (pf-cspf(7)): priorities from 0 to 255, and who has 100 or more consumes what he accepts.
 */
#define PF_PRIORITY_MAX 255
#define PF_PRIORITY_HIGH 100
#define PF_MEMBER_CSPF(priority)                                                              \
	{                                                                                     \
		sizeof(struct pf_member), (priority), (priority) >= PF_PRIORITY_HIGH ? 1 : 0, \
		{                                                                             \
			0, 0, 0                                                               \
		}                                                                             \
	}

struct pf_match {
	uint32_t id;   /* of the member */
	uint32_t keep; /* bytes, as its filter says */
	int32_t priority;
	uint32_t consumes;
};

/* What is in it: engine, passes to leave out. NULL: the best engine, all passes. 0, -EINVAL, -ENOMEM. */
int pf_set_new(const struct pf_options *options, struct pf_set **ret_set, struct pf_error *error);
/* No reader may be left. NULL is fine. */
void pf_set_free(struct pf_set *set);

/*
 * The program may go afterwards. how: NULL for priority 0. Numbers are from 1 on, and used again. 0, -E2BIG,
 * -ENOMEM; -ENOTSUP: it has memory.
 */
int pf_set_add(struct pf_set *set, const struct pf_prog *prog, const struct pf_member *how,
	       uint32_t *ret_id, struct pf_error *error);
/* Runs that begin later do not name it. 0; -ENOENT: it is no member. */
int pf_set_remove(struct pf_set *set, uint32_t id);

int pf_set_reader_new(struct pf_set *set, struct pf_set_reader **ret_reader);
void pf_set_reader_free(struct pf_set_reader *reader); /* NULL is fine */

/*
 * How many members accept the packet; the first `max` of them, in order, into ret. Between enter and leave, which cost
 * about as much as a short filter, there may be many runs: a batch. Outside of them a run does both by itself. What was
 * taken out of the set goes when those who were inside have left, so nobody should stay.
 */
size_t pf_set_run(struct pf_set_reader *reader, const struct pf_packet *packet,
		  struct pf_match *ret, size_t max);
void pf_set_enter(struct pf_set_reader *reader);
void pf_set_leave(struct pf_set_reader *reader);

struct pf_set_info {
	size_t size; /* sizeof(struct pf_set_info), set by the caller */
	uint32_t members;
	uint32_t shapes;   /* filters that differ in more than constants */
	uint32_t programs; /* that are run for each packet */
	uint64_t compiled; /* programs that were made since the beginning */
};

int pf_set_get_info(struct pf_set *set, struct pf_set_info *info);
/* All programs as one, behind the passes: "merged" or "dot". *ret_text is to be freed by free(3). */
int pf_set_dump(struct pf_set *set, const char *stage, char **ret_text, struct pf_error *error);

/* --- memory ---------------------------------------------------------------------------------- */

/*
 * What a program in xPF keeps from packet to packet: words of 32 bits, zero at first. Any number of instances of one
 * program, each for one thread at a time, whoever reads it too.
 */
struct pf_state;

/* Of a program without memory, too. It holds a reference to the program. 0, -ENOMEM. */
int pf_state_new(struct pf_prog *prog, struct pf_state **ret_state, struct pf_error *error);
void pf_state_free(struct pf_state *state); /* NULL is fine */

uint32_t pf_run_state(struct pf_state *state, const struct pf_packet *packet);

/* 0; -ERANGE: there is no such word. pf_info has how many there are. */
int pf_state_read(const struct pf_state *state, uint32_t word, uint32_t *ret_value);
/* A word, or a pair as one number, by the name that the program gives it. 0; -ENOENT. */
int pf_state_cell(const struct pf_state *state, const char *name, uint64_t *ret_value);

/* The names; NULL behind the last. And what the i-th has in a copy of the words, from a kernel's map for example. */
const char *pf_cell_name(const struct pf_prog *prog, unsigned i);
uint64_t pf_cell_value(const struct pf_prog *prog, unsigned i, const uint32_t *words);

/* --- classic BPF ----------------------------------------------------------------------------- */

/* An instruction as struct sock_filter and struct bpf_insn of others have it. */
struct pf_insn {
	uint16_t code;
	uint8_t jt, jf;
	uint32_t k;
};

/* The same as pf_compile() for a program of n instructions. */
int pf_compile_insns(const struct pf_insn *insns, size_t n, const struct pf_options *options,
		     struct pf_prog **ret_prog, struct pf_error *error);

/*
 * The program as classic BPF. *ret_insns is to be freed by free(3). For SO_ATTACH_FILTER say
 * PF_CBPF_LINUX: where Linux computes something else than libpcap's interpreter does (docs/ir.md),
 * the code then gets the same result there; and it has no more instructions than Linux takes.
 * -ENOTSUP: it cannot be said in classic BPF; -E2BIG: in so many instructions, or with more than 16
 * scratch words.
 */
#define PF_CBPF_LINUX 1u

int pf_emit_cbpf(const struct pf_prog *prog, unsigned flags, struct pf_insn **ret_insns,
		 size_t *ret_n, struct pf_error *error);

/*
 * Makes the program, as classic BPF for Linux, the filter of a socket of any kind (SO_ATTACH_FILTER), in place of the
 * one that it had. What the filter is shown, and what `len` is then, depends on the kind: whole frames for a packet
 * socket (SOCK_DGRAM: without link header), what follows the IP header for UDP and TCP, the bytes that were sent for
 * Unix and netlink sockets. A result above 0 that is less than a packet cuts it.
 *
 * A socket that has messages drops those that it has got so far, so that from then on it has only what the filter let
 * through; not with PF_ATTACH_KEEP. A stream keeps its bytes; segments that the filter of a TCP socket rejects are sent
 * again by the peer until it gives up. With PF_ATTACH_LOCK (SO_LOCK_FILTER) nobody can change or remove it any more.
 *
 * 0; when it fails the socket has the filter that it had: -EPERM: that is locked; -ENOMEM: the kernel has no room for
 * it (net.core.optmem_max); -E2BIG, -ENOTSUP: see pf_emit_cbpf(); -EINVAL: unknown flags; -EBADF, -ENOTSOCK.
 */
#define PF_ATTACH_KEEP 1u
#define PF_ATTACH_LOCK 2u

int pf_attach(int fd, const struct pf_prog *prog, unsigned flags, struct pf_error *error);

/*
 * The program as eBPF, for the program types whose context is a socket buffer (socket filters,
 * traffic control, cgroups): an array of struct bpf_insn, to be freed by free(3). It returns the
 * result. -ENOTSUP: it cannot be said in eBPF; -E2BIG.
 */
int pf_emit_ebpf(const struct pf_prog *prog, uint64_t **ret_insns, size_t *ret_n,
		 struct pf_error *error);
/*
 * The same with the descriptor of a map for the memory: an array, best one for each CPU (then each CPU has an instance
 * of its own, and counts are to be added up), of one value with room for all words. Loops need Linux 6.9.
 */
int pf_emit_ebpf_map(const struct pf_prog *prog, int map, uint64_t **ret_insns, size_t *ret_n,
		     struct pf_error *error);

/* --- CSPF ------------------------------------------------------------------------------------ */

/* The same as pf_compile() for the n words of a CSPF program, which are numbers: byte order does not matter to them. */
int pf_compile_words(const uint16_t *words, size_t n, const struct pf_options *options,
		     struct pf_prog **ret_prog, struct pf_error *error);

/* --- sessions: MPF --------------------------------------------------------------------------- */

/*
 * Many endpoints whose filters differ in their keys alone (pf-mpf(7)): one program for all of them, a table of keys,
 * and for fragments a table of what the first ones have registered. What a packet costs does not depend on how many
 * sessions there are; adding one compiles nothing.
 *
 * Packets that have to wait stay with the caller, who gives each a number; nothing of them is kept but that. Time is
 * the packets' own, in ns, whatever it counts from.
 *
 * Threads: one at a time for each struct pf_sessions. The callbacks may not call its functions.
 */
struct pf_sessions;

enum pf_drop {
	PF_DROP_TIMEOUT, /* nothing has registered what it waited for */
	PF_DROP_FULL,	 /* others wait, too, and it waited longest */
	PF_DROP_END	 /* pf_sessions_flush() */
};

struct pf_sessions_options {
	size_t size;	    /* sizeof(struct pf_sessions_options) */
	uint32_t sessions;  /* at most; 65536 */
	uint32_t datagrams; /* that are remembered at a time, at most; 4096 */
	uint32_t waiting;   /* packets, at most; 1024 */
	/* The first `accept` bytes of the packet are for that session (those that there are). */
	void (*deliver)(void *arg, uint64_t session, uint64_t packet, uint32_t accept);
	/* One that waited is for nobody. */
	void (*drop)(void *arg, uint64_t packet, enum pf_drop why);
	void *arg;
};

#define PF_SESSIONS_OPTIONS_INIT                                                        \
	{                                                                               \
		sizeof(struct pf_sessions_options), 65536, 4096, 1024, NULL, NULL, NULL \
	}

/*
 * program: len bytes of MPF, as text or as an array of struct pf_insn; its own keys do not count, they only say how
 * many there are. options: how it is compiled, or NULL. -EINVAL: it asks for no session, or deliver is missing, or as
 * pf_compile(); -E2BIG, -ENOMEM.
 */
int pf_sessions_new(const char *program, size_t len, const struct pf_options *options,
		    const struct pf_sessions_options *sessions, struct pf_sessions **ret_sessions,
		    struct pf_error *error);
void pf_sessions_free(struct pf_sessions *s); /* NULL is fine. Nothing is called. */

/* How many keys each session has. */
unsigned pf_sessions_keys(const struct pf_sessions *s);
/* Those in the program that it was made of, pf_sessions_keys() of them. */
void pf_sessions_own_keys(const struct pf_sessions *s, uint32_t *ret_keys);
/* The graph of the program, with what it does if a session is found and if not. To be freed by free(3). */
int pf_sessions_dump(const struct pf_sessions *s, char **ret_text, struct pf_error *error);
/* -EEXIST: these are another one's; -ENOSPC: there are so many already; -EINVAL: another number of keys; -ENOMEM. */
int pf_sessions_add(struct pf_sessions *s, const uint32_t *keys, unsigned n, uint64_t session,
		    struct pf_error *error);
/* The session of a program that is the same but for its keys. -EINVAL: it is not. */
int pf_sessions_add_program(struct pf_sessions *s, const char *program, size_t len,
			    uint64_t session, struct pf_error *error);
/* What it has registered is forgotten. -ENOENT. */
int pf_sessions_remove(struct pf_sessions *s, const uint32_t *keys, unsigned n);

/* What became of the packet that was given. */
enum pf_session_verdict {
	PF_SESSION_REJECTS, /* for nobody */
	PF_SESSION_DELIVERS, /* deliver was called for it, then maybe for others that waited for it */
	PF_SESSION_WAITS     /* deliver or drop will be called for it */
};

enum pf_session_verdict pf_sessions_run(struct pf_sessions *s, const struct pf_packet *packet,
					uint64_t time, uint64_t number);
/* Drops what has waited too long at that time; pf_sessions_run() does so itself. */
void pf_sessions_expire(struct pf_sessions *s, uint64_t time);
/* Drops all that waits. */
void pf_sessions_flush(struct pf_sessions *s);
/* Drops the one that has waited longest, since its caller has no room for all of them; -ENOENT: none waits. */
int pf_sessions_shed(struct pf_sessions *s);

struct pf_sessions_counters {
	size_t size;		     /* sizeof(struct pf_sessions_counters), set by the caller */
	uint64_t sessions;	     /* that there are now */
	uint64_t datagrams, waiting; /* likewise */
	uint64_t packets;	     /* given to pf_sessions_run() */
	uint64_t delivered;	     /* at once or later */
	uint64_t rejected;
	uint64_t postponed;		/* had to wait */
	uint64_t timeouts, full, ended; /* waited and were dropped, by enum pf_drop */
	uint64_t registered;		/* data, by first fragments */
	uint64_t forgotten;		/* of those, before their time, because there were more */
};

/* packets = delivered + rejected + waiting + timeouts + full + ended. -EINVAL: a size that is not known. */
int pf_sessions_count(const struct pf_sessions *s, struct pf_sessions_counters *counters);

/* --- looking --------------------------------------------------------------------------------- */

struct pf_info {
	size_t size;	 /* sizeof(struct pf_info), set by the caller */
	uint32_t fields; /* bit i: the filter asks for enum pf_aux_field i */
	uint32_t tests;	 /* branches behind the passes */
	uint32_t native; /* bytes of native code; 0: the interpreter runs it */
	uint32_t memory; /* words that stay from packet to packet */
};

/* 0; -EINVAL: a size that this release does not know. */
int pf_get_info(const struct pf_prog *prog, struct pf_info *info);

/*
 * A listing of a stage: "ir" (as the front end made it), "opt" (behind the passes), "dot" (the same for graphviz),
 * "cbpf", "ebpf", "x86" (code), "smt" (that the stages agree, for a solver that reads SMT-LIB 2: each answer `unsat` is
 * a proof, for packets of up to 256 bytes). *ret_text is to be freed by free(3).
 */
int pf_dump(const struct pf_prog *prog, const char *stage, char **ret_text, struct pf_error *error);
const char *pf_stage_name(unsigned i);

#ifdef __cplusplus
}
#endif

#endif
