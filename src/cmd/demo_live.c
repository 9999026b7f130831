/*
 * demo_live - real packets: two network namespaces, a cable, a web server and a few requests
 *
 * Both ends are made for the occasion and removed at the end; the host's own network is not touched. The server and the
 * client are a page of code here, so that nothing else need be installed.
 */
#include "cmd/cmd.h"
#include "cmd/demo_i.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>

#define REQUESTS 5
#define PORT 8080
#define NEAR_ADDR "10.77.0.1"
#define FAR_ADDR "10.77.0.2"

struct live {
	struct demo demo;
	char near[32], far[32]; /* names of the namespaces */
	size_t in, out;		/* children */
};

/* --- two programs ------------------------------------------------------------------------ */

static int enter(const char *netns)
{
	char path[64];
	PFS_CLOSE int fd = -1;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 || setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

static int address(const char *text, struct sockaddr_in *ret_addr)
{
	*ret_addr = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(PORT) };
	return inet_pton(AF_INET, text, &ret_addr->sin_addr) == 1 ? 0 : -EINVAL;
}

/* Reads to the blank line, answers, closes. */
static void answer(int fd)
{
	static const char body[] = "hello over a cable that is a pair of pipes\n";
	char request[2048], reply[512];
	size_t len = 0;
	ssize_t n;

	while (len < sizeof(request) - 1 &&
	       (n = read(fd, request + len, sizeof(request) - 1 - len)) > 0) {
		len += (size_t)n;
		request[len] = '\0';
		if (strstr(request, "\r\n\r\n"))
			break;
	}
	n = snprintf(reply, sizeof(reply),
		     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
		     "Connection: close\r\n\r\n%s",
		     sizeof(body) - 1, body);
	if (write(fd, reply, (size_t)n) != n)
		return;
}

static int serve(void *arg)
{
	const struct live *live = arg;
	struct sockaddr_in addr;
	int one = 1;
	int fd;

	if (enter(live->far) < 0 || address(FAR_ADDR, &addr) < 0)
		return 1;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 16) < 0)
		return 1;
	close(open("serving", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	for (;;) {
		/* cppcheck-suppress nullPointer ; accept4(2) takes NULL, NULL: nobody asks who called */
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

		if (client < 0)
			return 1;
		answer(client);
		close(client);
	}
}

static int fetch(void *arg)
{
	const struct live *live = arg;

	if (enter(live->near) < 0)
		return 1;
	for (int i = 1; i <= REQUESTS; i++) {
		struct sockaddr_in addr;
		char request[256], reply[1024];
		PFS_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		int len = snprintf(
			request, sizeof(request),
			"GET /page/%d HTTP/1.1\r\nHost: far.example\r\nUser-Agent: pipesfs-demo\r\n\r\n",
			i);

		if (fd < 0 || address(FAR_ADDR, &addr) < 0 ||
		    connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
		    write(fd, request, (size_t)len) != len)
			return 1;
		while (read(fd, reply, sizeof(reply)) > 0)
			;
	}
	return 0;
}

/* --- the script ---------------------------------------------------------------------------- */

static void build_network(struct live *live)
{
	struct demo *demo = &live->demo;

	demo_say(demo, "\nTwo network namespaces and a cable between them: two small hosts.");
	demo_undo(demo, "ip netns del %s", live->near);
	demo_undo(demo, "ip netns del %s", live->far);
	demo_do(demo, "ip netns add %s", live->near);
	demo_do(demo, "ip netns add %s", live->far);
	demo_do(demo, "ip link add v0 netns %s type veth peer name v0 netns %s", live->near, live->far);
	demo_do(demo, "ip -n %s addr add %s/24 dev v0", live->near, NEAR_ADDR);
	demo_do(demo, "ip -n %s addr add %s/24 dev v0", live->far, FAR_ADDR);
	demo_do(demo, "ip -n %s link set v0 up", live->near);
	demo_do(demo, "ip -n %s link set v0 up", live->far);
}

static bool readers_attached(void *arg)
{
	(void)arg;
	return demo_readers("p/netfilter_out/ip/httpplus/get") &&
	       demo_readers("p/netfilter_in/iinspect");
}

static void build_pipelines(struct live *live)
{
	struct demo *demo = &live->demo;

	demo_say(demo, "\nA pipesfs in the near one: its hooks are that host's.");
	demo_do(demo, "mkdir p");
	demo_undo(demo,
		  "if grep -q ' %s/p fuse' /proc/mounts; then pipesfs umount p || umount -l p; fi",
		  demo->dir);
	demo_do(demo, "nsenter --net=/run/netns/%s pipesfs mount p", live->near);
	demo_do(demo, "mkdir -p p/netfilter_in/iinspect p/netfilter_out/ip/httpplus");
	demo_say(demo,
		 "\nTwo readers, before there is any traffic. From now on two programs run in that kernel.");
	live->in = demo_start(demo, "cat p/netfilter_in/iinspect/all >in.txt");
	live->out = demo_start(demo, "cat p/netfilter_out/ip/httpplus/get/all >out.http");
	demo_wait_for(demo, "the readers to open their pipes", 20, readers_attached, NULL);
}

static bool is_serving(void *arg)
{
	(void)arg;
	return !access("serving", F_OK);
}

static bool all_seen(void *arg)
{
	(void)arg;
	return demo_count_lines("in.txt", "HTTP 200") >= REQUESTS &&
	       demo_count_lines("out.http", "GET /page/") >= REQUESTS;
}

static void run_traffic(struct live *live)
{
	struct demo *demo = &live->demo;
	size_t client;

	demo_say(demo, "\nA web server in the far one, and %d requests from the near one.", REQUESTS);
	demo_spawn(demo, "the web server", serve, live);
	demo_wait_for(demo, "the web server", 10, is_serving, NULL);
	client = demo_spawn(demo, "the client", fetch, live);
	demo_join(demo, client, 20);
	demo_wait_for(demo, "the packets", 10, all_seen, NULL);
}

static void show(struct live *live)
{
	struct demo *demo = &live->demo;

	demo_say(demo, "\nWhat went out: the packets of the GET requests.");
	demo_do(demo, "grep -ao 'GET /.* HTTP/1.1' out.http");
	demo_say(demo, "\nWhat came in, as text.");
	demo_do(demo, "sed -n 's/ tcp .* HTTP/ HTTP/p' in.txt");
	demo_say(demo, "\nEvery directory counted.");
	demo_do(demo, "pipesfs ls p");
	demo_say(demo, "\nAs many as were sent?");
	demo_check(demo, "GET requests that went out", demo_count_lines("out.http", "GET /page/"),
		   REQUESTS);
	demo_check(demo, "answers that came in", demo_count_lines("in.txt", "HTTP 200"), REQUESTS);
	demo_say(demo, "\nAnd away: with its last reader a program leaves the kernel.");
	demo_stop(demo, live->in);
	demo_stop(demo, live->out);
	demo_do(demo, "pipesfs umount p");
}

int demo_live(void)
{
	struct live live = { 0 };

	demo_begin(&live.demo);
	if (!demo_has("ip") || !demo_has("nsenter"))
		demo_fail(&live.demo, -ENOENT,
			  "the programs ip and nsenter are needed: install the packages iproute2 and util-linux");
	snprintf(live.near, sizeof(live.near), "near-%d", (int)getpid());
	snprintf(live.far, sizeof(live.far), "far-%d", (int)getpid());
	build_network(&live);
	build_pipelines(&live);
	run_traffic(&live);
	show(&live);
	return demo_end(&live.demo);
}
