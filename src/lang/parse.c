/*
 * parse - from tokens to stages
 *
 * What a pipeline is built on is a set of *heads*: the stages whose output comes in from the left. A stage is added
 * below each of them, a group hands its heads to each of its branches and collects what comes out of those.
 */
#include "lang/lang.h"

#include "lang/lang_i.h"

#define NONE LANG_TOP

/* Stages of the program, or its top: before there is a stage. */
struct heads {
	size_t n;
	bool top;
	uint64_t set[LANG_STAGES_MAX / 64];
};

struct parser {
	const struct lang_token *token; /* the next one */
	struct lang_program program;
	struct lang_error *error;
	unsigned depth; /* of groups */
	/* By stage; the last one is the top: */
	size_t first[LANG_STAGES_MAX + 1];
	size_t next[LANG_STAGES_MAX];
	size_t level[LANG_STAGES_MAX + 1];
};

static const struct heads top = { .n = 1, .top = true };

static size_t slot(size_t stage)
{
	return stage == LANG_TOP ? LANG_STAGES_MAX : stage;
}

static bool heads_has(const struct heads *heads, size_t stage)
{
	return heads->set[stage / 64] >> stage % 64 & 1;
}

static void heads_add(struct heads *heads, size_t stage)
{
	heads->n += !heads_has(heads, stage);
	heads->set[stage / 64] |= UINT64_C(1) << stage % 64;
}

static void heads_join(struct heads *heads, const struct heads *more)
{
	heads->top = heads->top || more->top;
	heads->n = heads->top;
	for (size_t i = 0; i < ARRAY_SIZE(heads->set); i++) {
		heads->set[i] |= more->set[i];
		heads->n += (size_t)__builtin_popcountll(heads->set[i]);
	}
}

static int wrong_here(struct parser *p, const char *sentence)
{
	return lang_wrong(p->error, EINVAL, p->token->at, "%s", sentence);
}

/* --- stages ---------------------------------------------------------------------------------------- */

static const struct pfs_filter *filter_of(const struct lang_stage *stage)
{
	if (stage->kind == LANG_CLASS || stage->above == LANG_TOP)
		return NULL;
	return pfs_filter_find(stage->name, pfs_name_type_len(stage->name), false);
}

static size_t find(const struct parser *p, size_t above, const char *name)
{
	size_t i = p->first[slot(above)];

	while (i != NONE && strcmp(p->program.stage[i].name, name) != 0)
		i = p->next[i];
	return i;
}

static int stage_new(struct parser *p, const struct lang_stage *like, size_t above)
{
	struct lang_program *program = &p->program;
	size_t level = p->level[slot(above)] + 1, n = program->n;
	PFS_FREE char *name = strdup(like->name);
	struct lang_stage *grown;

	if (n == LANG_STAGES_MAX)
		return lang_wrong(p->error, E2BIG, like->at, "a program has at most %d stages",
				  LANG_STAGES_MAX);
	if (level > LANG_DEPTH_MAX)
		return lang_wrong(p->error, E2BIG, like->at,
				  "a pipeline has at most %d stages one after the other",
				  LANG_DEPTH_MAX);
	grown = reallocarray(program->stage, n + 1, sizeof(*grown));
	if (!grown || !name)
		return -ENOMEM;
	program->stage = grown;
	grown[n] = *like;
	grown[n].name = TAKE_PTR(name);
	grown[n].above = above;
	p->level[n] = level;
	p->first[n] = NONE;
	p->next[n] = p->first[slot(above)];
	p->first[slot(above)] = n;
	program->n++;
	return 0;
}

/* Adds the stage below one head, unless an equal one is there; it is one of `next` then. */
static int extend_one(struct parser *p, const struct lang_stage *like, size_t above, struct heads *next)
{
	size_t stage = find(p, above, like->name);
	int r = 0;

	if (stage == NONE) {
		stage = p->program.n;
		r = stage_new(p, like, above);
	}
	if (r == 0)
		heads_add(next, stage);
	return r;
}

/* Adds the stage below every head; these are the heads then. */
static int extend(struct parser *p, struct heads *heads, const struct lang_stage *like)
{
	struct heads next = { 0 };
	size_t n = p->program.n; /* none of the new ones is a head */
	int r = heads->top ? extend_one(p, like, LANG_TOP, &next) : 0;

	for (size_t i = 0; i < n && r == 0; i++)
		if (heads_has(heads, i))
			r = extend_one(p, like, i, &next);
	*heads = next;
	return r;
}

/* --- elements ---------------------------------------------------------------------------------------- */

static bool in_closed_set(const struct pfs_filter *filter, const char *name)
{
	for (size_t i = 0; filter->classes && filter->classes[i]; i++)
		if (strcmp(filter->classes[i], name) == 0)
			return true;
	return false;
}

/* Is the word a class of what comes in, as far as one can tell before there is a tree? */
static bool is_class(const struct parser *p, const struct heads *heads,
		     const struct lang_token *word, bool behind_bar)
{
	bool filter_name = pfs_filter_find(word->text, pfs_name_type_len(word->text), false);

	for (size_t i = 0; i < p->program.n; i++) {
		const struct pfs_filter *filter =
			heads_has(heads, i) ? filter_of(&p->program.stage[i]) : NULL;

		if (!filter)
			continue;
		if (in_closed_set(filter, word->text))
			return true;
		if (filter->open_classes && (!filter_name || (behind_bar && word->close)))
			return true;
	}
	return false;
}

static size_t words_len(const struct lang_token *words, size_t n)
{
	return words[n - 1].at + words[n - 1].len - words[0].at;
}

static int parse_class(struct parser *p, struct heads *heads)
{
	struct lang_stage stage = { .kind = LANG_CLASS, .at = p->token->at, .len = p->token->len };
	PFS_FREE char *name = NULL;
	int r = lang_class_name(p->token, &name, p->error);

	if (r < 0)
		return r;
	stage.name = name;
	p->token++;
	return extend(p, heads, &stage);
}

/* `port 80`: a classifier that takes no argument, and behind it no parameter: a class of it. */
static bool names_class(const struct lang_token *words, size_t n)
{
	const struct pfs_filter *filter =
		pfs_filter_find(words[0].text, pfs_name_type_len(words[0].text), false);

	if (n != 2 || !filter || !filter->open_classes || filter->has_arg ||
	    pfs_name_type_len(words[0].text) != words[0].size)
		return false;
	for (const struct pfs_param *param = filter->params; param && param->key; param++) {
		size_t len = strlen(param->key);

		if (strncmp(words[1].text, param->key, len) == 0 && words[1].text[len] == '=')
			return false;
	}
	return true;
}

static int parse_stage(struct parser *p, struct heads *heads)
{
	const struct lang_token *words = p->token;
	struct lang_stage stage = { .kind = LANG_STAGE, .at = words->at };
	PFS_FREE char *name = NULL;
	bool with_class;
	size_t n = 0;
	int r;

	while (words[n].kind == LANG_WORD)
		n++;
	with_class = !heads->top && names_class(words, n);
	n -= with_class;
	stage.len = words_len(words, n);
	p->token += n;
	r = lang_name(NULL, words, n, &name, p->error);
	stage.name = name;
	if (r == 0)
		r = extend(p, heads, &stage);
	return r == 0 && with_class ? parse_class(p, heads) : r;
}

static int parse_file(struct parser *p, struct heads *heads)
{
	struct lang_stage stage = { .kind = LANG_FILE, .at = p->token->at };
	const struct lang_token *words = p->token + 1;
	PFS_FREE char *name = NULL;
	size_t n = 0;
	int r;

	if (heads->top)
		return wrong_here(p, "nothing comes in here that could be written to a file");
	if (heads->n > 1)
		return lang_wrong(p->error, EINVAL, p->token->at,
				  "%zu branches come in here, and a file is written by one: give each branch "
				  "its own '> FILE'",
				  heads->n);
	while (words[n].kind == LANG_WORD)
		n++;
	if (n == 0)
		return lang_wrong(p->error, EINVAL, words->at,
				  "the name of a file is missing behind '>'");
	stage.len = words_len(p->token, n + 1);
	r = lang_name("file", words, n, &name, p->error);
	if (r < 0)
		return r;
	stage.name = name;
	p->token = words + n;
	r = extend(p, heads, &stage);
	*heads = (struct heads){ 0 };
	return r;
}

static int parse_program(struct parser *p, const struct heads *in, struct heads *ret_out);

static int parse_group(struct parser *p, struct heads *heads)
{
	const struct lang_token *open = p->token++;
	struct heads out = { 0 };
	int r;

	if (p->depth == LANG_DEPTH_MAX)
		return lang_wrong(p->error, E2BIG, open->at, "groups are nested more than %d deep",
				  LANG_DEPTH_MAX);
	p->depth++;
	r = parse_program(p, heads, &out);
	p->depth--;
	if (r < 0)
		return r;
	if (p->token->kind != LANG_CLOSE)
		return lang_wrong(p->error, EINVAL, open->at, "this '(' is not closed");
	p->token++;
	if (p->token->kind == LANG_WORD || p->token->kind == LANG_OPEN)
		return wrong_here(p, "behind a ')' comes a bar, a '+', or '> FILE'");
	*heads = out;
	return 0;
}

static int stage_missing(struct parser *p, bool behind_bar)
{
	switch (p->token->kind) {
	case LANG_BAR:
		return wrong_here(p, "a stage is missing before this bar");
	case LANG_PLUS:
		return wrong_here(p, "a pipeline is missing before this '+'");
	case LANG_CLOSE:
		if (!p->depth)
			return wrong_here(p, "there is no '(' for this ')'");
		break;
	default:
		break;
	}
	return wrong_here(p, behind_bar ? "a stage is missing behind the bar"
					: "a pipeline is missing here");
}

/* bar: a bar stands before it. */
static int parse_element(struct parser *p, struct heads *heads, bool bar)
{
	int r = 0;

	if (!heads->n)
		return wrong_here(p, "nothing comes out of the branches before the bar");
	if (p->token->kind == LANG_OPEN)
		return parse_group(p, heads);
	if (p->token->kind != LANG_WORD)
		return stage_missing(p, bar);
	if (is_class(p, heads, p->token, bar)) {
		r = parse_class(p, heads);
		if (r < 0 || p->token->kind != LANG_WORD)
			return r;
	}
	r = parse_stage(p, heads);
	if (r == 0 && p->token->kind == LANG_OPEN)
		return wrong_here(
			p, "a group stands where a stage could; quote '(' if it belongs to an argument");
	return r;
}

static int parse_pipeline(struct parser *p, struct heads *heads)
{
	bool bar = false;
	int r = 0;

	if (p->token->kind == LANG_BAR && !heads->top) { /* ( |80 + |443 ) */
		bar = true;
		p->token++;
	}
	if (p->token->kind != LANG_GREATER || bar) {
		r = parse_element(p, heads, bar);
		while (r == 0 && p->token->kind == LANG_BAR) {
			p->token++;
			r = parse_element(p, heads, true);
		}
	}
	if (r == 0 && p->token->kind == LANG_GREATER)
		r = parse_file(p, heads);
	return r;
}

static bool separates(enum lang_token_kind kind)
{
	return kind == LANG_PLUS || kind == LANG_LINE;
}

static int parse_program(struct parser *p, const struct heads *in, struct heads *ret_out)
{
	int r;

	do {
		struct heads branch = *in;

		r = parse_pipeline(p, &branch);
		heads_join(ret_out, &branch);
	} while (r == 0 && separates(p->token->kind) && p->token++);
	return r;
}

/* --- the whole ---------------------------------------------------------------------------------------- */

/* What comes out of the last stages is what the program gives. Nothing comes out of a sink. */
static void mark_ends(struct lang_program *program, const struct heads *heads)
{
	for (size_t i = 0; i < program->n; i++) {
		struct lang_stage *stage = &program->stage[i];
		const struct pfs_filter *filter = filter_of(stage);

		stage->end = heads_has(heads, i) && !(filter && (filter->flags & PFS_FILTER_SINK));
	}
}

static int parse_all(struct parser *p)
{
	struct heads out = { 0 };
	int r;

	if (p->token->kind == LANG_END)
		return 0;
	p->first[LANG_STAGES_MAX] = NONE;
	r = parse_program(p, &top, &out);
	if (r < 0)
		return r;
	if (p->token->kind == LANG_CLOSE)
		return wrong_here(p, "there is no '(' for this ')'");
	if (p->token->kind != LANG_END)
		return wrong_here(
			p, "this does not belong here: behind '> FILE' a pipeline is at its end");
	mark_ends(&p->program, &out);
	return 0;
}

int lang_parse(const char *text, size_t len, struct lang_program *ret_program,
	       struct lang_error *ret_error)
{
	PFS_CLEANUP(lang_tokens_release) struct lang_tokens tokens = { 0 };
	struct parser parser = { .error = ret_error };
	int r;

	*ret_error = (struct lang_error){ 0 };
	r = lang_tokenize(text, len, &tokens, ret_error);
	if (r < 0)
		return r;
	parser.token = tokens.token;
	r = parse_all(&parser);
	if (r < 0) {
		lang_program_release(&parser.program);
		return r;
	}
	*ret_program = parser.program;
	return 0;
}

void lang_program_release(struct lang_program *program)
{
	for (size_t i = 0; i < program->n; i++)
		free(program->stage[i].name);
	free(program->stage);
	*program = (struct lang_program){ 0 };
}

static bool is_device(const char *name)
{
	const struct pfs_source *source = pfs_source_find(name, pfs_name_type_len(name));

	return source && (source->flags & PFS_SOURCE_DEVICES);
}

void lang_path(const struct lang_program *program, size_t stage, bool at_root, struct pfs_buf *out)
{
	const struct lang_stage *s = &program->stage[stage];
	size_t begin;

	if (s->above != LANG_TOP) {
		lang_path(program, s->above, at_root, out);
		pfs_buf_str(out, "/");
	}
	begin = out->len;
	pfs_buf_str(out, s->name);
	if (at_root && s->above == LANG_TOP && is_device(s->name) && !out->failed) {
		char *colon = strchr(out->data + begin, ':');

		if (colon)
			*colon = '/';
	}
}
