/* Applying commands to a map. Private to the catalog. */
#ifndef SHOAL_SERVER_CATALOG_COMMAND_H
#define SHOAL_SERVER_CATALOG_COMMAND_H

#include "server/catalog.h"

/* One command with all its parameters. */
#define CATALOG_COMMAND_MAX (1u << 20)

/* Changes `m` (a copy not yet published) or refuses; after a refusal the copy is to be thrown
 * away. *value is the command's result. */
enum shoal_err catalog_command_apply(struct catalog_map *m, struct slice command, uint64_t *value,
                                     struct errbuf *why);
enum shoal_err catalog_check_name(struct slice name, struct errbuf *why);

#endif
