/*
 * filter_set - many filters at once, one a line: as one program, over a capture, proved
 */
#include "cmd/cmd.h"
#include "cmd/filter_i.h"

#include <stdio.h>

#include "pf/merge/set.h"

struct line {
	char *text;	      /* owned */
	unsigned number;      /* in the file, from 1 */
	struct pf_prog *prog; /* owned */
	uint32_t id;
	uint64_t matched;
};

struct many {
	struct line *of; /* owned */
	size_t n;
	struct pf_set *set;	      /* owned */
	struct pf_set_reader *reader; /* owned */
};

static void many_release(struct many *m)
{
	pf_set_reader_free(m->reader);
	pf_set_free(m->set);
	for (size_t i = 0; i < m->n; i++) {
		free(m->of[i].text);
		pf_unref(m->of[i].prog);
	}
	free(m->of);
}

/* --- reading --------------------------------------------------------------------------------- */

static int add_line(struct many *m, const struct filter_source *source, const char *text,
		    size_t len, unsigned number)
{
	void *p = m->n & (m->n - 1) ? m->of : reallocarray(m->of, m->n ? m->n * 2 : 1, sizeof(*m->of));
	struct pf_error error = { "" };
	struct line *line;

	if (!p)
		return pfs_fail("not enough memory");
	m->of = p;
	line = &m->of[m->n++];
	*line = (struct line){ .text = strndup(text, len), .number = number };
	if (!line->text)
		return pfs_fail("not enough memory");
	if (pf_compile(source->language, line->text, len, &source->options, &line->prog, &error) < 0 ||
	    pf_set_add(m->set, line->prog, NULL, &line->id, &error) < 0)
		return pfs_fail("line %u: %s", number, error.text);
	return 0;
}

/* Empty lines and those that begin with # are no filters. */
static int read_lines(struct many *m, const struct filter_source *source)
{
	struct pf_error error = { "" };
	unsigned number = 0;
	int r = 0;

	if (pf_set_new(&source->options, &m->set, &error) < 0)
		return pfs_fail("%s", error.text);
	for (const char *p = source->text; *p && !r;) {
		size_t len = strcspn(p, "\n");

		number++;
		if (len && *p != '#')
			r = add_line(m, source, p, len, number);
		p += len + (p[len] == '\n');
	}
	if (r)
		return r;
	if (!m->n)
		return pfs_fail("there is no filter in it");
	return pf_set_reader_new(m->set, &m->reader) < 0 ? pfs_fail("not enough memory") : 0;
}

/* --- what is asked for ----------------------------------------------------------------------- */

/* What a solver is asked. To be freed; NULL and the sentence. */
static char *claims(const struct many *m)
{
	PFS_FREE const struct pf_prog **progs = pfs_zalloc(m->n, sizeof(*progs));
	PFS_FREE uint32_t *ids = pfs_zalloc(m->n, sizeof(*ids));
	struct pfs_buf out = { 0 };
	int r = progs && ids ? 0 : -ENOMEM;

	for (size_t i = 0; i < m->n && r == 0; i++) {
		progs[i] = m->of[i].prog;
		ids[i] = m->of[i].id;
	}
	if (r == 0)
		r = pf_set_smt(m->set, progs, ids, m->n, &out);
	if (r == 0 && !out.failed)
		return out.data;
	pfs_buf_release(&out);
	pfs_fail(r == -ENOTSUP ? "a filter with a loop cannot be proved"
		 : r == -E2BIG ? "the set is too large to be proved"
			       : "not enough memory");
	return NULL;
}

static int dump(const struct many *m, const char *stage)
{
	PFS_FREE char *text = NULL;
	struct pf_error error;

	if (stage && !strcmp(stage, "smt"))
		text = claims(m);
	else if (pf_set_dump(m->set, stage ? stage : "merged", &text, &error) < 0)
		return pfs_fail("%s", error.text);
	if (!text)
		return PFS_EXIT_FAILED;
	fputs(text, stdout);
	return 0;
}

static int prove(const struct many *m)
{
	PFS_FREE char *text = claims(m);

	return text ? filter_prove_text(text) : PFS_EXIT_FAILED;
}

static unsigned count(const char *text, const char *word)
{
	unsigned n = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		n++;
	return n;
}

static int explain(const struct many *m)
{
	struct pf_set_info info = { .size = sizeof(info) };
	PFS_FREE char *merged = NULL;
	struct pf_error error;
	unsigned long alone = 0;

	for (size_t i = 0; i < m->n; i++) {
		struct pf_info of = { .size = sizeof(of) };

		if (pf_get_info(m->of[i].prog, &of) == 0)
			alone += of.tests;
	}
	if (pf_set_get_info(m->set, &info) < 0 || pf_set_dump(m->set, "merged", &merged, &error) < 0)
		return pfs_fail("%s", error.text);
	printf("%u filters, %u of them with a graph of their own: the others differ in constants\n",
	       info.members, info.shapes);
	printf("%u programs are run for each packet; %llu were made while the filters came\n",
	       info.programs, (unsigned long long)info.compiled);
	printf("branches: %lu in the filters alone, %u in one program for all\n", alone,
	       count(merged, "\n\tif "));
	printf("tables are asked in %u places\n", count(merged, "find t"));
	return 0;
}

/* How many packets each of them accepts. */
static int run(struct many *m, const struct filter_source *source, const char *path)
{
	FILTER_FILE struct filter_file file = { 0 };
	PFS_FREE struct pf_match *match = pfs_zalloc(m->n, sizeof(*match));
	PFS_FREE uint64_t *matched = pfs_zalloc(m->n + 2, sizeof(*matched));
	struct filter_packet p;
	struct pfs_diag diag = { "" };
	uint64_t others = 0;
	int r = filter_file_open(path, &file);

	if (r < 0)
		return pfs_fail("%s: %s", path, strerror(-r));
	if (!match || !matched)
		return pfs_fail("not enough memory");
	while ((r = filter_file_next(&file, &p, &diag)) > 0) {
		struct pf_aux aux = filter_aux_of(&p);
		struct pf_packet packet = { p.data, p.caplen, p.len, &aux };
		size_t n;

		if (p.link_type != source->options.link_type && !source->forced) {
			others++;
			continue;
		}
		n = pf_set_run(m->reader, &packet, match, m->n);
		for (size_t i = 0; i < n; i++)
			matched[match[i].id]++;
	}
	for (size_t i = 0; i < m->n; i++)
		printf("%llu\t%s\n", (unsigned long long)matched[m->of[i].id], m->of[i].text);
	if (others)
		pfs_say("%llu packets of other link types than %u are left out",
			(unsigned long long)others, source->options.link_type);
	return r < 0 ? pfs_fail("%s: %s", path, diag.text) : others ? PFS_EXIT_FAILED : 0;
}

int filter_set(const struct filter_source *source, enum filter_work work, const char *stage,
	       const char *path)
{
	PFS_CLEANUP(many_release) struct many m = { 0 };
	int r = read_lines(&m, source);

	if (r)
		return r;
	switch (work) {
	case FILTER_EXPLAIN:
		return explain(&m);
	case FILTER_PROVE:
		return prove(&m);
	case FILTER_RUN:
		return run(&m, source, path);
	default:
		return dump(&m, stage);
	}
}
