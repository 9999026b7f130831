/*
 * demo - a capture through a mounted pipeline, shown step by step, and checked
 *
 * Needs no network, no capture file, no root and no answers: the capture is made by our own generator, which knows
 * what it put in, so that every number shown is compared with what it must be.
 */
#include "cmd/cmd.h"
#include "cmd/demo_i.h"
#include "cmd/options.h"
#include "cmd/tree.h"
#include "packet/generate.h"

#include <fcntl.h>
#include <stdio.h>

#define PIPELINE "p/accept/unpcap/ip/httpplus"

/* A mount is possible, as far as one can know before. */
static bool can_mount(void)
{
	PFS_CLOSE int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0 && (!geteuid() || demo_has("fusermount3")))
		return true;
	if (fd >= 0)
		pfs_say("without fusermount3 only root can mount: install the package fuse3, or start this as root");
	else if (errno == EACCES)
		pfs_say("/dev/fuse is closed to you: start this as root, or let root say  chmod 0666 /dev/fuse");
	else
		pfs_say("/dev/fuse: %s; `pipesfs doctor` tells what to do", strerror(errno));
	return false;
}

/* IPv4 only, so that what `ip` passes on is all of HTTP; small bodies, so that there are many requests. -errno. */
static int make_capture(const char *path, struct generate_counts *ret_counts)
{
	struct generate_options options = GENERATE_DEFAULTS;
	PFS_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	options.packets = 5000;
	options.ip6 = 0;
	options.body_max = 20000;
	return fd < 0 ? -errno : capture_generate_fd(&options, fd, ret_counts);
}

/* `demo --capture FILE` */
static int only_capture(const char *path)
{
	struct generate_counts counts = { 0 };
	int r = make_capture(path, &counts);

	if (r < 0)
		return pfs_fail("cannot make %s: %s", path, strerror(-r));
	printf("%s: %llu packets, %llu of them IPv4, with %llu GET requests\n", path,
	       (unsigned long long)counts.packets, (unsigned long long)counts.of[GENERATE_IP],
	       (unsigned long long)counts.of[GENERATE_HTTP_GET]);
	return 0;
}

struct readers {
	const char *tool; /* the program that reads the capture, NULL: there is none */
	size_t text;	  /* children */
	size_t packets;
};

static bool all_attached(void *arg)
{
	const struct readers *readers = arg;

	return demo_readers(PIPELINE "/get") >= (readers->tool ? 2 : 1);
}

static void start_readers(struct demo *demo, struct readers *readers)
{
	demo_say(demo,
		 "\nReaders first: nothing has come yet, so they wait. Both read the class `get` of httpplus,");
	demo_say(demo, "one as text, one as a capture file.");
	readers->text = demo_start(demo, "cat %s/get/all.txt >get.txt", PIPELINE);
	readers->tool = demo_has("tcpdump") ? "tcpdump" : demo_has("tshark") ? "tshark" : NULL;
	if (readers->tool)
		readers->packets = demo_start(demo,
					      "%s -n -r %s/get/all.pcapng >get.packets 2>get.err",
					      readers->tool, PIPELINE);
	else
		demo_say(demo, "(Neither tcpdump nor tshark is here: the second reader is left out.)");
	demo_wait_for(demo, "the readers to open their pipes", 20, all_attached, readers);
}

static void pour(struct demo *demo, const struct readers *readers)
{
	demo_say(demo,
		 "\nNow the capture goes in. When cat closes the pipe, both readers come to the end.");
	demo_do(demo, "cat trace.pcap >p/accept/all");
	demo_join(demo, readers->text, 20);
	if (readers->tool)
		demo_join(demo, readers->packets, 20);
}

static void show(struct demo *demo, const struct readers *readers)
{
	demo_say(demo, "\nThe GET requests as text: a line that sums it up, then the bytes.");
	demo_do(demo, "head -n 11 get.txt | cut -c 1-90");
	demo_say(demo, "\nThe last of them, without what TCP has to say.");
	demo_do(demo, "sed -n 's/ tcp .* HTTP/ HTTP/p' get.txt | tail -n 5");
	if (readers->tool) {
		demo_say(demo, "\nThe same packets, as %s read them.", readers->tool);
		demo_do(demo,
			"sed 's/Flags.*length/length/' get.packets | head -n 5; wc -l <get.packets");
	}
	demo_say(demo, "\nEvery directory counted.");
	demo_do(demo, "pipesfs ls p");
}

static uint64_t sum_lost(const struct tree_dir *dir)
{
	uint64_t lost = tree_number(dir, "lost");

	for (size_t i = 0; i < dir->nchildren; i++)
		lost += sum_lost(dir->child[i]);
	return lost;
}

static void judge(struct demo *demo, const struct readers *readers, const struct generate_counts *want)
{
	TREE struct tree_dir *tree = NULL;
	uint64_t gets = want->of[GENERATE_HTTP_GET];
	int r;

	if (!demo_ok(demo))
		return;
	r = tree_read("p", 16, &tree);
	if (r < 0) {
		demo_fail(demo, r, "cannot read the tree: %s", strerror(-r));
		return;
	}
	demo_say(demo, "\nWhoever made the capture knows what is in it:");
	demo_check(demo, "packets", tree_number(tree_at(tree, "accept/unpcap"), "out"), want->packets);
	demo_check(demo, "of them IPv4", tree_number(tree_at(tree, "accept/unpcap/ip"), "out"),
		   want->of[GENERATE_IP]);
	demo_check(demo, "HTTP messages",
		   tree_number(tree_at(tree, "accept/unpcap/ip/httpplus"), "messages"),
		   want->of[GENERATE_HTTP_REQUEST] + want->of[GENERATE_HTTP_RESPONSE]);
	demo_check(demo, "GET requests",
		   tree_number(tree_at(tree, "accept/unpcap/ip/httpplus/get"), "out"), gets);
	demo_check(demo, "GET requests in get.txt", demo_count_lines("get.txt", "HTTP GET"), gets);
	if (readers->tool)
		demo_check(demo, "GET requests in get.packets", demo_count_lines("get.packets", ""),
			   gets);
	demo_check(demo, "records lost", sum_lost(tree), 0);
}

static void play(struct demo *demo)
{
	struct generate_counts want = { 0 };
	struct readers readers = { 0 };
	int r;

	demo_say(demo,
		 "\nA capture file to play with, made here and now. All of this is removed at the end.");
	demo_do(demo, "pipesfs demo --capture trace.pcap");
	r = make_capture("/dev/null", &want); /* the same again, for its counts */
	if (r < 0)
		demo_fail(demo, r, "cannot make a capture: %s", strerror(-r));
	demo_say(demo, "\nMount the tree.");
	demo_do(demo, "mkdir p");
	demo_undo(demo,
		  "if grep -q ' %s/p fuse' /proc/mounts; then pipesfs umount p || umount -l p; fi",
		  demo->dir);
	demo_do(demo, "pipesfs mount p");
	demo_say(demo,
		 "\nA directory is a running filter, a path is a pipeline. This one takes a capture file as it is");
	demo_say(demo, "written into accept, keeps IPv4, and finds HTTP messages.");
	demo_do(demo, "mkdir -p %s", PIPELINE);
	start_readers(demo, &readers);
	pour(demo, &readers);
	show(demo, &readers);
	judge(demo, &readers, &want);
	demo_say(demo, "\nAnd away.");
	demo_do(demo, "pipesfs umount p");
}

static int demo_run(int argc, char **argv)
{
	struct demo demo;
	const char *capture = NULL;
	bool live = false;
	int c;

	while ((c = pfs_getopt(&pfs_cmd_demo, argc, argv)) != -1) {
		if (c == 'c')
			capture = optarg;
		else if (c == 'l')
			live = true;
		else
			return pfs_usage(&pfs_cmd_demo, NULL);
	}
	if (optind != argc)
		return pfs_usage(&pfs_cmd_demo, "it takes no argument");
	if (capture)
		return only_capture(capture);
	if (live && geteuid())
		return pfs_fail(
			"network namespaces and netfilter hooks need root; `pipesfs demo` does not");
	if (!can_mount())
		return PFS_EXIT_FAILED;
	if (live)
		return demo_live();
	demo_begin(&demo);
	play(&demo);
	return demo_end(&demo);
}

static const struct pfs_option demo_options[] = {
	{ .key = 'l', .name = "live", .help = "real traffic between two network namespaces (root)" },
	{ .key = 'c',
	  .name = "capture",
	  .value = "FILE",
	  .words = PFS_WORDS_FILE,
	  .help = "only write the capture that the demo plays with" },
	{ 0 },
};

const struct pfs_command pfs_cmd_demo = {
	.name = "demo",
	.summary = "show a capture going through a mounted pipeline, and check every number",
	.options = demo_options,
	.usage = "[--live | --capture FILE]",
	.help = "It asks nothing, uses no network, takes seconds, and removes what it made.\n",
	.run = demo_run,
};
