#include "base/name.h"

#include <stdio.h>

void pfs_args_release(struct pfs_args *args)
{
	free(args->arg);
	for (size_t i = 0; i < args->n; i++)
		free(args->param[i].value);
	*args = (struct pfs_args){ 0 };
}

size_t pfs_name_type_len(const char *name)
{
	return strcspn(name, ":,");
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Unescapes s[0..n) into a fresh string. */
static int unescape(const char *s, size_t n, char **ret, size_t *ret_len, struct pfs_diag *diag)
{
	PFS_FREE char *out = malloc(n + 1);
	size_t len = 0;

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		char c = s[i];

		if (c == '%') {
			int hi = -1, lo = -1;

			if (n - i > 2) {
				hi = hex_digit(s[i + 1]);
				lo = hex_digit(s[i + 2]);
			}
			if (hi < 0 || lo < 0)
				return pfs_diag_set(
					diag, EINVAL,
					"'%%' must be followed by two hex digits (write %%25 for a percent sign)");
			c = (char)(hi << 4 | lo);
			if (c == '\0')
				return pfs_diag_set(diag, EINVAL, "%%00 cannot be part of a name");
			i += 2;
		}
		out[len++] = c;
	}
	out[len] = '\0';
	*ret = TAKE_PTR(out);
	*ret_len = len;
	return 0;
}

/* The table's key that starts at s as "key=", or NULL. */
static const struct pfs_param *param_at(const struct pfs_param *params, const char *s)
{
	for (; params && params->key; params++) {
		size_t n = strlen(params->key);

		if (strncmp(s, params->key, n) == 0 && s[n] == '=')
			return params;
	}
	return NULL;
}

/* Start of the next ",key=" at or after s, or the end of the string. */
static const char *next_param(const struct pfs_param *params, const char *s)
{
	for (; *s; s++)
		if (*s == ',' && param_at(params, s + 1))
			break;
	return s;
}

static int args_add(struct pfs_args *args, const struct pfs_param *param, const char *value,
		    size_t len, struct pfs_diag *diag)
{
	size_t unused;
	int r;

	if (pfs_args_get(args, param->key))
		return pfs_diag_set(diag, EINVAL, "'%s=' is given twice", param->key);
	if (args->n == PFS_PARAMS_MAX)
		return pfs_diag_set(diag, EINVAL, "too many parameters");
	r = unescape(value, len, &args->param[args->n].value, &unused, diag);
	if (r < 0)
		return r;
	args->param[args->n++].key = param->key;
	return 0;
}

static int parse(const char *name, const struct pfs_param *params, struct pfs_args *args,
		 struct pfs_diag *diag)
{
	const char *s = name + pfs_name_type_len(name);
	int r;

	if (*s == ':') {
		const char *end = next_param(params, s + 1);

		r = unescape(s + 1, (size_t)(end - s - 1), &args->arg, &args->arg_len, diag);
		if (r < 0)
			return r;
		s = end;
	}
	while (*s == ',') {
		const struct pfs_param *param = param_at(params, s + 1);
		const char *value, *end;

		if (!param)
			return pfs_diag_set(diag, EINVAL, "'%.*s' has no parameter '%.40s'",
					    (int)pfs_name_type_len(name), name, s + 1);
		value = s + 1 + strlen(param->key) + 1;
		end = next_param(params, value);
		r = args_add(args, param, value, (size_t)(end - value), diag);
		if (r < 0)
			return r;
		s = end;
	}
	return 0;
}

int pfs_args_parse(const char *name, const struct pfs_param *params, struct pfs_args *ret_args,
		   struct pfs_diag *diag)
{
	PFS_CLEANUP(pfs_args_release) struct pfs_args args = { 0 };
	int r = parse(name, params, &args, diag);

	if (r < 0)
		return r;
	*ret_args = args;
	args = (struct pfs_args){ 0 };
	return 0;
}

int pfs_args_copy(const struct pfs_args *args, struct pfs_args *ret_args)
{
	PFS_CLEANUP(pfs_args_release) struct pfs_args copy = { 0 };

	if (args->arg) {
		copy.arg = strdup(args->arg);
		if (!copy.arg)
			return -ENOMEM;
		copy.arg_len = args->arg_len;
	}
	for (size_t i = 0; i < args->n; i++) {
		copy.param[i].value = strdup(args->param[i].value);
		if (!copy.param[i].value)
			return -ENOMEM;
		copy.param[i].key = args->param[i].key;
		copy.n = i + 1;
	}
	*ret_args = copy;
	copy = (struct pfs_args){ 0 };
	return 0;
}

/* One key=value line into args, replacing an earlier value. */
static int merge_line(struct pfs_args *args, const struct pfs_param *params, const char *line,
		      size_t len, struct pfs_diag *diag)
{
	PFS_FREE char *value = NULL;
	const struct pfs_param *param;
	const char *eq = memchr(line, '=', len);
	size_t i, at, unused;
	int r;

	if (!eq)
		return pfs_diag_set(diag, EINVAL, "a line of .params is key=value, not '%.*s'",
				    (int)pfs_min(len, 60), line);
	param = param_at(params, line);
	if (!param && eq - line == 3 && memcmp(line, "arg", 3) == 0) {
		size_t n;

		r = unescape(eq + 1, len - 4, &value, &n, diag);
		if (r < 0)
			return r;
		free(args->arg);
		args->arg = TAKE_PTR(value);
		args->arg_len = n;
		return 0;
	}
	if (!param)
		return pfs_diag_set(diag, EINVAL, "there is no parameter '%.*s' here",
				    (int)pfs_min((size_t)(eq - line), 60), line);
	at = (size_t)(eq - line) + 1;
	r = unescape(line + at, len - at, &value, &unused, diag);
	if (r < 0)
		return r;
	for (i = 0; i < args->n; i++)
		if (args->param[i].key == param->key)
			break;
	if (i == args->n) {
		if (args->n == PFS_PARAMS_MAX)
			return pfs_diag_set(diag, EINVAL, "too many parameters");
		args->param[args->n++].key = param->key;
	} else {
		free(args->param[i].value);
	}
	args->param[i].value = TAKE_PTR(value);
	return 0;
}

int pfs_args_merge(struct pfs_args *args, const struct pfs_param *params, const char *text,
		   size_t len, struct pfs_diag *diag)
{
	PFS_CLEANUP(pfs_args_release) struct pfs_args merged = { 0 };
	PFS_FREE char *lines = strndup(text, len);
	struct pfs_args old;
	char *line, *save = NULL;
	int r;

	if (!lines)
		return -ENOMEM;
	r = pfs_args_copy(args, &merged);
	if (r < 0)
		return r;
	for (line = strtok_r(lines, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		r = merge_line(&merged, params, line, strlen(line), diag);
		if (r < 0)
			return r;
	}
	old = *args;
	*args = merged;
	merged = old;
	return 0;
}

const char *pfs_args_get(const struct pfs_args *args, const char *key)
{
	for (size_t i = 0; i < args->n; i++)
		if (strcmp(args->param[i].key, key) == 0)
			return args->param[i].value;
	return NULL;
}

int pfs_number_parse(const char *text, bool binary, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	static const char suffixes[] = "kMGT";
	uint64_t unit = binary ? 1024 : 1000, value = 0;
	const char *s = text, *suffix;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
			return -ERANGE;
	if (*s) {
		suffix = strchr(suffixes, *s == 'K' ? 'k' : *s);
		if (!suffix || s[1])
			return -EINVAL;
		for (const char *p = suffixes; p <= suffix; p++)
			if (__builtin_mul_overflow(value, unit, &value))
				return -ERANGE;
	}
	if (value < min || value > max)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int pfs_time_parse(const char *text, uint64_t *ret_ns)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = { { "", 1000000000ULL },
		      { "h", 3600 * 1000000000ULL },
		      { "m", 60 * 1000000000ULL },
		      { "s", 1000000000ULL },
		      { "ms", 1000000ULL },
		      { "us", 1000 },
		      { "ns", 1 } };
	uint64_t whole = 0, part = 0, scale = 1;
	const char *s = text;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (whole > 1000 * 1000000000ULL)
			return -ERANGE;
		whole = whole * 10 + (uint64_t)(*s - '0');
	}
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++)
			if (scale < 1000000000ULL) {
				part = part * 10 + (uint64_t)(*s - '0');
				scale *= 10;
			}
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		uint64_t ns = units[i].ns;

		if (strcmp(s, units[i].unit) != 0)
			continue;
		if (whole > UINT64_MAX / 2 / ns)
			return -ERANGE;
		*ret_ns = whole * ns + ns / scale * part + ns % scale * part / scale;
		return 0;
	}
	return -EINVAL;
}

int pfs_args_number(const struct pfs_args *args, const char *key, bool binary, uint64_t min,
		    uint64_t max, uint64_t *value, struct pfs_diag *diag)
{
	const char *text = pfs_args_get(args, key);

	if (text && pfs_number_parse(text, binary, min, max, value) < 0)
		return pfs_diag_set(diag, EINVAL, "%s= takes a number from %llu to %llu, not '%.32s'",
				    key, (unsigned long long)min, (unsigned long long)max, text);
	return 0;
}

void pfs_name_escape(struct pfs_buf *out, const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c < 0x20 || c == 0x7f || c == '/' || c == '%' || c == ',')
			pfs_buf_printf(out, "%%%02x", c);
		else
			pfs_buf_add(out, &name[i], 1);
	}
}

bool pfs_args_equal(const struct pfs_args *a, const struct pfs_args *b)
{
	if (!a->arg != !b->arg || a->n != b->n)
		return false;
	if (a->arg && strcmp(a->arg, b->arg) != 0)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const char *value = pfs_args_get(b, a->param[i].key);

		if (!value || strcmp(value, a->param[i].value) != 0)
			return false;
	}
	return true;
}
