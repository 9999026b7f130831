/*
 * picture_rows - from the nodes of a picture to the rows of a table
 */
#include "cmd/cmd.h"
#include "cmd/picture.h"

const char *const picture_sorts[] = { "tree", "in", "out", "bytes", "lost", "lag", NULL };

/* A branch, the last one, and what continues below each. */
static const char *const utf8_glyphs[] = { "├── ", "└── ", "│   ", "    " };
static const char *const ascii_glyphs[] = { "|-- ", "`-- ", "|   ", "    " };

#define GLYPH_WIDTH 4
#define DEPTH_MAX 80

static double key_of(const struct picture_node *node, enum picture_sort sort)
{
	switch (sort) {
	case PICTURE_IN:
		return node->rate.in;
	case PICTURE_OUT:
		return node->rate.out;
	case PICTURE_BYTES:
		return node->rate.bytes;
	case PICTURE_LOST:
		return node->rate.lost + (double)node->lost / 1e20; /* who loses now before who has lost */
	case PICTURE_LAG:
		return (double)node->lag;
	default:
		return 0;
	}
}

/* Nothing runs there and nothing was counted. What somebody made is never idle. */
static bool is_idle(const struct picture_node *node)
{
	bool made = strchr(node->name, ':') || strchr(node->name, ',') ||
		    !strcmp(node->kind, "filter") || !strcmp(node->kind, "sink");

	return !made && strcmp(node->state, "running") != 0 && !node->in && !node->out &&
	       !node->lost && !node->readers && !node->writers;
}

/* Which are shown: themselves, or for what is below them. */
static bool *choose(const struct picture *picture, const struct picture_view *view, size_t *ret_hidden)
{
	bool *shown = pfs_zalloc(picture->n, sizeof(*shown));

	*ret_hidden = 0;
	for (size_t i = picture->n; shown && i-- > 0;) {
		const struct picture_node *node = &picture->node[i];
		bool wanted = !view->filter || strstr(node->path, view->filter);
		bool idle = !view->all && is_idle(node);

		*ret_hidden += wanted && idle && !shown[i];
		shown[i] = shown[i] || (wanted && !idle);
		if (shown[i] && node->up != SIZE_MAX && view->sort == PICTURE_TREE)
			shown[node->up] = true;
	}
	return shown;
}

static bool row_add(struct picture_rows *rows, size_t node, struct picture_row row)
{
	row.node = node;
	rows->row[rows->n++] = row;
	return !row.label.failed;
}

/* The tree as it is drawn: the shown children of each node, the top being behind the last one. */
struct drawing {
	const struct picture *picture;
	const struct picture_view *view;
	size_t *first, *next; /* owned; SIZE_MAX: none */
	struct picture_rows *rows;
};

static void drawing_release(struct drawing *d)
{
	free(d->first);
	free(d->next);
}

static int drawing_init(struct drawing *d, const bool *shown)
{
	size_t n = d->picture->n;

	d->first = pfs_zalloc(n + 1, sizeof(*d->first));
	d->next = pfs_zalloc(n, sizeof(*d->next));
	if (!d->first || !d->next)
		return -ENOMEM;
	memset(d->first, 0xff, (n + 1) * sizeof(*d->first));
	for (size_t i = n; i-- > 0;) {
		size_t up = d->picture->node[i].up == SIZE_MAX ? n : d->picture->node[i].up;

		if (!shown[i])
			continue;
		d->next[i] = d->first[up];
		d->first[up] = i;
	}
	return 0;
}

/* The children of `up`, each with all that is below it. prefix is drawn in front. */
static bool add_tree(struct drawing *d, size_t up, unsigned level, const char *prefix)
{
	const char *const *glyph = d->view->utf8 ? utf8_glyphs : ascii_glyphs;

	for (size_t i = d->first[up]; i != SIZE_MAX; i = d->next[i]) {
		const char *raw = d->picture->node[i].name;
		PFS_BUF struct pfs_buf below = { 0 }, name = { 0 };
		bool last = d->next[i] == SIZE_MAX;
		struct picture_row row = { 0 };

		pfs_buf_clean(&name, raw, strlen(raw));
		pfs_buf_printf(&row.label, "%s%s%s", prefix, level ? glyph[last] : "",
			       name.data ? name.data : "");
		row.width = (size_t)GLYPH_WIDTH * level + name.len;
		pfs_buf_printf(&below, "%s%s", prefix, level ? glyph[2 + last] : "");
		if (!row_add(d->rows, i, row) || below.failed)
			return false;
		if (level < DEPTH_MAX && !add_tree(d, i, level + 1, below.data))
			return false;
	}
	return true;
}

static bool draw_tree(const struct picture *picture, const struct picture_view *view,
		      const bool *shown, struct picture_rows *rows)
{
	PFS_CLEANUP(drawing_release)
	struct drawing d = { .picture = picture, .view = view, .rows = rows };

	return drawing_init(&d, shown) == 0 && add_tree(&d, picture->n, 0, "");
}

static bool add_flat(const struct picture *picture, const bool *shown, struct picture_rows *rows)
{
	for (size_t i = 0; i < picture->n; i++) {
		struct picture_row row = { 0 };

		if (!shown[i])
			continue;
		pfs_buf_clean(&row.label, picture->node[i].path, strlen(picture->node[i].path));
		row.width = row.label.len;
		if (!row_add(rows, i, row))
			return false;
	}
	return true;
}

struct order {
	const struct picture *picture;
	enum picture_sort sort;
};

/* The most first; equal ones in the order of the tree. */
static int by_key(const void *a, const void *b, void *arg)
{
	const struct picture_row *x = a, *y = b;
	const struct order *order = arg;
	double p = key_of(&order->picture->node[x->node], order->sort);
	double q = key_of(&order->picture->node[y->node], order->sort);

	if (p > q || p < q)
		return p > q ? -1 : 1;
	return (x->node > y->node) - (x->node < y->node);
}

int picture_rows(const struct picture *picture, const struct picture_view *view,
		 struct picture_rows *ret_rows)
{
	PFS_CLEANUP(picture_rows_release) struct picture_rows rows = { 0 };
	struct order order = { picture, view->sort };
	PFS_FREE bool *shown = choose(picture, view, &rows.hidden);
	bool good;

	rows.row = pfs_zalloc(picture->n, sizeof(*rows.row));
	if (!shown || !rows.row)
		return -ENOMEM;
	if (view->sort == PICTURE_TREE)
		good = draw_tree(picture, view, shown, &rows);
	else
		good = add_flat(picture, shown, &rows);
	if (!good)
		return -ENOMEM;
	if (view->sort != PICTURE_TREE)
		qsort_r(rows.row, rows.n, sizeof(*rows.row), by_key, &order);
	*ret_rows = rows;
	rows = (struct picture_rows){ 0 };
	return 0;
}

void picture_rows_release(struct picture_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++)
		pfs_buf_release(&rows->row[i].label);
	free(rows->row);
	*rows = (struct picture_rows){ 0 };
}
