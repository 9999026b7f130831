/*
 * top_screen - the table in a terminal
 *
 * Nothing of ours knows the terminal: ncurses takes it, hears of its new sizes, and gives it back, which we ask for on
 * every way out.
 */
#include "cmd/top_i.h"

#include "config.h"

#ifdef HAVE_NCURSES

#include <ctype.h>
#include <ncurses.h>

#include "cmd/cmd.h"

#define PANE 5 /* lines for the readers of the chosen directory */

struct screen {
	struct top *top;
	size_t chosen; /* row */
	uint64_t id;   /* of its node, which may move */
	size_t first;  /* row at the top */
	bool typing;   /* a filter */
	bool help;
	bool quit;
	uint64_t due; /* mono ns: the next reading */
	char note[80];
};

static const char *const help_lines[] = {
	"q           end",
	"up, down    choose a directory; its readers are shown below",
	"s           sort: as a tree, or by in, out, bytes, lost, lag",
	"/           show only what has a text in its path; Esc: all",
	"a           show what is idle, too",
	"space       stand still, or go on",
	"+ -         read more seldom, more often",
	"h ?         this",
};

/* --- drawing --------------------------------------------------------------------------------------- */

static void put_line(int y, const char *text, int attributes)
{
	move(y, 0);
	clrtoeol();
	attron(attributes);
	addnstr(text, -1);
	attroff(attributes);
}

static size_t table_lines(void)
{
	return LINES > 4 + PANE + 3 ? (size_t)LINES - 4 - PANE : LINES > 4 ? (size_t)LINES - 4 : 1;
}

static bool has_pane(void)
{
	return LINES > 4 + PANE + 3;
}

/* The chosen one is where its node is now, and in sight. */
static void follow(struct screen *s)
{
	const struct top *top = s->top;
	size_t lines = table_lines();

	for (size_t i = 0; i < top->rows.n; i++)
		if (top->now.node[top->rows.row[i].node].id == s->id) {
			s->chosen = i;
			break;
		}
	if (s->chosen >= top->rows.n)
		s->chosen = top->rows.n ? top->rows.n - 1 : 0;
	s->id = top->rows.n ? top->now.node[top->rows.row[s->chosen].node].id : 0;
	if (s->chosen < s->first)
		s->first = s->chosen;
	if (s->chosen >= s->first + lines)
		s->first = s->chosen - lines + 1;
}

static void draw_table(struct screen *s)
{
	const struct top *top = s->top;
	size_t lines = table_lines();

	for (size_t i = 0; i < lines; i++) {
		PFS_BUF struct pfs_buf line = { 0 };
		size_t row = s->first + i;

		if (s->help && i < ARRAY_SIZE(help_lines))
			pfs_buf_str(&line, help_lines[i]);
		else if (!s->help && row < top->rows.n)
			top_row(top, row, (size_t)COLS, &line);
		put_line(3 + (int)i, line.data ? line.data : "",
			 !s->help && row == s->chosen && row < top->rows.n ? A_REVERSE : 0);
	}
}

static void draw_pane(struct screen *s)
{
	const struct top *top = s->top;
	PFS_BUF struct pfs_buf title = { 0 }, readers = { 0 }, clean = { 0 };
	int y = LINES - 1 - PANE;
	char *save = NULL, *line;

	if (!has_pane())
		return;
	if (top->rows.n) {
		const struct picture_node *node = &top->now.node[top->rows.row[s->chosen].node];

		pfs_buf_clean(&clean, node->path, strlen(node->path));
		pfs_buf_printf(&title, "%s: %s, %s%s%s", clean.data ? clean.data : "", node->kind,
			       node->state, node->kernel ? ", in the kernel" : "",
			       node->readers ? ", read by" : "");
		top_readers(top, node, &readers);
	}
	put_line(y, title.data ? title.data : "", A_BOLD);
	line = readers.data ? strtok_r(readers.data, "\n", &save) : NULL;
	for (int i = 1; i < PANE; i++) {
		put_line(y + i, line ? line : "", 0);
		line = line ? strtok_r(NULL, "\n", &save) : NULL;
	}
}

static void draw(struct screen *s)
{
	const struct top *top = s->top;
	PFS_BUF struct pfs_buf summary = { 0 }, titles = { 0 }, state = { 0 };

	follow(s);
	top_summary(top, &summary);
	put_line(0, summary.data ? summary.data : "", 0);
	pfs_buf_printf(&state, "every %.1f s, by %s%s%s%s%s", top->interval,
		       picture_sorts[top->view.sort], top->view.all ? ", idle too" : "",
		       top->filter[0] ? ", only " : "", top->filter,
		       top->paused ? ", STANDING STILL" : "");
	put_line(1, state.data ? state.data : "", top->paused ? A_BOLD : 0);
	top_titles(top, (size_t)COLS, &titles);
	put_line(2, titles.data ? titles.data : "", A_UNDERLINE);
	draw_table(s);
	draw_pane(s);
	put_line(LINES - 1,
		 s->typing  ? "only paths with: "
		 : *s->note ? s->note
			    : "q end  s sort  / filter  a idle  space stand still  +- interval  h help",
		 A_DIM);
	if (s->typing)
		addstr(top->filter);
	curs_set(s->typing);
	refresh();
}

/* --- keys --------------------------------------------------------------------------------------------- */

static void arrange(struct screen *s)
{
	if (top_arrange(s->top) < 0)
		snprintf(s->note, sizeof(s->note), "not enough memory");
}

static void choose(struct screen *s, long by)
{
	long at = (long)s->chosen + by, last = (long)s->top->rows.n - 1;

	s->chosen = (size_t)(at < 0 ? 0 : at > last && last >= 0 ? last : at);
	if (s->top->rows.n)
		s->id = s->top->now.node[s->top->rows.row[s->chosen].node].id;
}

/* While a filter is typed. */
static void type(struct screen *s, int key)
{
	char *filter = s->top->filter;
	size_t len = strlen(filter);

	if (key == '\n' || key == '\r' || key == KEY_ENTER) {
		s->typing = false;
		return;
	}
	if (key == 27) {
		s->typing = false;
		filter[0] = '\0';
	} else if ((key == KEY_BACKSPACE || key == 127 || key == 8) && len) {
		filter[len - 1] = '\0';
	} else if (key < 256 && isprint(key) && len + 1 < TOP_FILTER_MAX) {
		filter[len] = (char)key;
		filter[len + 1] = '\0';
	}
	s->top->view.filter = filter[0] ? filter : NULL;
	arrange(s);
}

static void set_interval(struct screen *s, double factor)
{
	double interval = s->top->interval * factor;

	s->top->interval = interval < 0.1 ? 0.1 : interval > 3600 ? 3600 : interval;
	s->due = pfs_clock_mono();
}

static void press(struct screen *s, int key)
{
	struct top *top = s->top;

	s->note[0] = '\0';
	if (s->typing) {
		type(s, key);
		return;
	}
	switch (key) {
	case 'q':
	case 'Q':
		s->quit = true;
		break;
	case 's':
		top->view.sort = (top->view.sort + 1) % PICTURE_SORTS;
		arrange(s);
		break;
	case '/':
		s->typing = true;
		break;
	case 27:
		top->filter[0] = '\0';
		top->view.filter = NULL;
		arrange(s);
		break;
	case 'a':
		top->view.all = !top->view.all;
		arrange(s);
		break;
	case ' ':
		top->paused = !top->paused;
		break;
	case '+':
		set_interval(s, 2);
		break;
	case '-':
		set_interval(s, 0.5);
		break;
	case 'h':
	case '?':
		s->help = !s->help;
		break;
	case KEY_UP:
	case 'k':
		choose(s, -1);
		break;
	case KEY_DOWN:
	case 'j':
		choose(s, 1);
		break;
	case KEY_PPAGE:
		choose(s, -(long)table_lines());
		break;
	case KEY_NPAGE:
		choose(s, (long)table_lines());
		break;
	case KEY_HOME:
		choose(s, -(long)top->rows.n);
		break;
	case KEY_END:
		choose(s, (long)top->rows.n);
		break;
	default: /* also KEY_RESIZE: drawn anew */
		break;
	}
}

/* --- the loop ----------------------------------------------------------------------------------------- */

static int wait_ms(const struct screen *s)
{
	uint64_t now = pfs_clock_mono();

	if (s->top->paused)
		return -1;
	return now >= s->due ? 0 : (int)pfs_min64((s->due - now) / 1000000 + 1, 3600000);
}

static int loop(struct screen *s, uint64_t rounds, struct pfs_diag *diag)
{
	struct top *top = s->top;
	int r = 0;

	while (!s->quit && !top_ended()) {
		int key;

		draw(s);
		timeout(wait_ms(s));
		key = getch();
		if (key != ERR)
			press(s, key);
		if (top->paused || pfs_clock_mono() < s->due)
			continue;
		r = top_update(top, diag);
		if (r < 0)
			break;
		s->due = pfs_clock_mono() + (uint64_t)(top->interval * 1e9);
		if (rounds && --rounds == 0)
			break;
	}
	return r;
}

int top_screen(struct top *top, uint64_t rounds, struct pfs_diag *diag)
{
	struct screen screen = { .top = top,
				 .due = pfs_clock_mono() + (uint64_t)(top->interval * 1e9) };
	SCREEN *terminal = newterm(NULL, stdout, stdin);
	int r;

	if (!terminal)
		return -ENOTTY;
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	set_escdelay(50);
	r = loop(&screen, rounds, diag);
	endwin();
	delscreen(terminal);
	return r;
}

#else

int top_screen(struct top *top, uint64_t rounds, struct pfs_diag *diag)
{
	(void)top;
	(void)rounds;
	(void)diag;
	return -ENOTTY;
}

#endif
