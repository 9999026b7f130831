/*
 * hook_i - who is in a hook, and lists of what filters keep
 */
#ifndef RD_HOOK_I_H
#define RD_HOOK_I_H

#include "redir/hook.h"

void rd_hook_enter(struct rd_hook *hook);
void rd_hook_leave(struct rd_hook *hook);

/* slots may be NULL: -ENOENT. As rd_ask_attach() and the others. */
int rd_slots_attach(struct rd_slots *slots, struct rd_hook *hook, uint64_t value,
		    rd_keep_free *free_value, uint64_t *ret_there);
bool rd_slots_find(struct rd_slots *slots, const struct rd_hook *hook, uint64_t *ret_value);
int rd_slots_detach(struct rd_slots *slots, const struct rd_hook *hook, uint64_t *ret_value);

#endif
