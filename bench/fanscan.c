/*
 * fanscan - for bench/scanflt: the peer, and who opens
 *
 *	bench-fanscan scan RULES DIR	a scanner by fanotify's permission events, of the mount of DIR: the same rules,
 *					cache and conditions for keeping as scanflt, 16 threads. Says "ready"
 *	bench-fanscan open DIR N	opens DIR/0 to DIR/N-1 and closes them: ns for one
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <time.h>
#include <unistd.h>
#include <yara.h>

#include "urfs/filters/scanflt_file.h"

#define THREADS 16

static struct scan_engine engine;
static struct scan_setup *setup;
static int events_fd;

static int die(const char *what)
{
	fprintf(stderr, "fanscan: %s: %s\n", what, strerror(errno));
	return 1;
}

static int open_again(void *arg)
{
	return fcntl(*(int *)arg, F_DUPFD_CLOEXEC, 0);
}

static bool denied(int fd)
{
	struct scan_result result;
	struct stat st;
	struct scan_file file = { .stat = &st, .open = open_again, .arg = &fd };

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	return scan_denies(setup, scan_file(&engine, setup, &file, &result));
}

static void *serve(void *arg)
{
	_Alignas(struct fanotify_event_metadata) char room[4096];

	(void)arg;
	for (;;) {
		ssize_t n = read(events_fd, room, FAN_EVENT_METADATA_LEN); /* one each */
		struct fanotify_event_metadata event;
		struct fanotify_response response;

		if (n < (ssize_t)sizeof(event))
			continue;
		memcpy(&event, room, sizeof(event));
		response.fd = event.fd;
		response.response = denied(event.fd) ? FAN_DENY : FAN_ALLOW;
		if (write(events_fd, &response, sizeof(response)) < 0)
			die("answer");
		close(event.fd);
	}
	return NULL;
}

static int scan(const char *rules, const char *dir)
{
	char text[5000], why[ACCESS_ERROR_SIZE], error[SCAN_ERROR_SIZE];
	struct scan_conf conf;
	pthread_t thread;

	snprintf(text, sizeof(text), "rules %s\n", rules);
	if (yr_initialize() != ERROR_SUCCESS || scan_conf_parse(text, strlen(text), &conf, why) < 0 ||
	    scan_setup_new(&conf, 1, &setup, error) < 0 ||
	    scan_engine_init(&engine, setup->conf.cache) < 0)
		return die(rules);
	events_fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY | O_LARGEFILE | O_CLOEXEC);
	if (events_fd < 0 || fanotify_mark(events_fd, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN_PERM,
					   AT_FDCWD, dir) < 0)
		return die("fanotify");
	for (int i = 1; i < THREADS; i++)
		if (pthread_create(&thread, NULL, serve, NULL) != 0)
			return die("thread");
	puts("ready");
	fflush(stdout);
	serve(NULL);
	return 0;
}

static int open_all(const char *dir, long n)
{
	struct timespec a, b;
	char path[4096];

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (long i = 0; i < n; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%ld", dir, i);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return die(path);
		close(fd);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%lld\n", ((long long)(b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec) / n);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "scan") == 0)
		return scan(argv[2], argv[3]);
	if (argc == 4 && strcmp(argv[1], "open") == 0 && atol(argv[3]) > 0)
		return open_all(argv[2], atol(argv[3]));
	fprintf(stderr, "usage: bench-fanscan {scan RULES DIR | open DIR N}\n");
	return 2;
}
