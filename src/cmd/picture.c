/*
 * picture - reads .graph.json
 */
#include "cmd/picture.h"

#include "config.h"

#include <stdio.h>

#ifdef HAVE_JANSSON
#include <jansson.h>
#endif

#include "cmd/tree.h"

static void node_release(struct picture_node *node)
{
	free(node->path);
	free(node->name);
	free(node->kind);
	free(node->type);
	free(node->flow);
	free(node->state);
	free(node->policy);
	free(node->shape);
}

void picture_release(struct picture *picture)
{
	for (size_t i = 0; i < picture->n; i++)
		node_release(&picture->node[i]);
	free(picture->node);
	*picture = (struct picture){ 0 };
}

/* From `start` on, then from the beginning. */
static size_t find_from(const struct picture *picture, uint64_t id, size_t start)
{
	for (size_t i = 0; i < picture->n; i++) {
		size_t at = (start + i) % picture->n;

		if (picture->node[at].id == id)
			return at;
	}
	return SIZE_MAX;
}

size_t picture_find(const struct picture *picture, uint64_t id)
{
	return find_from(picture, id, 0);
}

/* A parent is among the last ones before its child: those of the path to it. */
static size_t find_up(const struct picture *picture, uint64_t id, size_t before)
{
	for (size_t i = before; id && i-- > 0;)
		if (picture->node[i].id == id)
			return i;
	return SIZE_MAX;
}

#ifdef HAVE_JANSSON

static uint64_t number(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));

	return value > 0 ? (uint64_t)value : 0;
}

static double real(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static bool string(const json_t *object, const char *key, char **ret_text)
{
	const char *text = json_string_value(json_object_get(object, key));

	*ret_text = strdup(text ? text : "");
	return *ret_text;
}

static int read_node(const json_t *object, struct picture_node *node)
{
	const json_t *rate = json_object_get(object, "rate");

	*node = (struct picture_node){
		.id = number(object, "id"),
		.parent = number(object, "parent"),
		.kernel = json_is_true(json_object_get(object, "kernel")),
		.in = number(object, "in"),
		.out = number(object, "out"),
		.dropped = number(object, "dropped"),
		.lost = number(object, "lost"),
		.bytes = number(object, "bytes"),
		.lag = number(object, "lag"),
		.memory = number(object, "memory"),
		.readers = number(object, "readers"),
		.writers = number(object, "writers"),
		.into = number(object, "into"),
		.shared = number(object, "shared"),
		.rate = { real(rate, "in"), real(rate, "out"), real(rate, "lost"), real(rate, "bytes") },
		.up = SIZE_MAX,
	};
	return string(object, "path", &node->path) && string(object, "name", &node->name) &&
			       string(object, "kind", &node->kind) &&
			       string(object, "type", &node->type) &&
			       string(object, "flow", &node->flow) &&
			       string(object, "state", &node->state) &&
			       string(object, "policy", &node->policy) &&
			       string(object, "shape", &node->shape)
		       ? 0
		       : -ENOMEM;
}

static int read_nodes(const json_t *nodes, struct picture *picture)
{
	size_t n = json_array_size(nodes);

	picture->node = pfs_zalloc(n, sizeof(*picture->node));
	if (!picture->node)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct picture_node *node = &picture->node[picture->n];
		int r = read_node(json_array_get(nodes, i), node);

		node->up = find_up(picture, node->parent, i);
		picture->n++;
		if (r < 0)
			return r;
	}
	return 0;
}

int picture_parse(const char *text, size_t len, struct picture *ret_picture, struct pfs_diag *diag)
{
	PICTURE struct picture picture = { 0 };
	json_error_t error;
	json_t *top = json_loadb(text, len, JSON_ALLOW_NUL, &error);
	const json_t *nodes = json_object_get(top, "nodes"), *limits, *used;
	int r;

	if (!top)
		return pfs_diag_set(diag, EINVAL, "no JSON in line %d: %.120s", error.line, error.text);
	if (!json_is_array(nodes)) {
		json_decref(top);
		return pfs_diag_set(diag, EINVAL, "there are no nodes in it");
	}
	limits = json_object_get(top, "limits");
	used = json_object_get(top, "used");
	picture.clock = number(top, "clock");
	picture.interval = real(top, "interval");
	picture.hidden = number(top, "hidden");
	picture.nodes = number(used, "nodes");
	picture.nodes_max = number(limits, "nodes");
	picture.memory = number(used, "memory");
	picture.memory_max = number(limits, "memory");
	r = read_nodes(nodes, &picture);
	json_decref(top);
	if (r < 0)
		return pfs_diag_set(diag, -r, "not enough memory");
	*ret_picture = picture;
	picture = (struct picture){ 0 };
	return 0;
}

#else

int picture_parse(const char *text, size_t len, struct picture *ret_picture, struct pfs_diag *diag)
{
	(void)text;
	(void)len;
	(void)ret_picture;
	return pfs_diag_set(diag, ENOSYS,
			    "this pipesfs was built without jansson, which reads JSON (libjansson-dev); "
			    "`pipesfs ls -r` works, and so does  cat .graph");
}

#endif

int picture_read(int root, struct picture *ret_picture, struct pfs_diag *diag)
{
	PFS_BUF struct pfs_buf text = { 0 };
	int r = tree_read_file(root, ".graph.json", &text);

	if (r < 0)
		return pfs_diag_set(diag, -r, ".graph.json: %s", strerror(-r));
	return picture_parse(text.data ? text.data : "", text.len, ret_picture, diag);
}

void picture_rates(struct picture *now, const struct picture *before)
{
	double seconds = (double)(now->clock - pfs_min64(before->clock, now->clock)) / 1e9;

	size_t next = 0; /* both are in the same order: where the next one probably is */

	if (seconds <= 0)
		return;
	now->interval = seconds;
	for (size_t i = 0; i < now->n; i++) {
		static const struct picture_node none;
		struct picture_node *node = &now->node[i];
		size_t at = find_from(before, node->id, next);
		const struct picture_node *old = at == SIZE_MAX ? &none : &before->node[at];

		next = at == SIZE_MAX ? next : at + 1;
		node->rate = (struct picture_rates){
			(double)(node->in - pfs_min64(old->in, node->in)) / seconds,
			(double)(node->out - pfs_min64(old->out, node->out)) / seconds,
			(double)(node->lost - pfs_min64(old->lost, node->lost)) / seconds,
			(double)(node->bytes - pfs_min64(old->bytes, node->bytes)) / seconds,
		};
	}
}

static bool is_below(const char *path, const char *top)
{
	size_t len = strlen(top);

	while (len && top[len - 1] == '/')
		len--;
	return !strncmp(path, top, len) && (!path[len] || path[len] == '/');
}

void picture_cut(struct picture *picture, const char *path)
{
	size_t n = 0;

	for (size_t i = 0; i < picture->n; i++) {
		if (is_below(picture->node[i].path, path))
			picture->node[n++] = picture->node[i];
		else
			node_release(&picture->node[i]);
	}
	picture->n = n;
	for (size_t i = 0; i < n; i++)
		picture->node[i].up = find_up(picture, picture->node[i].parent, i);
}
