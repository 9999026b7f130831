#include "redir/herd_config.h"

#include "redir/outer.h"

bool rd_registered_concerns(const struct rd_registered *filter, const char *tree)
{
	for (size_t i = 0; i < filter->n_rules; i++)
		if (filter->rule[i]->include && rd_tree_holds(tree, filter->rule[i]->tree))
			return true;
	return false;
}

int rd_config_for(const struct rd_registry *registry, const char *tree,
		  struct rd_link_config *ret_config)
{
	struct rd_link_config config = { .tree = tree };
	struct rd_rule_desc *rules;
	size_t n_rules = 0, at = 0;

	for (size_t i = 0; i < registry->n; i++)
		n_rules += registry->filter[i]->n_rules;
	config.memory = pfs_zalloc(1, registry->n * sizeof(*config.filter) + n_rules * sizeof(*rules));
	if (!config.memory)
		return -ENOMEM;
	config.filter = config.memory;
	rules = (void *)(config.filter + registry->n);
	for (size_t i = 0; i < registry->n; i++) {
		const struct rd_registered *filter = registry->filter[i];

		if (!rd_registered_concerns(filter, tree))
			continue;
		config.filter[config.n++] = (struct rd_link_filter){
			.desc = { .name = filter->name,
				  .priority = filter->priority,
				  .active = filter->active &&
					    (!filter->process || filter->ready || filter->missed),
				  .policy = filter->policy,
				  .deadline = filter->deadline,
				  .rules = rules + at,
				  .n_rules = filter->n_rules,
				  .wants = filter->process ? &filter->wants : NULL },
			.object = filter->object,
			.args = filter->args,
			.peer = filter->ready ? filter->peer : 0,
			.id = filter->id,
		};
		for (size_t j = 0; j < filter->n_rules; j++)
			rules[at++] = (struct rd_rule_desc){ filter->rule[j]->path,
							     filter->rule[j]->include,
							     filter->rule[j]->subtree };
	}
	*ret_config = config;
	return 0;
}
