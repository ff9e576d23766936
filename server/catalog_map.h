/* Changing a map before it is published. Private to the catalog. */
#ifndef SHOAL_SERVER_CATALOG_MAP_H
#define SHOAL_SERVER_CATALOG_MAP_H

#include "server/catalog.h"

/* Where the collection stands or would stand in the sorted list. */
size_t catalog_map_place(const struct catalog_map *m, struct slice name);
/* Both copy everything; on SHOAL_ENOMEM the map is as it was. */
enum shoal_err catalog_map_add_node(struct catalog_map *m, uint64_t id, struct slice name,
                                    struct slice identity, struct slice url);
enum shoal_err catalog_map_add_collection(struct catalog_map *m,
                                          const struct catalog_create *create,
                                          const struct catalog_shard *shards);
enum shoal_err catalog_map_set_url(struct catalog_map *m, size_t node, struct slice url);
void catalog_map_remove_collection(struct catalog_map *m, size_t at);

#endif
